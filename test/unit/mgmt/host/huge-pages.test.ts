/** Huge pages: counts, mounts, setting aside and giving back; on machines that are files, and two pages on this host. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  allocatePages,
  hugepageCounts,
  hugetlbMounts,
  releaseHugepages,
  reserveHugepages,
} from '../../../../src/mgmt/host/huge-pages.js';
import { freeHugepages, reserveHugepages as setAside } from '../../../lib/hugepages.js';
import { outcomeOf } from '../../storage/pool/virsh.js';
import { machine, machineFiles, poolFiles, removeMachines } from './machine.js';

const CLI = new URL('../../../../dist/cli/main.js', import.meta.url).pathname;
const POOL = 'sys/kernel/mm/hugepages/hugepages-2048kB';
afterEach(removeMachines);

describe('pools of a machine', () => {
  const SHAPE = { sockets: 2, nodesPerSocket: 1, coresPerNode: 1, threadsPerCore: 1, memoryKiB: 2 ** 22 };

  it('are counted by size, of all nodes and of each', () => {
    const host = machine(machineFiles({ ...SHAPE, hugepages: { 2048: 3, 1048576: 1 } }));
    const counts = hugepageCounts(host).map(({ sizeKiB, node, total }) => [sizeKiB, node, total]);
    expect(counts).toEqual([
      [2048, undefined, 6],
      [2048, 0, 3],
      [2048, 1, 3],
      [1048576, undefined, 2],
      [1048576, 0, 1],
      [1048576, 1, 1],
    ]);
  });

  it.each([
    ['more than are free', poolFiles(POOL, 8, 3), 4, '3 of 8 pages of 2048 KiB are free, not 4'],
    [
      'more than are promised to nobody',
      { ...poolFiles(POOL, 8, 6), [`${POOL}/resv_hugepages`]: '5' },
      2,
      '1 of 8 pages of 2048 KiB are free, not 2',
    ],
  ])('do not give back %s', async (_, files, count, message) => {
    const host = machine(files);
    await expect(releaseHugepages(2048, count, undefined, host)).rejects.toThrow(message);
    expect(readFileSync(host.path(`${POOL}/nr_hugepages`), 'latin1')).toBe('8\n');
  });

  it('grow by what is set aside, without what the kernel took by itself', async () => {
    const host = machine({ ...poolFiles(POOL, 8, 6), [`${POOL}/surplus_hugepages`]: '2' });
    // A file keeps what is written to it: of 6 set aside and 3 more the kernel would make 9, and 2 of surplus beside them.
    await expect(reserveHugepages(2048, 3, undefined, host)).rejects.toThrow('found 1 of 3 pages');
    expect(readFileSync(host.path(`${POOL}/nr_hugepages`), 'latin1').trim()).toBe('6');
  });

  it.each([
    [8, undefined, 'page size 8 is not available'],
    [4, undefined, "system pages pool can't be modified"],
    [2048, 7, 'start cell 7 out of range (0-1)'],
    [1048576, 0, 'page size 1048576 is not available on node 0'],
  ])('of %i KiB on node %s are not there', async (sizeKiB, node, message) => {
    const host = machine(machineFiles({ ...SHAPE, hugepages: { 2048: 1 } }));
    await expect(reserveHugepages(sizeKiB, 1, node, host)).rejects.toThrow(message);
    await expect(releaseHugepages(sizeKiB, 1, node, host)).rejects.toThrow(message);
    expect(() => allocatePages(sizeKiB, 1, node === undefined ? {} : { node }, host)).toThrow(message);
  });
});

it('mounts of hugetlbfs, with blanks in their paths, and no others', () => {
  const mounts = [
    'hugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0',
    'none /mnt/a\\040b hugetlbfs rw,pagesize=1024M,size=1G 0 0',
    'none /mnt/c hugetlbfs rw 0 0',
    'none /mnt/d tmpfs rw,pagesize=2M 0 0',
    'hugetlbfs',
  ];
  expect(hugetlbMounts(machine({ 'proc/self/mounts': `${mounts.join('\n')}\n` }))).toEqual([
    { path: '/dev/hugepages', sizeKiB: 2048 },
    { path: '/mnt/a b', sizeKiB: 2 ** 20 },
    { path: '/mnt/c' },
  ]);
});

describe('this host', () => {
  const xenner = (...args: string[]) => outcomeOf(process.execPath, [CLI, 'hugepages', ...args], {});

  it('sets a page aside by the command, shows it, and gives it back', async (context) => {
    const unable = setAside('2M', 1, onTestFinished);
    if (unable !== undefined) return context.skip(unable);
    const before = freeHugepages('2M');
    // Now and then memory for another one is not there in one piece; what the test has set aside is then.
    expect(await xenner('release', '2M', '1')).toMatchObject({ status: 0, stderr: '' });
    expect(freeHugepages('2M')).toBe(before - 1);
    const { stdout, stderr } = await xenner('reserve', '2M', '1');
    if (/memory is short/.test(stderr)) return context.skip(stderr);
    expect(stdout).toMatch(/^There are \d+ pages of 2M\n\n$/);
    expect(freeHugepages('2M')).toBe(before);
    const [{ stdout: table }, { stdout: shown }] = await Promise.all([xenner(), xenner('--json')]);
    expect(table).toMatch(/^ 2M +all +\d/m);
    const pool = JSON.parse(shown).pools.find((each: { sizeKiB: number }) => each.sizeKiB === 2048);
    expect(pool.free - pool.reserved).toBe(before);
  });

  it('refuses what no pool has', async () => {
    const results = await Promise.all([
      xenner('reserve', '3M', '1'),
      xenner('reserve', '2M', '-1'),
      xenner('reserve', 'two', '1'),
    ]);
    expect(results.map(({ status }) => status)).toEqual([1, 2, 2]);
  });
});
