/** The cache of unpacked kernels: hits, damage, limits, and that it never fails anyone. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openFile, readBytes } from '../../../src/xenner/builder/image-source.js';
import {
  KernelCache,
  kernelCacheDirectory,
  kernelCacheKey,
} from '../../../src/xenner/builder/kernel-cache.js';
import { openKernel } from '../../../src/xenner/builder/kernel-image.js';
import {
  decompress,
  errorOf,
  makeBzImage,
  makeKernel,
  makePayload,
  neverDecompress,
  noAddon,
} from './images.js';

const elf = Buffer.concat([makeKernel(), Buffer.alloc(200_000, 'tail')]);
const key = keyOf(0);
let root: string;
let directory: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'xenner-cache-'));
  directory = join(root, 'kernels');
});
afterEach(() => rmSync(root, { recursive: true }));

function found(cache: KernelCache, name = key): Buffer | undefined {
  const source = cache.find(name);
  const bytes = source && readBytes(source, 0, source.size);
  source?.close();
  return bytes;
}

function fifo(): string {
  const path = join(root, 'fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

describe('the cache', () => {
  it('gives back what was stored, and nothing else', () => {
    const cache = new KernelCache(directory);
    expect(found(cache)).toBeUndefined();
    cache.store(key, elf);
    expect(found(cache)?.equals(elf)).toBe(true);
    expect(found(cache, keyOf(1))).toBeUndefined();
  });

  it('belongs to its user alone', () => {
    new KernelCache(directory).store(key, elf);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, key)).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual([key]);
  });

  it.each<{ name: string; damage: (path: string) => void }>([
    { name: 'empty', damage: (path) => truncateSync(path, 0) },
    { name: 'cut off', damage: (path) => truncateSync(path, elf.length / 2) },
    { name: 'one byte short', damage: (path) => truncateSync(path, statSync(path).size - 1) },
    { name: 'one byte long', damage: (path) => writeFileSync(path, 'x', { flag: 'a' }) },
    {
      name: 'all zeros',
      damage: (path) => writeFileSync(path, Buffer.alloc(statSync(path).size), { mode: 0o600 }),
    },
    { name: 'wrong at its start', damage: (path) => poke(path, 100) },
    { name: 'wrong at its end', damage: (path) => poke(path, elf.length - 100) },
    { name: 'of another kernel', damage: (path) => swap(path) },
    { name: 'writable by others', damage: (path) => chmodSync(path, 0o622) },
    { name: 'a symbolic link', damage: (path) => link(path) },
    { name: 'a directory', damage: (path) => replaceByDirectory(path) },
  ])('does not trust an entry that is $name', ({ damage }) => {
    const cache = new KernelCache(directory);
    cache.store(key, elf);
    damage(join(directory, key));
    expect(found(cache)).toBeUndefined();
  });

  it('replaces a damaged entry', () => {
    const cache = new KernelCache(directory);
    cache.store(key, elf);
    truncateSync(join(directory, key), 1000);
    cache.store(key, elf);
    expect(found(cache)?.equals(elf)).toBe(true);
  });

  it('lets the least recently used go, by number', () => {
    const cache = new KernelCache(directory, { entries: 3, bytes: 2 ** 30 });
    for (const n of [1, 2, 3]) {
      cache.store(keyOf(n), elf);
      utimesSync(join(directory, keyOf(n)), 1000 + n, 1000 + n);
    }
    expect(found(cache, keyOf(1))).toBeDefined();
    cache.store(keyOf(4), elf);
    expect(readdirSync(directory).sort()).toEqual([keyOf(1), keyOf(3), keyOf(4)].sort());
  });

  it('lets the least recently used go, by size', () => {
    const cache = new KernelCache(directory, { entries: 100, bytes: 2.5 * elf.length });
    for (const n of [1, 2, 3]) {
      cache.store(keyOf(n), elf);
      utimesSync(join(directory, keyOf(n)), 1000 + n, 1000 + n);
    }
    expect(readdirSync(directory).sort()).toEqual([keyOf(2), keyOf(3)].sort());
  });

  it('clears up after a store that died, and leaves other files alone', () => {
    mkdirSync(directory);
    for (const name of ['.new-1-old', '.new-2-fresh', 'README']) writeFileSync(join(directory, name), '');
    utimesSync(join(directory, '.new-1-old'), 1000, 1000);
    new KernelCache(directory).store(key, elf);
    expect(readdirSync(directory).sort()).toEqual(['.new-2-fresh', 'README', key].sort());
  });

  it('that cannot be written is no error', () => {
    writeFileSync(directory, 'a file where the directory should be');
    const cache = new KernelCache(directory);
    expect(() => cache.store(key, elf)).not.toThrow();
    expect(found(cache)).toBeUndefined();
  });

  it('lies where the user says', () => {
    expect(kernelCacheDirectory({ XENNER_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a/kernels');
    expect(kernelCacheDirectory({ XENNER_CACHE: '', XDG_CACHE_HOME: '/b' })).toBe('/b/xenner/kernels');
    expect(kernelCacheDirectory({})).toMatch(/\/\.cache\/xenner\/kernels$/);
  });
});

describe('the key of a kernel file', () => {
  const keyOfFile = (path: string) => {
    const file = openFile(path, 'kernel', 2 ** 20);
    const key = kernelCacheKey(file);
    file.close();
    return key;
  };

  it('stays the same, under another name too', () => {
    const [path, renamed] = [join(root, 'vmlinuz'), join(root, 'other')];
    writeFileSync(path, elf);
    const first = keyOfFile(path);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(keyOfFile(path)).toBe(first);
    linkSync(path, renamed);
    expect(keyOfFile(renamed)).toBe(keyOfFile(path));
  });

  it.each<[string, (path: string) => void]>([
    ['was written to, in its middle, and its time put back', (path) => poke(path, elf.length / 2)],
    ['is a copy', (path) => renameSync(copied(path), path)],
    ['got longer', (path) => writeFileSync(path, 'x', { flag: 'a' })],
    ['begins differently', (path) => poke(path, 10)],
  ])('is another one when it %s', async (_, change) => {
    const path = join(root, 'vmlinuz');
    writeFileSync(path, elf);
    utimesSync(path, 1000, 1000);
    const before = keyOfFile(path);
    // Longer than the kernel's clock for files stands still.
    await setTimeout(20);
    change(path);
    utimesSync(path, 1000, 1000);
    expect(keyOfFile(path)).not.toBe(before);
  });
});

describe('opening a kernel', () => {
  const maybe = it.skipIf(noAddon !== undefined);
  maybe(`unpacks it once${noAddon ? ` (skipped: ${noAddon})` : ''}`, () => {
    const path = join(root, 'vmlinuz');
    writeFileSync(path, makeBzImage(makePayload('gzip', makeKernel())));
    const cache = new KernelCache(directory);
    openKernel(path, decompress, cache).source.close();
    const again = openKernel(path, neverDecompress, cache);
    expect(again.pv.entry).toBe(0xffffffff80100000n);
    again.source.close();
    truncateSync(join(directory, readdirSync(directory)[0]!), 5);
    expect(() => openKernel(path, neverDecompress, cache)).toThrow('decompress was called');
    openKernel(path, decompress, cache).source.close();
    openKernel(path, neverDecompress, cache).source.close();
  });

  it('reads an ELF file in place', () => {
    const path = join(root, 'vmlinux');
    writeFileSync(path, makeKernel());
    const { source } = openKernel(path, neverDecompress, new KernelCache(directory));
    expect(source.size).toBe(makeKernel().length);
    source.close();
    source.close();
    expect(existsSync(directory)).toBe(false);
  });

  it.each([
    { name: 'that is not there', path: () => join(root, 'none'), text: 'does not exist' },
    { name: 'that is a directory', path: () => root, text: 'not a regular file' },
    { name: 'that is a FIFO nobody writes to', path: fifo, text: 'not a regular file' },
    { name: 'that is a device', path: () => '/dev/null', text: 'not a regular file' },
  ])('$name fails in one line', ({ path, text }) => {
    const error = errorOf(() => openKernel(path(), neverDecompress));
    expect(error).toMatchObject({ code: 'EIMAGE_FILE' });
    expect(error.message).toContain(text);
  });

  it('that is too large fails before it is read', () => {
    const path = join(root, 'huge');
    writeFileSync(path, '');
    truncateSync(path, 2 ** 28 + 1);
    expect(errorOf(() => openKernel(path, neverDecompress))).toMatchObject({ code: 'EIMAGE_TOO_BIG' });
  });

  it('that is no PV kernel fails', () => {
    const path = join(root, 'vmlinux');
    writeFileSync(path, makeKernel({ GUEST_OS: 'linux' }));
    expect(errorOf(() => openKernel(path, neverDecompress))).toMatchObject({ code: 'EKERNEL_NOT_PV' });
  });
});

/** Names of entries. */
function keyOf(n: number): string {
  return Buffer.alloc(32, n + 1).toString('hex');
}

function copied(path: string): string {
  copyFileSync(path, `${path}.copy`);
  return `${path}.copy`;
}

function poke(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
}

function swap(path: string): void {
  new KernelCache(directory).store(keyOf(9), Buffer.concat([elf, elf]));
  writeFileSync(path, readFileSync(join(directory, keyOf(9))));
}

function link(path: string): void {
  const target = join(root, 'elsewhere');
  writeFileSync(target, readFileSync(path), { mode: 0o600 });
  rmSync(path);
  symlinkSync(target, path);
}

function replaceByDirectory(path: string): void {
  rmSync(path);
  mkdirSync(path);
}
