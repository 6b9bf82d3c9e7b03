/**
 * Unpacked kernels, so that only the first start of a kernel file pays for its decompression. A file is known by what is
 * cheap to ask: reading 12 MiB to hash them may take longer than the rest of a start. A cache is never a reason to fail:
 * what cannot be read or trusted is rebuilt, what cannot be written is done without.
 */
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
import { randomBytes } from '../../base/crypto.js';
import { writeFully } from '../../base/files.js';
import { bytes, cstring, cstruct, pad, s64, u32, u64 } from '../../base/layout.js';
import { MAX_CACHED_KERNELS, MAX_KERNEL_CACHE_BYTES, MAX_KERNEL_ELF_BYTES } from '../../base/limits.js';
import { sumOfPages } from '../../kvm/guest-memory.js';
import { BufferSource, FileSource, type ImageSource, readBytes } from './image-source.js';

/** Follows the ELF image in every entry: an entry without it was cut off. */
const trailer = cstruct('struct kernel_cache_trailer', 'kernel-cache.ts', 64, {
  magic: cstring(16),
  elfBytes: u64,
  key: bytes(32),
  sample: u32,
  pad: pad(4),
});
const MAGIC = 'xenner-kernel-2';
/** An entry's name. Nobody can choose a file's ctime, and whatever is written to a file changes it. */
const cacheKey = cstruct('struct kernel_cache_key', 'kernel-cache.ts', 32, {
  bytes: u64,
  mtimeNs: s64,
  ctimeNs: s64,
  sample: u32,
  pad: pad(4),
});
const PAGE = 4096;
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
export function kernelCacheKey(input: FileSource): string {
  const { mtimeNs, ctimeNs } = input.stat();
  const key = { bytes: BigInt(input.size), mtimeNs, ctimeNs, sample: sampleOf(input) };
  return cacheKey.create(key).toString('hex');
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
  return sampleOf(image) === end.sample ? image : undefined;
}

/** A sum over the first and the last SAMPLE_BYTES, in whole pages: over all it would cost more than the cache saves. */
function sampleOf(image: ImageSource): number {
  const length = Math.min(Math.floor(image.size / PAGE) * PAGE, SAMPLE_BYTES);
  const ends = [readBytes(image, 0, length), readBytes(image, image.size - length, length)];
  return sumOfPages(Buffer.concat(ends));
}

function write(path: string, elf: Uint8Array, key: string): void {
  const end = trailer.create({
    magic: MAGIC,
    elfBytes: BigInt(elf.length),
    key: Buffer.from(key, 'hex'),
    sample: sampleOf(new BufferSource(elf)),
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
