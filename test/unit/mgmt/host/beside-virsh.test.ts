/** The commands for the host beside virsh with the same words, on this host; and machines that neither has, by their files. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { capabilitiesXml } from '../../../../src/mgmt/host/capabilities.js';
import { cells } from '../../../../src/mgmt/host/cells.js';
import { nodeInfo } from '../../../../src/mgmt/host/node-info.js';
import { missingVirsh, type Outcome, outcomeOf, Virsh } from '../../storage/pool/virsh.js';
import { type MachineShape, machine, machineFiles, removeMachines } from './machine.js';

const CLI = new URL('../../../../dist/cli/main.js', import.meta.url).pathname;
const SCHEMA = '/usr/share/libvirt/schemas/capability.rng';
const missing = missingVirsh();
const xenner = (...args: string[]): Promise<Outcome> => outcomeOf(process.execPath, [CLI, ...args], {});

/** Without what changes from one moment to the next: free memory, time, and what other tests set. */
const shape = (text: string) =>
  text
    .replace(/KiB: +\d+/g, 'KiB: N')
    .replace(/(shm_\w+ +)\d+/g, '$1N')
    .replace(/ *\d{4,}/g, ' N')
    .replace(/ *\d+\.\d%/g, ' N%');

/** An element of a document, with what is in it. */
function element(xml: string, name: string): string {
  return new RegExp(`^ *<${name}>$.*^ *</${name}>$`, 'ms').exec(xml)?.[0] ?? '';
}

const lines = (xml: string, pattern: RegExp) => xml.split('\n').filter((line) => pattern.test(line));
const CPU_LINES = /<(arch|vendor|microcode|signature|topology|maxphysaddr|pages)[ >]/;

