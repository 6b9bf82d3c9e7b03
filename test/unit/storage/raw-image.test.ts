/** Raw images on files, on a block device, on a full disk and on a file that is cut off, in every cache mode. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { RawImage } from '../../../src/mgmt/storage/raw-image.js';
import { type CacheMode, StorageFile } from '../../../src/mgmt/storage/storage-file.js';
import { scratch } from './scratch.js';

const MIB = 1024 * 1024;
const at = scratch();
const undo: Array<() => void> = [];
afterAll(() => {
  for (const step of undo.reverse()) step();
});

const open: RawImage[] = [];
afterEach(async () => {
  for (const image of open.splice(0)) await image.close();
});

async function image(path: string, options: { cache?: CacheMode; readOnly?: boolean } = {}) {
  const made = new RawImage(await StorageFile.open(path, options));
  open.push(made);
  return made;
}

function file(name: string, bytes: Buffer): string {
  writeFileSync(at(name), bytes);
  return at(name);
}

const failing = (code: string) => expect.objectContaining({ code });

/** A step that only some hosts allow. */
function attempt<T>(step: () => T): T | undefined {
  try {
    return step();
  } catch {
    return undefined;
  }
}
const run = (program: string, ...args: string[]) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();

describe.each<CacheMode>(['none', 'writeback', 'writethrough'])('cache %s', (cache) => {
  it('reads and writes pieces of any size, at any sector', async () => {
    const bytes = randomBytes(MIB);
    const disk = await image(file(`rw-${cache}`, bytes), { cache });
    expect([disk.sizeBytes, disk.canDiscard]).toEqual([MIB, true]);
    const unit = disk.sectorBytes;
    const pieces = [randomBytes(100), randomBytes(unit), randomBytes(2 * unit - 100)];
    await disk.write(5 * unit, pieces);
    Buffer.concat(pieces).copy(bytes, 5 * unit);
    const into = [Buffer.alloc(3 * unit + 1), Buffer.alloc(5 * unit - 1)];
    await disk.read(unit, into);
    expect(Buffer.concat(into).equals(bytes.subarray(unit, 9 * unit))).toBe(true);
    await disk.flush();
    expect(readFileSync(disk.path).equals(bytes)).toBe(true);
  });

  it('makes zeros and holes', async () => {
    const disk = await image(file(`zero-${cache}`, Buffer.alloc(4 * MIB, 7)), { cache });
    await disk.writeZeroes(4096, 8192);
    expect(statSync(disk.path).blocks * 512).toBeGreaterThanOrEqual(4 * MIB);
    await disk.discard(MIB, MIB);
    await disk.writeZeroes(3 * MIB, MIB, { mayUnmap: true });
    const expected = Buffer.alloc(4 * MIB, 7)
      .fill(0, 4096, 12_288)
      .fill(0, MIB, 2 * MIB)
      .fill(0, 3 * MIB);
    expect(readFileSync(disk.path).equals(expected)).toBe(true);
    expect(statSync(disk.path).blocks * 512).toBeLessThan(3 * MIB);
  });

  it('whose file was cut off fails where the file ends', async () => {
    const disk = await image(file(`short-${cache}`, Buffer.alloc(MIB, 7)), { cache });
    truncateSync(disk.path, MIB / 2);
    const into = Buffer.alloc(8192);
    await disk.read(MIB / 2 - 8192, [into]);
    expect(into.every((byte) => byte === 7)).toBe(true);
    await expect(disk.read(MIB / 2 - 4096, [into])).rejects.toThrow(failing('EIO'));
    await expect(disk.read(MIB - 8192, [into])).rejects.toThrow(failing('EIO'));
  });
});

it('the last sector of a file may be a part of one', async () => {
  const disk = await image(file('odd', Buffer.alloc(1000, 7)));
  expect(disk.sizeBytes).toBe(1024);
  const into = Buffer.alloc(1024, 1);
  await disk.read(0, [into]);
  expect(into.equals(Buffer.alloc(1024).fill(7, 0, 1000))).toBe(true);
  await disk.write(512, [Buffer.alloc(512, 9)]);
  expect(statSync(disk.path).size).toBe(1024);
});

it('what is no sector of it is refused', async () => {
  const disk = await image(file('range', Buffer.alloc(8192)));
  const one = [Buffer.alloc(512)];
  for (const request of [
    () => disk.read(8192, one),
    () => disk.write(8192 - 256, one),
    () => disk.write(100, one),
    () => disk.read(-512, one),
    () => disk.read(0, [Buffer.alloc(100)]),
    () => disk.discard(0, 8192 + 512),
    () => disk.writeZeroes(Number.NaN, 512),
  ])
    await expect(request()).rejects.toThrow(failing('EINVAL'));
});

it('is not written when it is read-only, and not used when it is closed', async () => {
  const disk = await image(file('ro', Buffer.alloc(8192)), { readOnly: true });
  const one = [Buffer.alloc(512)];
  expect([disk.readOnly, disk.canDiscard]).toEqual([true, false]);
  for (const request of [
    () => disk.write(0, one),
    () => disk.discard(0, 512),
    () => disk.writeZeroes(0, 512),
  ])
    await expect(request()).rejects.toThrow(failing('EROFS'));
  await disk.read(0, one);
  await disk.flush();
  const reading = disk.read(512, one);
  await Promise.all([disk.close(), disk.close()]);
  await reading;
  await expect(disk.read(0, one)).rejects.toThrow(failing('EBADF'));
});

const small = attempt(() => {
  mkdirSync(at('small'));
  run('mount', '-t', 'tmpfs', '-o', 'size=1M', 'none', at('small'));
  undo.push(() => run('umount', at('small')));
  return at('small');
});
const noMount = small === undefined ? ' (skipped: no right to mount)' : '';
it.skipIf(small === undefined)(`a full disk is told${noMount}; what was there stays`, async () => {
  writeFileSync(`${small}/disk`, '');
  truncateSync(`${small}/disk`, 4 * MIB);
  const disk = await image(`${small}/disk`);
  await disk.write(0, [Buffer.alloc(MIB / 2, 7)]);
  await expect(disk.write(MIB, [Buffer.alloc(MIB, 8)])).rejects.toThrow(failing('ENOSPC'));
  const into = Buffer.alloc(MIB / 2);
  await disk.read(0, [into]);
  expect(into.every((byte) => byte === 7)).toBe(true);
  await disk.discard(MIB, MIB);
  await disk.write(MIB, [Buffer.alloc(MIB / 4, 9)]);
});

const device = attempt(() => {
  const found = run('losetup', '--find', '--show', file('loop', Buffer.alloc(4 * MIB, 7)));
  undo.push(() => run('losetup', '--detach', found));
  return found;
});
const noLoop = device === undefined ? ' (skipped: no loop devices)' : '';
it.skipIf(device === undefined)(`a block device has its size, and makes zeros${noLoop}`, async () => {
  const disk = await image(device!, { cache: 'none' });
  expect([disk.sizeBytes, disk.sectorBytes]).toEqual([4 * MIB, 512]);
  await disk.write(512, [Buffer.alloc(1024, 9)]);
  await disk.discard(MIB, MIB);
  await disk.writeZeroes(2 * MIB, 4096);
  await disk.flush();
  const expected = Buffer.alloc(4 * MIB, 7)
    .fill(9, 512, 1536)
    .fill(0, MIB, 2 * MIB);
  expected.fill(0, 2 * MIB, 2 * MIB + 4096);
  const into = Buffer.alloc(4 * MIB);
  await disk.read(0, [into]);
  expect(into.equals(expected)).toBe(true);
});
