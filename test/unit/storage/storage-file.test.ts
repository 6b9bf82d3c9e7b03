/** One file of the host: every cache mode against what node:fs says of the same file. */
import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { alignedMemory } from '../../../src/kvm/index.js';
import { gather, slice, totalBytes } from '../../../src/mgmt/storage/io-vector.js';
import { type CacheMode, StorageFile } from '../../../src/mgmt/storage/storage-file.js';
import { Random } from '../../fuzz/random.js';
import { scratch } from './scratch.js';

const file = scratch();
const random = (bytes: number) => randomFillSync(new Uint8Array(bytes));
const code = (name: string) => expect.objectContaining({ code: name });

/** O_DIRECT is not for every file system. */
async function canBypass(): Promise<string | undefined> {
  const path = file('probe');
  writeFileSync(path, random(4096));
  try {
    await (await StorageFile.open(path, { cache: 'none' })).close();
    return undefined;
  } catch (error) {
    return `no O_DIRECT here: ${(error as Error).message}`;
  }
}
const noBypass = await canBypass();

describe.each<CacheMode>(['writeback', 'writethrough', 'none'])('cache %s', (cache) => {
  it('reads and writes any range, in any number of buffers', async ({ skip }) => {
    if (cache === 'none' && noBypass) skip(noBypass);
    const path = file(`random-${cache}`);
    const model = Buffer.from(random(3 * 2 ** 20));
    writeFileSync(path, model);
    const store = await StorageFile.open(path, { cache });
    const numbers = new Random(7);
    for (let round = 0; round < 150; round++) {
      const unit = numbers.pick([1, 512, 4096]);
      const offset = numbers.below(model.length / unit) * unit;
      const length = Math.min(model.length - offset, (1 + numbers.below(2 ** 20 / unit)) * unit);
      const memory = numbers.below(2) ? alignedMemory(length) : new Uint8Array(length);
      const buffers: Uint8Array[] = [];
      for (let at = 0; at < length; ) {
        const take = Math.min(length - at, unit * (1 + numbers.below(64)));
        buffers.push(memory.subarray(at, at + take));
        at += take;
      }
      if (numbers.below(2)) {
        randomFillSync(memory);
        await store.write(offset, buffers);
        model.set(memory, offset);
      } else {
        expect(await store.read(offset, buffers)).toBe(length);
        expect(Buffer.compare(memory, model.subarray(offset, offset + length))).toBe(0);
      }
    }
    await store.sync();
    await store.close();
    expect(Buffer.compare(readFileSync(path), model)).toBe(0);
  });

  it('reads zeros behind the end and says how much there was', async ({ skip }) => {
    if (cache === 'none' && noBypass) skip(noBypass);
    const path = file(`end-${cache}`);
    const content = random(5000);
    writeFileSync(path, content);
    const store = await StorageFile.open(path, { cache, readOnly: true });
    const into = new Uint8Array(2000).fill(0xff);
    expect(await store.read(4096, [into.subarray(0, 1000), into.subarray(1000)])).toBe(904);
    expect(Buffer.compare(into.subarray(0, 904), content.subarray(4096))).toBe(0);
    expect(into.subarray(904).every((byte) => byte === 0)).toBe(true);
    expect(await store.read(10_000, [into])).toBe(0);
    await store.close();
  });

  it('keeps parts of one block that are written at the same time', async ({ skip }) => {
    if (cache === 'none' && noBypass) skip(noBypass);
    const path = file(`parts-${cache}`);
    writeFileSync(path, new Uint8Array(8192));
    const store = await StorageFile.open(path, { cache });
    const content = random(8192);
    const pieces = Array.from({ length: 64 }, (_, i) => i * 128);
    await Promise.all(pieces.map((at) => store.write(at, [content.subarray(at, at + 128)])));
    await store.close();
    expect(Buffer.compare(readFileSync(path), content)).toBe(0);
  });
});

it('takes more buffers than one system call does', async () => {
  const path = file('many');
  writeFileSync(path, '');
  const store = await StorageFile.open(path);
  const content = random(5000 * 16);
  const buffers = Array.from({ length: 5000 }, (_, i) => content.subarray(16 * i, 16 * i + 16));
  await store.write(0, buffers);
  expect(store.sizeBytes).toBe(content.length);
  const back = buffers.map(() => new Uint8Array(16));
  expect(await store.read(0, back)).toBe(content.length);
  expect(Buffer.compare(gather(back), content)).toBe(0);
  await store.close();
});

it('makes holes, finds data, and keeps space that only reads as zeros', async () => {
  const path = file('holes');
  writeFileSync(path, random(2 ** 20));
  const store = await StorageFile.open(path);
  await store.truncate(4 * 2 ** 20);
  expect(await store.dataAt(0)).toEqual({ start: 0, end: 2 ** 20 });
  expect(await store.punch(0, 2 ** 19)).toBe(true);
  expect(await store.dataAt(0)).toEqual({ start: 2 ** 19, end: 2 ** 20 });
  expect(await store.dataAt(2 ** 20)).toBeUndefined();
  const blocks = statSync(path).blocks;
  expect(await store.zero(2 ** 19, 2 ** 19)).toBe(true);
  expect(statSync(path).blocks).toBe(blocks);
  expect(readFileSync(path).every((byte) => byte === 0)).toBe(true);
  await store.close();
});

describe('what is no file, is gone or is closed', () => {
  it('refuses a FIFO at once, a folder, a device for characters', async () => {
    execFileSync('mkfifo', [file('fifo')]);
    await expect(StorageFile.open(file('fifo'), { readOnly: true })).rejects.toThrow(code('EFILE_TYPE'));
    await expect(StorageFile.open(file('.'), { readOnly: true })).rejects.toThrow(code('EFILE_TYPE'));
    await expect(StorageFile.open('/dev/null')).rejects.toThrow(code('EFILE_TYPE'));
    await expect(StorageFile.open(file('absent'))).rejects.toThrow(code('ENOENT'));
  });

  it('refuses everything after close(), which may come twice', async () => {
    const path = file('closed');
    writeFileSync(path, random(4096));
    const store = await StorageFile.open(path);
    await store.close();
    await store.close();
    await expect(store.read(0, [new Uint8Array(1)])).rejects.toThrow(code('EBADF'));
    await expect(store.write(0, [new Uint8Array(1)])).rejects.toThrow(code('EBADF'));
    await expect(store.sync()).rejects.toThrow(code('EBADF'));
  });

  it('reads zeros of a file that somebody truncated', async () => {
    const path = file('truncated');
    writeFileSync(path, random(8192));
    const store = await StorageFile.open(path, { readOnly: true });
    truncateSync(path, 100);
    expect(await store.read(4096, [new Uint8Array(10)])).toBe(0);
    await store.close();
  });
});

it('slices buffers anywhere', () => {
  const buffers = [3, 0, 5, 1, 7].map((length, i) => new Uint8Array(length).fill(i));
  const whole = gather(buffers);
  for (let from = 0; from <= whole.length; from++) {
    for (let length = 0; from + length <= whole.length; length++) {
      const views = slice(buffers, from, length);
      expect(totalBytes(views)).toBe(length);
      expect(Buffer.compare(gather(views), whole.subarray(from, from + length))).toBe(0);
    }
  }
});
