/** What the host has for guests' memory: from this host's sysfs, and from trees that no kernel would make. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { MAX_SYSFS_BYTES } from '../../../src/base/limits.js';
import { hostMemory } from '../../../src/kvm/index.js';

const trees: string[] = [];
afterEach(() => {
  for (const tree of trees.splice(0)) rmSync(tree, { recursive: true });
});

/** A folder with these files, by path. */
function tree(files: Readonly<Record<string, string | Buffer>>): string {
  const root = mkdtempSync(join(tmpdir(), 'xenner-sysfs-'));
  trees.push(root);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const pool = (directory: string, total: string, free: string, reserved?: string) => ({
  [`${directory}/nr_hugepages`]: total,
  [`${directory}/free_hugepages`]: free,
  ...(reserved !== undefined && { [`${directory}/resv_hugepages`]: reserved }),
});
const meminfo = (node: number, total: string, free: string) => ({
  [`devices/system/node/node${node}/meminfo`]: `Node ${node} MemTotal:  ${total} kB\nNode ${node} MemFree:   ${free} kB\n`,
});
const NOTHING = { hugepages: [], transparentHugepages: null, ksm: null, nodes: [] };
const POOLS = 'kernel/mm/hugepages';
const THP = 'kernel/mm/transparent_hugepage/enabled';

describe('of a host with everything', () => {
  it('each fact is where it belongs, sizes and nodes in order', () => {
    const root = tree({
      ...pool(`${POOLS}/hugepages-1048576kB`, '2\n', '1\n', '0\n'),
      ...pool(`${POOLS}/hugepages-2048kB`, '100\n', '60\n', '10\n'),
      [THP]: 'always [madvise] never\n',
      'kernel/mm/ksm/run': '1\n',
      'kernel/mm/ksm/pages_shared': '7\n',
      'kernel/mm/ksm/pages_sharing': '70\n',
      ...meminfo(10, '2000', '20'),
      ...meminfo(9, '1000', '10'),
      ...pool('devices/system/node/node9/hugepages/hugepages-2048kB', '100\n', '60\n'),
    });
    expect(hostMemory(root)).toEqual({
      hugepages: [
        { sizeKiB: 2048, total: 100, free: 60, reserved: 10 },
        { sizeKiB: 1048576, total: 2, free: 1, reserved: 0 },
      ],
      transparentHugepages: 'madvise',
      ksm: { state: 'on', pagesShared: 7, pagesSharing: 70 },
      nodes: [
        { node: 9, totalKiB: 1000, freeKiB: 10, hugepages: [{ sizeKiB: 2048, total: 100, free: 60 }] },
        { node: 10, totalKiB: 2000, freeKiB: 20, hugepages: [] },
      ],
    });
  });

  it.each([
    ['[always] madvise never\n', 'always'],
    ['always madvise [never]\n', 'never'],
    ['always madvise never\n', null],
    ['[sometimes]', null],
  ])('THP %j', (text, mode) => {
    expect(hostMemory(tree({ [THP]: text })).transparentHugepages).toBe(mode);
  });

  it.each([
    ['0', 'off'],
    ['1', 'on'],
    ['2', 'unmerging'],
    ['3', undefined],
    ['', undefined],
  ])('KSM run %j', (text, state) => {
    expect(hostMemory(tree({ 'kernel/mm/ksm/run': text })).ksm?.state).toBe(state);
  });
});

describe('what makes no sense is left out', () => {
  const number = `${POOLS}/hugepages-2048kB`;
  it.each<[string, Record<string, string | Buffer>]>([
    ['nothing at all', {}],
    ['a negative number', pool(number, '-1', '0')],
    ['a number in words', pool(number, 'many', '0')],
    ['a number too long to be exact', pool(number, '9'.repeat(30), '0')],
    ['an empty file', pool(number, '', '0')],
    ['half a pool', { [`${number}/nr_hugepages`]: '1' }],
    ['bytes that are no text', pool(number, '1', '\0\xff')],
    ['more than any such file has', pool(number, '1'.padEnd(2 * MAX_SYSFS_BYTES, '0'), '0')],
    ['a pool of no size', pool(`${POOLS}/hugepages-0kB`, '1', '1')],
    ['a pool of another name', pool(`${POOLS}/hugepages-2048kB.old`, '1', '1')],
    ['a folder for a file', { [`${number}/nr_hugepages/x`]: '1', [`${number}/free_hugepages`]: '1' }],
    ['a file for a folder', { [POOLS]: '1' }],
    ['a node without memory to tell of', { 'devices/system/node/node0/meminfo': 'MemTotal: 1 kB\n' }],
    [
      "another node's memory",
      { 'devices/system/node/node0/meminfo': 'Node 1 MemTotal: 1 kB\nNode 1 MemFree: 1 kB\n' },
    ],
    ['a node beyond all numbers', meminfo(99999, '1', '1')],
    ['KSM without a state', { 'kernel/mm/ksm/pages_sharing': '1' }],
  ])('%s', (_, files) => {
    expect(hostMemory(tree(files))).toEqual(NOTHING);
  });

  it('a pipe that nobody writes to, and a link to itself', () => {
    const root = tree({ [`${number}/free_hugepages`]: '1' });
    execFileSync('mkfifo', [join(root, number, 'nr_hugepages')]);
    mkdirSync(join(root, dirname(THP)));
    symlinkSync('enabled', join(root, THP));
    expect(hostMemory(root)).toEqual(NOTHING);
  });

  it('a folder that is not there', () => {
    expect(hostMemory('/nowhere')).toEqual(NOTHING);
  });
});

it('this host: pools as /proc/meminfo counts them, and every node that is online', () => {
  const host = hostMemory();
  const text = readFileSync('/proc/meminfo', 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)?.[1] ?? Number.NaN);
  const standard = host.hugepages.find(({ sizeKiB }) => sizeKiB === field('Hugepagesize'));
  expect(standard !== undefined).toBe(existsSync('/sys/kernel/mm/hugepages'));
  const online = '/sys/devices/system/node/online';
  if (!existsSync(online)) return;
  // `0`, `0-3,8`
  const ranges = readFileSync(online, 'utf8').trim().split(',');
  const numbers = ranges.flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  expect(host.nodes.map(({ node }) => node)).toEqual(numbers);
  for (const { totalKiB, freeKiB } of host.nodes) expect(freeKiB).toBeLessThanOrEqual(totalKiB);
});
