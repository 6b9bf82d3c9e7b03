/** What fills guest memory before its guest runs: files and bytes without their zeros, runs of 64-bit words. */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GuestMemory, GuestMemoryError, gpa } from '../../src/kvm/index.js';

const PAGE = 4096;
const BYTES = 1024 * PAGE;
/** More than one read's worth, in the middle of a page. */
const LENGTH = 600_001;

let dir: string;
let fd: number;
let memory: GuestMemory;
const source = Buffer.alloc(LENGTH);
source.fill('first', 0, 5);
source.fill('middle', 70 * PAGE - 3, 70 * PAGE + 3);
source.fill('last', LENGTH - 4);

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'xenner-load-'));
  writeFileSync(join(dir, 'file'), Buffer.concat([Buffer.from('before'), source]));
  fd = openSync(join(dir, 'file'), 'r');
  memory = GuestMemory.create(BYTES);
});
afterEach(() => {
  memory.close();
  closeSync(fd);
  rmSync(dir, { recursive: true });
});

describe.each([
  { what: 'a file', load: (at: number) => memory.readPagesFrom(fd, 6, gpa(at), LENGTH) },
  { what: 'bytes', load: (at: number) => memory.copyPagesFrom(source, gpa(at)) },
])('$what', ({ load }) => {
  it.each([PAGE, 0x123])('arrives at %d, and nothing beside it', (at) => {
    load(at);
    expect(Buffer.from(memory.copyOut(gpa(at), LENGTH)).equals(source)).toBe(true);
    expect(memory.copyOut(gpa(0), at).every((byte) => byte === 0)).toBe(true);
    expect(memory.copyOut(gpa(at + LENGTH), PAGE).every((byte) => byte === 0)).toBe(true);
  });

  it('leaves pages alone where it has only zeros', () => {
    memory.writeU8(gpa(9 * PAGE), 7);
    memory.writeU8(gpa(70 * PAGE), 7);
    load(0);
    expect(memory.readU8(gpa(9 * PAGE))).toBe(7);
    expect(memory.readU8(gpa(70 * PAGE))).toBe(source[70 * PAGE]);
  });

  it('is refused where it does not fit', () => {
    for (const at of [BYTES - LENGTH + 1, BYTES, -1, 0.5]) expect(() => load(at)).toThrow(GuestMemoryError);
  });
});

it('a file that ends before says how much there was, and a bad descriptor is an error', () => {
  expect(memory.readPagesFrom(fd, 6, gpa(0), LENGTH)).toBe(LENGTH);
  expect(memory.readPagesFrom(fd, LENGTH - 10, gpa(0), PAGE)).toBe(16);
  expect(memory.readPagesFrom(fd, LENGTH + 6, gpa(0), PAGE)).toBe(0);
  expect(() => memory.readPagesFrom(2 ** 31 - 1, 0, gpa(0), PAGE)).toThrow(
    expect.objectContaining({ code: 'EBADF' }),
  );
});

it('entries go up by their step, wrap at 64 bits, and have an end', () => {
  memory.fillEntries(gpa(8), 3, 0xfffffffffffff063n, 0x1000n);
  memory.fillEntries(gpa(BYTES - 16), 2, 2n ** 64n - 1n);
  const read = (at: number) => memory.readU64(gpa(at));
  expect([0, 8, 16, 24, 32].map(read)).toEqual([0n, 0xfffffffffffff063n, 0x63n, 0x1063n, 0n]);
  expect([BYTES - 24, BYTES - 16, BYTES - 8].map(read)).toEqual([0n, 2n ** 64n - 1n, 2n ** 64n - 1n]);
  memory.fillEntries(gpa(8), 0, 1n);
  expect(read(8)).toBe(0xfffffffffffff063n);
});

it.each([
  { at: BYTES - 8, count: 2 },
  { at: 0, count: BYTES / 8 + 1 },
  { at: 0, count: -1 },
  { at: 0, count: 2 ** 52 },
  { at: -8, count: 1 },
])('$count entries at $at are refused', ({ at, count }) => {
  expect(() => memory.fillEntries(gpa(at), count, 1n)).toThrow(GuestMemoryError);
});

it('entries that are not aligned are refused, and none is written', () => {
  expect(() => memory.fillEntries(gpa(4), 1, 1n)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  expect(memory.readU64(gpa(4))).toBe(0n);
});
