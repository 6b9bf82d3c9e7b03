/**
 * Unpacked kernels by the SHA-256 of the file they came from, so that only the first start of a kernel pays for its
 * decompression. A cache is never a reason to fail: what cannot be read or trusted is rebuilt, what cannot be written is
 * done without.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { writeFully } from '../../base/files.js';
import { bytes, cstring, cstruct, u64 } from '../../base/layout.js';
import { MAX_CACHED_KERNELS, MAX_KERNEL_CACHE_BYTES, MAX_KERNEL_ELF_BYTES } from '../../base/limits.js';
import { FileSource, type ImageSource, readBytes } from './image-source.js';

/** Follows the ELF image in every entry: an entry without it was cut off. */
const trailer = cstruct('struct kernel_cache_trailer', 'kernel-cache.ts', 88, {
  magic: cstring(16),
  elfBytes: u64,
  key: bytes(32),
  /** SHA-256 of the image's first and last SAMPLE_BYTES: all of it would cost more than the cache saves. */
  sample: bytes(32),
});
const MAGIC = 'xenner-kernel-1';
const SAMPLE_BYTES = 65_536;
const ENTRY = /^[0-9a-f]{64}$/;
const TEMPORARY = /^\.new-/;
/** A store that takes longer has died. */
const STALE_MS = 3_600_000;

export interface KernelCacheLimits {
  entries: number;
  bytes: number;
}

/** `$XENNER_CACHE/kernels`, by default below `$XDG_CACHE_HOME` or `~/.cache`. */
export function kernelCacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const root = env.XENNER_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'xenner');
  return join(root, 'kernels');
}

/** The key of an input file. */
export function kernelCacheKey(input: Uint8Array): string {
  return createHash('sha256').update(input).digest('hex');
}

export class KernelCache {
  constructor(
    private readonly directory: string,
    private readonly limits: KernelCacheLimits = {
      entries: MAX_CACHED_KERNELS,
      bytes: MAX_KERNEL_CACHE_BYTES,
    },
  ) {}

  /** The image under `key`, to be closed by the caller; undefined when there is none that can be trusted. */
  find(key: string): ImageSource | undefined {
    let fd: number | undefined;
    try {
      fd = openSync(join(this.directory, key), constants.O_RDONLY | constants.O_NOFOLLOW);
      const image = check(fd, key);
      if (image === undefined) {
        closeSync(fd);
        return undefined;
      }
      touch(fd);
      return image;
    } catch {
      if (fd !== undefined) closeSync(fd);
      return undefined;
    }
  }

  /** Keeps `elf` if it can. Another process may store the same at once: whole files replace each other. */
  store(key: string, elf: Uint8Array): void {
    const temporary = join(this.directory, `.new-${process.pid}-${randomBytes(6).toString('hex')}`);
    try {
      mkdirSync(this.directory, { recursive: true, mode: 0o700 });
      write(temporary, elf, key);
      renameSync(temporary, join(this.directory, key));
      this.evict();
    } catch {
      discard(temporary);
    }
  }

  /** Oldest use first, until the limits hold. */
  private evict(): void {
    const entries: Array<{ path: string; stat: Stats }> = [];
    for (const name of readdirSync(this.directory)) {
      const path = join(this.directory, name);
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat === undefined) continue;
      if (ENTRY.test(name)) entries.push({ path, stat });
      else if (TEMPORARY.test(name) && Date.now() - stat.mtimeMs > STALE_MS) discard(path);
    }
    entries.sort((a, b) => b.stat.mtimeMs - a.stat.mtimeMs);
    let total = 0;
    for (const [index, { path, stat }] of entries.entries()) {
      total += stat.size;
      if (index >= this.limits.entries || total > this.limits.bytes) discard(path);
    }
  }
}

/** @returns undefined for an entry that is damaged or that someone else could have written */
function check(fd: number, key: string): ImageSource | undefined {
  const stat = fstatSync(fd);
  const ours = stat.uid === 0 || stat.uid === process.geteuid?.();
  if (!stat.isFile() || !ours || (stat.mode & 0o022) !== 0) return undefined;
  const elfBytes = stat.size - trailer.size;
  if (elfBytes <= 0 || elfBytes > MAX_KERNEL_ELF_BYTES) return undefined;
  const end = trailer.decode(readBytes(new FileSource(fd, stat.size), elfBytes, trailer.size));
  if (end.magic !== MAGIC || end.elfBytes !== BigInt(elfBytes)) return undefined;
  if (Buffer.from(end.key).toString('hex') !== key) return undefined;
  const image = new FileSource(fd, elfBytes);
  const length = Math.min(elfBytes, SAMPLE_BYTES);
  const sample = sampleOf(readBytes(image, 0, length), readBytes(image, elfBytes - length, length));
  return sample.equals(end.sample) ? image : undefined;
}

function sampleOf(head: Uint8Array, tail: Uint8Array): Buffer {
  return createHash('sha256').update(head).update(tail).digest();
}

function write(path: string, elf: Uint8Array, key: string): void {
  const length = Math.min(elf.length, SAMPLE_BYTES);
  const end = trailer.create({
    magic: MAGIC,
    elfBytes: BigInt(elf.length),
    key: Buffer.from(key, 'hex'),
    sample: sampleOf(elf.subarray(0, length), elf.subarray(elf.length - length)),
  });
  const fd = openSync(path, 'wx', 0o600);
  try {
    writeFully(fd, elf);
    writeFully(fd, end);
    // The samples do not cover the middle: after a crash of the host it must not be a hole.
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** `force` forgives a missing file only, not a missing directory. */
function discard(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    return;
  }
}

/** Marks the use, for evict(). A read-only cache keeps its order. */
function touch(fd: number): void {
  const now = Date.now() / 1000;
  try {
    futimesSync(fd, now, now);
  } catch {
    return;
  }
}
