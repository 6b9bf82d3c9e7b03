/** Guest memory to a file and from it: holes stay holes, pages come when they are touched, and a file that breaks kills nobody. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { GuestMemory, gpa, sumOfPages } from '../../src/kvm/index.js';

const PAGE = 4096;
const BYTES = 64 * PAGE;
const AT = 3 * PAGE;

let dir: string;
let fd: number;
const open: GuestMemory[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'xenner-memory-'));
  fd = openSync(join(dir, 'file'), 'w+');
  ftruncateSync(fd, AT + BYTES);
});
afterEach(() => {
  for (const memory of open.splice(0)) memory.close();
  closeSync(fd);
  rmSync(dir, { recursive: true });
});
const keep = (memory: GuestMemory) => {
  open.push(memory);
  return memory;
};

function written(): GuestMemory {
  const memory = keep(GuestMemory.create(BYTES));
  memory.writeU8(gpa(5 * PAGE + 7), 0x5a);
  memory.writeU8(gpa(9 * PAGE - 1), 1);
  memory.writeU8(gpa(20 * PAGE), 0); // there, but zeros
  return memory;
}

it('writes the pages that are not zeros, and sums them up', () => {
  const memory = written();
  const sum = memory.writePagesTo(fd, AT, gpa(0), BYTES);
  const bytes = readFileSync(join(dir, 'file')).subarray(AT);
  expect([bytes[5 * PAGE + 7], bytes[9 * PAGE - 1], bytes.filter((byte) => byte !== 0).length]).toEqual([
    0x5a, 1, 2,
  ]);
  expect(statSync(join(dir, 'file')).blocks * 512).toBeLessThanOrEqual(2 * PAGE);
  expect(sumOfPages(bytes)).toBe(sum);
  expect(sumOfPages(new Uint8Array(BYTES))).toBe(0);
  const moved = Buffer.concat([bytes.subarray(PAGE), bytes.subarray(0, PAGE)]);
  expect(sumOfPages(moved)).not.toBe(sum);
});

it('reads no page that it need not: what was never touched stays so', () => {
  const memory = keep(GuestMemory.create(2 ** 30));
  const rss = () => Number(/RssShmem:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  const before = rss();
  expect(memory.writePagesTo(fd, AT, gpa(0), 2 ** 30)).toBe(0);
  expect(rss() - before).toBeLessThan(1024);
});

it('comes back from the file, and what is written to it does not go there', () => {
  written().writePagesTo(fd, AT, gpa(0), BYTES);
  const memory = keep(GuestMemory.fromFile(fd, AT, BYTES));
  expect(memory.readU8(gpa(5 * PAGE + 7))).toBe(0x5a);
  memory.writeU8(gpa(5 * PAGE + 7), 1);
  const twin = keep(GuestMemory.fromFile(fd, AT, BYTES));
  expect([twin.readU8(gpa(5 * PAGE + 7)), twin.isDamaged]).toEqual([0x5a, false]);
  expect(GuestMemory.attach(memory.id).readU8(gpa(5 * PAGE + 7))).toBe(1);
});

it('of a file that is truncated under it: zeros, and it says so', () => {
  written().writePagesTo(fd, AT, gpa(0), BYTES);
  const memory = keep(GuestMemory.fromFile(fd, AT, BYTES));
  ftruncateSync(fd, AT + 6 * PAGE);
  expect(memory.isDamaged).toBe(true);
  expect([memory.readU8(gpa(5 * PAGE + 7)), memory.readU8(gpa(9 * PAGE - 1))]).toEqual([0x5a, 0]);
  memory.fill(gpa(0), BYTES, 7);
  expect(memory.readU8(gpa(BYTES - 1))).toBe(7);
});

it.each([
  ['no descriptor', () => GuestMemory.fromFile(9999, 0, PAGE), 'EBADF'],
  ['half a page', () => GuestMemory.fromFile(fd, 12, PAGE), 'EINVAL'],
  ['nothing', () => GuestMemory.fromFile(fd, 0, 0), 'EINVAL'],
])('is not made of %s', (_, make, code) => {
  expect(make).toThrow(expect.objectContaining({ code }));
});
