/** Machines that are files: such as there are, and such as no kernel would make. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { MAX_HOST_CPUS, MAX_SYSFS_BYTES } from '../../../../src/base/limits.js';
import { cacheBanks } from '../../../../src/mgmt/host/caches.js';
import { capabilitiesXml } from '../../../../src/mgmt/host/capabilities.js';
import { cells, memoryStats } from '../../../../src/mgmt/host/cells.js';
import { cpuIdentity, cpuMap, cpuPlace, cpuStats } from '../../../../src/mgmt/host/cpus.js';
import { formatList, type HostFiles, parseList } from '../../../../src/mgmt/host/host-files.js';
import { ksmFacts, sharedMemoryParameters } from '../../../../src/mgmt/host/ksm.js';
import { nodeInfo } from '../../../../src/mgmt/host/node-info.js';
import { machine, machineFiles, removeMachines } from './machine.js';

afterEach(removeMachines);

const SMALL = { sockets: 1, nodesPerSocket: 1, coresPerNode: 2, threadsPerCore: 1, memoryKiB: 2 ** 20 };
const CPU = 'sys/devices/system/cpu';
const NODE = 'sys/devices/system/node/node0';

it('a kernel without nodes is one cell', () => {
  const host = machine(machineFiles({ ...SMALL, sockets: 2, noNuma: true }));
  expect(nodeInfo(host)).toMatchObject({ nodes: 1, sockets: 2, cores: 2, threads: 1, cpus: 4 });
  expect(cells(host)).toMatchObject([{ id: 0, memoryKiB: 2 ** 21, freeKiB: 2 ** 20, distances: [] }]);
  expect(capabilitiesXml(host)).not.toContain('<distances>');
});

it('a container without /sys still tells of its CPUs and its memory', () => {
  const cpuinfo = 'processor\t: 0\ncpu MHz\t\t: 2000.5\n\nprocessor\t: 1\ncpu MHz\t\t: 2100.7\n';
  const host = machine({
    'proc/cpuinfo': cpuinfo,
    'proc/meminfo': 'MemTotal: 8 kB\nMemFree: 4 kB\n',
  });
  expect(nodeInfo(host)).toMatchObject({ cpus: 2, mhz: 2100, nodes: 1, memoryKiB: 8 });
});

it('memory in pools is no memory in small pages', () => {
  const host = machine(machineFiles({ ...SMALL, hugepages: { 2048: 100 } }));
  expect(cells(host)[0]!.pages).toEqual([
    { sizeKiB: 4, total: (2 ** 20 - 100 * 2048) / 4, free: 2 ** 17 },
    { sizeKiB: 2048, total: 100, free: 100 },
  ]);
});

it('time that CPUs have spent is in nanoseconds, each with its like', () => {
  const host = machine(machineFiles(SMALL));
  expect(cpuStats(0, host)).toEqual({ user: 3e7, system: 3e7 + 6e7 + 7e7, idle: 4e7, iowait: 5e7 });
  expect(cpuStats(undefined, host)).toMatchObject({ user: 300e7, idle: 400e7 });
  expect(() => cpuStats(1, host)).toThrow('no statistics of CPU 1');
});

it('KSM as far as the kernel has it', () => {
  const ksm = 'sys/kernel/mm/ksm';
  const host = machine({ [`${ksm}/run`]: '1', [`${ksm}/pages_to_scan`]: '100', [`${ksm}/full_scans`]: '7' });
  expect(ksmFacts(host)).toMatchObject({ state: 'on', pagesToScan: 100, fullScans: 7, pagesShared: 0 });
  expect(ksmFacts(host).mergeAcrossNodes).toBeUndefined();
  expect(sharedMemoryParameters(host)).toEqual([
    ['pages_to_scan', 100],
    ['full_scans', 7],
  ]);
  expect(() => ksmFacts(machine({}))).toThrow('this host has no KSM');
});

it.each<[string, number[] | undefined]>([
  ['', []],
  ['0', [0]],
  ['0-3,8\n', [0, 1, 2, 3, 8]],
  ['8,0-1', [0, 1, 8]],
  ['3-1', []],
  ['-1', undefined],
  ['0-', undefined],
  ['0,,1', undefined],
  ['many', undefined],
  [`0-${MAX_HOST_CPUS}`, undefined],
  ['0-999999999999', undefined],
])('the list %j', (text, numbers) => {
  expect(parseList(text)).toEqual(numbers);
  if (numbers !== undefined) expect(parseList(formatList(numbers))).toEqual(numbers);
});

/** All that is read of a machine: whatever the files have, it is told or refused in a line, and soon. */
function look(host: HostFiles): void {
  const reads = [
    nodeInfo,
    cells,
    cacheBanks,
    cpuMap,
    capabilitiesXml,
    ksmFacts,
    sharedMemoryParameters,
    cpuIdentity,
  ];
  for (const read of [
    ...reads,
    () => cpuPlace(0, host),
    () => cpuStats(0, host),
    () => memoryStats(0, host),
  ]) {
    try {
      expect(JSON.stringify(read(host)).length).toBeLessThan(2 ** 20);
    } catch (error) {
      expect(error).toMatchObject({ name: 'XennerError', message: expect.stringMatching(/^[ -~]{1,200}$/) });
    }
  }
}

const ODD: [string, string | Buffer][] = [
  ['nothing', ''],
  ['a negative number', '-1\n'],
  ['a number too long to be exact', '9'.repeat(30)],
  ['words', 'many of them\n'],
  ['bytes that are no text', Buffer.from([0, 255, 10, 0, 128, 27, 91])],
  ['more than any such file has', '1,'.repeat(MAX_SYSFS_BYTES)],
  ['half of what it should have', 'Node 0 MemTotal:'],
  ['markup', "<a x='&'/>"],
];

describe('files that make no sense', () => {
  const whole = machineFiles({ ...SMALL, hugepages: { 2048: 1 } });
  it.each(ODD)('%s, in each of them by itself', (_, text) => {
    const host = machine(whole);
    for (const [path, sense] of Object.entries(whole)) {
      writeFileSync(host.path(path), text);
      look(host);
      writeFileSync(host.path(path), sense);
    }
  });

  it('none, of each by itself, and of all', () => {
    look(machine({}));
    const host = machine(whole);
    for (const [path, sense] of Object.entries(whole)) {
      rmSync(host.path(path));
      look(host);
      writeFileSync(host.path(path), sense);
    }
  });

  it('pipes that nobody writes to, files without an end, links to themselves, folders', () => {
    const makers = [
      (path: string) => execFileSync('mkfifo', [path]),
      (path: string) => symlinkSync('/dev/zero', path),
      (path: string) => symlinkSync(path, path),
      (path: string) => mkdirSync(path),
    ];
    const host = machine(whole);
    for (const odd of [
      `${CPU}/online`,
      `${CPU}/present`,
      `${NODE}/meminfo`,
      `${NODE}/distance`,
      'proc/stat',
    ]) {
      for (const make of makers) {
        rmSync(host.path(odd), { recursive: true });
        make(host.path(odd));
        look(host);
      }
      rmSync(host.path(odd), { recursive: true });
      writeFileSync(host.path(odd), whole[odd]!);
    }
  });
});
