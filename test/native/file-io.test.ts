/** Asynchronous I/O on files, by either engine: what is read and written, what goes wrong, and what is closed meanwhile. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FileIo, GuestMemory, gpa } from '../../src/kvm/index.js';
import { fuzzSettings, Random } from '../fuzz/random.js';
import { addonWorker, messageOf } from './addon-worker.js';
import { ENGINES, type Engine, engineReason } from './file-io-engines.js';

const PUNCH = 3; // FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE

let dir: string;
let path: string;
const fds: number[] = [];
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'xenner-file-io-'));
  path = join(dir, 'file');
});
afterAll(() => rmSync(dir, { recursive: true }));
afterEach(() => {
  for (const fd of fds.splice(0)) closeSync(fd);
});

function open(name: string, flags: string | number = 'r+'): number {
  const fd = openSync(name, flags);
  fds.push(fd);
  return fd;
}

/** A file with these bytes. */
function file(bytes: Uint8Array): number {
  writeFileSync(path, bytes);
  return open(path);
}

const mappings = () => readFileSync('/proc/self/maps', 'latin1').split('xenner-guest').length - 1;

describe.each(ENGINES)('%s', (engine: Engine) => {
  const skip = engineReason(engine);
  const test = it.skipIf(skip !== undefined);
  let io: FileIo;
  beforeEach(() => {
    if (skip === undefined) io = new FileIo({ engine });
  });
  afterEach(() => io?.close());

  test(`is what it says${skip ? ` (skipped: ${skip})` : ''}`, () => {
    expect(io.engine).toBe(engine);
  });

  test('does what a plain file does, many requests at once', async () => {
    const { cases, seed } = fuzzSettings(60);
    const random = new Random(seed);
    const size = 1 << 18;
    const model = randomBytes(size);
    const fd = file(model);
    const split = (bytes: Buffer) => {
      const parts: Buffer[] = [];
      for (let at = 0; at < bytes.length; ) {
        const length = Math.min(bytes.length - at, random.below(4) === 0 ? 0 : 1 + random.below(5000));
        parts.push(bytes.subarray(at, at + length));
        at += length;
      }
      return parts;
    };
    for (let round = 0; round < cases; round++) {
      // Ranges that do not overlap: what overlaps has no order.
      const lane = size / 16;
      await Promise.all(
        Array.from({ length: 16 }, async (_, i) => {
          const length = random.below(lane);
          const offset = i * lane + random.below(lane - length);
          const range = model.subarray(offset, offset + length);
          if (random.below(2) === 0) {
            range.set(randomBytes(length));
            expect(await io.writev(fd, split(Buffer.from(range)), offset)).toBe(length);
          } else {
            const into = Buffer.alloc(length);
            expect(await io.readv(fd, split(into), offset)).toBe(length);
            expect(into.equals(range), `seed ${seed}, round ${round}`).toBe(true);
          }
        }),
      );
    }
    expect(readFileSync(path).equals(model)).toBe(true);
  });

  test('more buffers than a system call takes', async () => {
    const bytes = randomBytes(3000 * 7);
    const fd = file(Buffer.alloc(0));
    const parts = (whole: Buffer) => Array.from({ length: 3000 }, (_, i) => whole.subarray(i * 7, i * 7 + 7));
    expect(await io.writev(fd, parts(bytes), 5)).toBe(bytes.length);
    expect(readFileSync(path).subarray(5).equals(bytes)).toBe(true);
    const into = Buffer.alloc(bytes.length);
    expect(await io.readv(fd, parts(into), 5)).toBe(bytes.length);
    expect(into.equals(bytes)).toBe(true);
  });

  test('more requests than fit into any queue', async () => {
    const bytes = randomBytes(10_000);
    const fd = file(bytes);
    const into = Buffer.alloc(bytes.length);
    const counts = await Promise.all(Array.from(into, (_, i) => io.readv(fd, [into.subarray(i, i + 1)], i)));
    expect(counts.every((count) => count === 1)).toBe(true);
    expect(into.equals(bytes)).toBe(true);
  });

  test.each([
    { name: 'across it', position: 4990, sizes: [4, 4, 8], count: 10 },
    { name: 'up to it', position: 4992, sizes: [8], count: 8 },
    { name: 'at it', position: 5000, sizes: [8], count: 0 },
    { name: 'behind it', position: 2 ** 40, sizes: [8], count: 0 },
    { name: 'nothing', position: 0, sizes: [], count: 0 },
    { name: 'empty buffers', position: 0, sizes: [0, 0], count: 0 },
  ])("reading at the file's end: $name", async ({ position, sizes, count }) => {
    const fd = file(Buffer.alloc(5000, 7));
    const into = sizes.map((size) => Buffer.alloc(size, 1));
    expect(await io.readv(fd, into, position)).toBe(count);
    const bytes = Buffer.concat(into);
    expect(bytes.equals(Buffer.alloc(bytes.length, 1).fill(7, 0, count))).toBe(true);
  });

  test('files that give a page or so at a time', async () => {
    const expected = readFileSync('/proc/kallsyms');
    const fd = open('/proc/kallsyms', 'r');
    const into = Buffer.alloc(expected.length + 100);
    expect(await io.readv(fd, [into.subarray(0, 100_001), into.subarray(100_001)], 0)).toBe(expected.length);
    expect(into.subarray(0, expected.length).equals(expected)).toBe(true);
  });

  test('fdatasync and fallocate', async () => {
    const fd = file(Buffer.alloc(16_384, 9));
    await io.fdatasync(fd);
    await io.fallocate(fd, PUNCH, 4096, 8192);
    const bytes = readFileSync(path);
    expect(bytes.equals(Buffer.alloc(16_384, 9).fill(0, 4096, 12_288))).toBe(true);
    await io.fallocate(fd, 0, 0, 20_000);
    expect(readFileSync(path).length).toBe(20_000);
  });

  const buffer = [new Uint8Array(8)];
  const failures: Array<{ name: string; code: string; request: () => Promise<unknown> }> = [
    { name: 'no such descriptor', code: 'EBADF', request: () => io.readv(1_000_000, buffer, 0) },
    { name: 'a full device', code: 'ENOSPC', request: () => io.writev(open('/dev/full'), buffer, 0) },
    { name: 'a directory', code: 'EISDIR', request: () => io.readv(open(dir, 'r'), buffer, 0) },
    { name: 'not open for writing', code: 'EBADF', request: () => io.writev(open(path, 'r'), buffer, 0) },
    { name: 'no holes there', code: 'ENODEV', request: () => io.fallocate(open('/dev/null'), PUNCH, 0, 8) },
    { name: 'nothing to allocate', code: 'EINVAL', request: () => io.fallocate(open(path), 0, 0, 0) },
    { name: 'no sync there', code: 'EINVAL', request: () => io.fdatasync(open('/dev/null')) },
    { name: 'behind any file', code: 'EINVAL', request: () => io.readv(open(path), buffer, 2 ** 63) },
    { name: 'before any file', code: 'EINVAL', request: () => io.readv(open(path), buffer, -1) },
    { name: 'half a byte', code: 'EINVAL', request: () => io.readv(open(path), buffer, 0.5) },
    { name: 'a negative descriptor', code: 'EINVAL', request: () => io.fdatasync(-1) },
    {
      name: 'no bytes',
      code: 'EINVAL',
      request: () => io.readv(open(path), [[1, 2]] as unknown as Uint8Array[], 0),
    },
    {
      name: 'far too many buffers',
      code: 'EINVAL',
      request: () => io.readv(open(path), Array(65_537).fill(new Uint8Array(1)), 0),
    },
  ];
  test.each(failures)('refused: $name', async ({ code, request }) => {
    file(Buffer.alloc(100));
    await expect(request()).rejects.toMatchObject({ code });
    // The others go on.
    expect(await io.readv(open(path), buffer, 0)).toBe(8);
  });

  test('a chain of requests that never waits lets others have their turn', async () => {
    const fd = file(Buffer.alloc(4096));
    let timer = false;
    setTimeout(() => {
      timer = true;
    }, 1);
    while (!timer) await io.readv(fd, buffer, 0);
  });

  test('closing waits for what is under way, and refuses what comes later', async () => {
    const fd = file(Buffer.alloc(1 << 20, 5));
    const into = Array.from({ length: 50 }, () => Buffer.alloc(1 << 20));
    const reads = into.map((one) => io.readv(fd, [one], 0));
    await Promise.all([io.close(), io.close()]);
    expect(into.every((one) => one.at(-1) === 5)).toBe(true);
    expect(await Promise.all(reads)).toEqual(into.map(() => 1 << 20));
    await expect(io.readv(fd, buffer, 0)).rejects.toMatchObject({ code: 'EBADF' });
  });

  test('guest memory that is closed under requests stays mapped until they have ended', async () => {
    const before = mappings();
    const memory = GuestMemory.create(64 << 20);
    const fd = file(Buffer.alloc(4 << 20, 5));
    const pages = Array.from({ length: 1024 }, (_, i) => memory.bytes(gpa(i * 16_384), 4096));
    const reads = Array.from({ length: 64 }, (_, i) => io.readv(fd, pages.slice(i * 16, i * 16 + 16), 0));
    memory.close();
    expect(pages[0]!.length).toBe(0);
    expect(mappings()).toBe(before + 1);
    expect(await Promise.all(reads)).toEqual(Array(64).fill(65_536));
    expect(mappings()).toBe(before);
  });

  test('a worker that ends leaves nothing that the kernel still writes to', async () => {
    const fd = file(Buffer.alloc(1 << 20, 5));
    const worker = addonWorker(
      `const results = new Float64Array(4);
      const io = new addon.FileIo(workerData.threads, new addon.Notifier(() => {}).id, results);
      const buffers = Array.from({ length: 64 }, () => new Uint8Array(1 << 20));
      buffers.forEach((buffer, i) => io.transfer(i, 0, workerData.fd, 0, [buffer]));
      io.flush();
      parentPort.postMessage('begun');`,
      { threads: engine === 'threads' ? 4 : 0, fd },
    );
    expect(await messageOf(worker)).toBe('begun');
    await worker.terminate();
  });
});

const noUring = engineReason('io_uring');
// The kernel waits with the buffers in its hands; only io_uring reads what has no positions.
it.skipIf(noUring !== undefined)(
  `guest memory that is closed under a read that waits${noUring ? ` (skipped: ${noUring})` : ''}`,
  async () => {
    const io = new FileIo({ engine: 'io_uring' });
    const fifo = join(dir, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const fd = open(fifo, constants.O_RDWR);
    const before = mappings();
    const memory = GuestMemory.create(1 << 20);
    const read = io.readv(fd, [memory.bytes(gpa(4096), 100), memory.bytes(gpa(8192), 28)], 0);
    // Another request's end says that both were begun.
    await io.readv(file(Buffer.alloc(1)), [new Uint8Array(1)], 0);
    memory.close();
    expect(mappings()).toBe(before + 1);
    for (const bytes of [60, 60, 8]) await io.writev(fd, [Buffer.alloc(bytes, 1)], 0);
    expect(await read).toBe(128);
    expect(mappings()).toBe(before);
    await io.close();
  },
);