describe.skipIf(missing !== undefined)(`beside virsh${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let virsh: Virsh | undefined;
  beforeAll(async () => {
    virsh = await Virsh.start('qemu');
  });
  afterAll(() => virsh?.stop());

  it.each([
    'hostname',
    'nodecpumap',
    'nodecpumap --pretty',
    'nodecpustats',
    'nodecpustats 0',
    'nodecpustats --cpu 0',
    'nodecpustats --percent',
    'nodememstats',
    'nodememstats 0',
    'nodememstats --cell 0',
    'freecell',
    'freecell 0',
    'freecell --cellno 0',
    'freecell --all',
    'freepages --all',
    'freepages --all --pagesize 4',
    'freepages --all --pagesize 2M',
    'freepages 0 4',
    'freepages --cellno 0 --pagesize 2048',
    'node-memory-tune',
  ])('%s', async (words) => {
    const [ours, theirs] = await Promise.all([xenner(...words.split(' ')), virsh!.run(...words.split(' '))]);
    expect(theirs).toMatchObject({ stderr: '', status: 0 });
    expect(ours.stderr).toBe('');
    expect(shape(ours.stdout)).toBe(shape(theirs.stdout));
  });

  it('nodeinfo: all but the frequency to the last digit', async () => {
    const [ours, theirs] = await Promise.all([xenner('nodeinfo'), virsh!.run('nodeinfo')]);
    const plain = (text: string) => text.replace(/\d+ MHz/, 'N MHz');
    expect(plain(ours.stdout)).toBe(plain(theirs.stdout));
  });

  it.each([
    'freecell 99',
    'freecell --all --cellno 0',
    'freepages',
    'freepages 0',
    'freepages 99 4',
    'freepages 0 8',
    'freepages --all --pagesize 8',
    'allocpages 8 1',
    'allocpages 4 1',
    'allocpages 2048 0 --cellno 99',
    'allocpages 2048 0 --all --cellno 0',
  ])('%s: refused, for the same reason', async (words) => {
    const [ours, theirs] = await Promise.all([xenner(...words.split(' ')), virsh!.run(...words.split(' '))]);
    expect([ours.status, theirs.status]).toEqual([1, 1]);
    const reason = theirs.stderr.replace(
      /^error: ((internal error|operation failed|Operation not supported): )?/,
      '',
    );
    expect(ours.stderr).toBe(`xenner: ${reason.trim()}\n`);
  });

  it('what a document says of this host is what virsh says', async () => {
    const [{ stdout: ours }, { stdout: theirs }] = await Promise.all([
      xenner('capabilities'),
      virsh!.run('capabilities'),
    ]);
    expect(lines(ours, CPU_LINES).length).toBeGreaterThan(3);
    expect(lines(element(ours, 'cpu'), CPU_LINES)).toEqual(lines(element(theirs, 'cpu'), CPU_LINES));
    const stable = (text: string) => text.replace(/>\d+<\/pages>/g, '>N</pages>');
    for (const part of ['topology', 'cache', 'power_management'])
      expect(stable(element(ours, part))).toBe(stable(element(theirs, part)));
    // libvirt has a second one, of its driver's own.
    expect(element(theirs, 'secmodel').startsWith(element(ours, 'secmodel'))).toBe(true);
    expect(lines(ours, /<iommu/)).toEqual(lines(theirs, /<iommu/));
  });
});

const GIB = 2 ** 20;
const MACHINES: Record<string, MachineShape> = {
  'two sockets, four nodes, two threads a core': {
    ...{ sockets: 2, nodesPerSocket: 2, coresPerNode: 3, threadsPerCore: 2, memoryKiB: 64 * GIB },
    hugepages: { 2048: 512, [GIB]: 4 },
  },
  'CPUs offline': {
    ...{ sockets: 2, nodesPerSocket: 1, coresPerNode: 2, threadsPerCore: 2, memoryKiB: 8 * GIB },
    offline: [3, 6, 7],
  },
  'a whole core offline, so that sockets differ': {
    ...{ sockets: 2, nodesPerSocket: 1, coresPerNode: 2, threadsPerCore: 2, memoryKiB: 8 * GIB },
    offline: [3, 7],
  },
  'no second thread anywhere': {
    ...{ sockets: 1, nodesPerSocket: 1, coresPerNode: 4, threadsPerCore: 2, memoryKiB: 4 * GIB },
    offline: [4, 5, 6, 7],
  },
};

/** Machines that are files, to both: libvirt sees the folder in the place of the host's /sys/devices/system. */
describe.skipIf(missing !== undefined).each(Object.entries(MACHINES))('%s', (_, machineShape) => {
  let virsh: Virsh | undefined;
  afterEach(async () => {
    await virsh?.stop();
    removeMachines();
  });

  it('is the same to virsh', async () => {
    const host = machine(machineFiles(machineShape));
    virsh = await Virsh.start('qemu', host.path('sys/devices/system'));
    const [info, document, free] = await Promise.all([
      virsh.run('nodeinfo'),
      virsh.run('capabilities'),
      virsh.run('freecell', '--all'),
    ]);
    const numbers = [...info.stdout.matchAll(/: +(\d+)/g)].map(([, digits]) => Number(digits));
    const { cpus, sockets, cores, threads, nodes, memoryKiB } = nodeInfo(host);
    expect([cpus, sockets, cores, threads, nodes, memoryKiB]).toEqual(numbers.filter((_, i) => i !== 1));
    const ours = capabilitiesXml(host);
    for (const part of ['topology', 'cache'])
      expect(element(ours, part)).toBe(element(document.stdout, part));
    expect(lines(ours, /<topology /)).toEqual(lines(document.stdout, /<topology /));
    const frees = [...free.stdout.matchAll(/: +(\d+) KiB/g)].map(([, digits]) => Number(digits));
    expect(cells(host).map(({ freeKiB }) => freeKiB)).toEqual(frees.slice(0, -1));
  });

  it('is described as the schema has it', () => {
    const host = machine(machineFiles(machineShape));
    writeFileSync(join(host.root, 'document.xml'), capabilitiesXml(host));
    execFileSync('xmllint', ['--noout', '--relaxng', SCHEMA, join(host.root, 'document.xml')], {
      stdio: 'pipe',
    });
  });
});
