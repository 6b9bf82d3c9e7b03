/** Pages that are given back: zeros from then on, and the host's own count of what is in memory goes down. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { GuestMemory, type GuestMemoryOptions, gpa, hostMemory } from '../../src/kvm/index.js';
import { freeHugepages, reserveHugepages } from '../lib/hugepages.js';

const PAGE = 4096;
const MIB = 2 ** 20;

const undo: (() => void)[] = [];
afterEach(() => {
  for (const giveBack of undo.splice(0).reverse()) giveBack();
});

const keep = (memory: GuestMemory): GuestMemory => {
  undo.push(() => memory.close());
  return memory;
};

/** Fills memory with what tells its pages apart. */
function filled(memory: GuestMemory): GuestMemory {
  for (let at = 0; at < memory.size; at += PAGE) memory.fill(gpa(at), PAGE, 1 + ((at / PAGE) % 255));
  return keep(memory);
}

/** Memory of that content which was saved, and comes from the file. */
function fromFile(bytes: number): GuestMemory {
  const dir = mkdtempSync(join(tmpdir(), 'xenner-discard-'));
  undo.push(() => rmSync(dir, { recursive: true }));
  const fd = openSync(join(dir, 'file'), 'w+');
  ftruncateSync(fd, bytes);
  filled(GuestMemory.create(bytes)).writePagesTo(fd, 0, gpa(0), bytes);
  const memory = GuestMemory.fromFile(fd, 0, bytes);
  closeSync(fd);
  // Written to: what only this process has.
  for (let at = 0; at < bytes; at += PAGE) memory.writeU8(gpa(at), memory.readU8(gpa(at)));
  return keep(memory);
}

/** In MiB, of this process. */
function resident(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)![1]);
  return (of('RssAnon') + of('RssShmem')) / 1024;
}

/** Whether the pages of [from, to) are zeros and all others as they were. */
function expectZeros(memory: GuestMemory, from: number, to: number): void {
  const wrong = Array.from({ length: memory.size / PAGE }, (_, page) => page).filter((page) => {
    const value = page >= from && page < to ? 0 : 1 + (page % 255);
    return Buffer.compare(memory.bytes(gpa(page * PAGE), PAGE), Buffer.alloc(PAGE, value)) !== 0;
  });
  expect(wrong).toEqual([]);
}

const noThp = hostMemory().transparentHugepages === null;
const kinds: Array<[name: string, open: (bytes: number) => GuestMemory, missing: string | false]> = [
  ['a memfd', (bytes) => filled(GuestMemory.create(bytes)), false],
  [
    'transparent huge pages',
    (bytes) => filled(GuestMemory.create(bytes, { hugepages: 'thp' })),
    noThp && 'no THP',
  ],
  [
    'what KSM may merge',
    (bytes) => filled(GuestMemory.create(bytes, { mergeable: true })),
    hostMemory().ksm === null && 'no KSM',
  ],
  ['a saved guest', fromFile, false],
];

describe.each(kinds)('memory of %s', (_, open, missing) => {
  it.skipIf(missing)('is the host’s again', () => {
    const bytes = 96 * MIB;
    const memory = open(bytes);
    const before = resident();
    memory.discard(gpa(17 * PAGE), 64 * MIB);
    // What of this process's own comes and goes meanwhile is a fraction of that.
    expect(before - resident()).toBeGreaterThan(48);
    expectZeros(memory, 17, 17 + (64 * MIB) / PAGE);
    memory.fill(gpa(0), bytes, 7);
    expect(memory.copyOut(gpa(bytes / 2), 2)).toEqual(new Uint8Array([7, 7]));
  });

  it.skipIf(missing)('goes page by page, again, and all of it', () => {
    const memory = open(4 * MIB);
    const pages = memory.size / PAGE;
    memory.discard(gpa(0), 0);
    for (let page = 3; page < 9; page += 2) memory.discard(gpa(page * PAGE), PAGE);
    memory.discard(gpa(3 * PAGE), 6 * PAGE);
    expectZeros(memory, 3, 9);
    memory.writeU8(gpa(4 * PAGE), 1);
    memory.discard(gpa(4 * PAGE), PAGE);
    expectZeros(memory, 3, 9);
    memory.discard(gpa(0), memory.size);
    expectZeros(memory, 0, pages);
  });
});

it('a saved guest that gives back every other page does not use up the mappings of the process', () => {
  const pages = 40_000;
  const memory = fromFile(pages * PAGE);
  const mappings = () => readFileSync('/proc/self/maps', 'utf8').split('\n').length;
  const before = mappings();
  for (let page = 0; page < pages; page += 2) memory.discard(gpa(page * PAGE), PAGE);
  expect(mappings() - before).toBeLessThanOrEqual(2 * 8192);
  for (let page = 0; page < pages; page++)
    expect(memory.readU8(gpa(page * PAGE))).toBe(page % 2 === 0 ? 0 : 1 + (page % 255));
});

it('pages of a pool are cleared, and stay the guest’s', ({ skip }) => {
  const why = reserveHugepages('2M', 8, (giveBack) => undo.push(giveBack));
  skip(why !== undefined, why);
  const options: GuestMemoryOptions = { hugepages: '2M' };
  const memory = filled(GuestMemory.create(16 * MIB, options));
  const before = freeHugepages('2M');
  memory.discard(gpa(PAGE), 8 * MIB);
  expect(freeHugepages('2M')).toBe(before);
  expectZeros(memory, 1, 1 + (8 * MIB) / PAGE);
});

describe('refused', () => {
  const cases: Array<[address: number, length: number, code: string]> = [
    [0, 5 * MIB, 'EGUESTMEMORY'],
    [4 * MIB, PAGE, 'EGUESTMEMORY'],
    [-PAGE, PAGE, 'EGUESTMEMORY'],
    [Number.NaN, PAGE, 'EGUESTMEMORY'],
    [1, PAGE, 'EINVAL'],
    [0, PAGE - 1, 'EINVAL'],
  ];
  it.each(cases)('discard(%d, %d)', (address, length, code) => {
    const memory = filled(GuestMemory.create(4 * MIB));
    expect(() => memory.discard(gpa(address), length)).toThrow(expect.objectContaining({ code }));
    expectZeros(memory, 0, 0);
  });
});
