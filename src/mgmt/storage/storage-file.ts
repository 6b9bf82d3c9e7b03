/** One file or block device of the host as an asynchronous store of bytes: what image formats lie in. */
import { close, constants, fstat, ftruncate, open, type Stats, stat } from 'node:fs';
import { promisify } from 'node:util';
import { XennerError } from '../../base/errors.js';
import { clearNonblock, dataAt, dataRanges, endOf, punchHole, zeroRange } from '../../kvm/index.js';
import { DirectIo, probeAlignment } from './direct-io.js';
import { type HostIo, hostIo, syncData } from './host-io.js';
import { type LockMode, lockImage } from './image-lock.js';
import { fillZero, slice, totalBytes } from './io-vector.js';

/** `none`: past the host's page cache; `writethrough`: what is written is on the disk at once. */
export type CacheMode = 'none' | 'writeback' | 'writethrough';

export interface StorageOptions {
  readonly readOnly?: boolean;
  readonly cache?: CacheMode;
  /** By default what goes with `readOnly`. */
  readonly lock?: LockMode;
}

/** What formats see of a StorageFile, so that a test can look at the order of writes. */
export interface ByteStore {
  readonly path: string;
  readonly readOnly: boolean;
  readonly cache: CacheMode;
  /** Smaller pieces than this, at other offsets than its multiples, are slow; sectors of an image should not be smaller. */
  readonly blockBytes: number;
  /** What is behind a file's end, and in holes that it gets, are zeros; a device's bytes are whatever they were. */
  readonly isDevice: boolean;
  readonly sizeBytes: number;

  /** Fills the buffers, with zeros behind the end. Answers how many bytes lay before it. */
  read(offset: number, into: readonly Uint8Array[]): Promise<number>;
  /** Grows a file. On the disk it is after sync(). */
  write(offset: number, from: readonly Uint8Array[]): Promise<void>;
  sync(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  /** The range gives its space back and reads as zeros. False: not to be had here, nothing was done. */
  punch(offset: number, length: number): Promise<boolean>;
  /** The range reads as zeros and has its space. False: not to be had here, nothing was done. */
  zero(offset: number, length: number): Promise<boolean>;
  /** The next range that may be other than zeros; undefined: there is none up to the end. */
  dataAt(offset: number): Promise<{ readonly start: number; readonly end: number } | undefined>;
  /**
   * Start and end of each range before `end` that may be other than zeros, in order, and up to where that is all of them; a device's
   * is one.
   */
  dataRanges(offset: number, end: number): Promise<{ readonly ranges: Float64Array; readonly until: number }>;
  /** Idempotent; nothing may be under way. */
  close(): Promise<void>;
}

const opened = promisify(open);
const statOf = promisify(fstat) as (fd: number) => Promise<Stats>;
const statOfPath = promisify(stat) as (path: string) => Promise<Stats>;
const truncated = promisify(ftruncate);
const closed = promisify(close);

const CACHE_FLAGS: Record<CacheMode, number> = {
  none: constants.O_DIRECT,
  writeback: 0,
  writethrough: constants.O_DSYNC,
};

const NOT_SUPPORTED = new Set(['EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'ENODEV', 'EINVAL']);

async function isSupported(call: Promise<void>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (NOT_SUPPORTED.has((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

/** The same for all names of one file or device. */
export async function identityOf(path: string): Promise<string> {
  const stat = await statOfPath(path);
  return stat.isBlockDevice() ? `device ${stat.rdev}` : `file ${stat.dev} ${stat.ino}`;
}

export class StorageFile implements ByteStore {
  #fd: number;
  #syncFailure: unknown;

  private constructor(
    readonly path: string,
    readonly readOnly: boolean,
    readonly cache: CacheMode,
    readonly isDevice: boolean,
    readonly blockBytes: number,
    fd: number,
    private readonly io: HostIo,
    private size: number,
  ) {
    this.#fd = fd;
  }

  /** @throws XennerError ELOCKED, EFILE_TYPE; system errors as they are */
  static async open(path: string, options: StorageOptions = {}): Promise<StorageFile> {
    const readOnly = options.readOnly ?? false;
    const cache = options.cache ?? 'writeback';
    // O_NONBLOCK: opening a FIFO must not wait for its other end.
    const flags =
      (readOnly ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NONBLOCK | CACHE_FLAGS[cache];
    const fd = await opened(path, flags);
    try {
      const stat = await statOf(fd);
      if (!stat.isFile() && !stat.isBlockDevice())
        throw new XennerError('EFILE_TYPE', `${path} is neither a file nor a block device`);
      clearNonblock(fd);
      await lockImage(fd, path, options.lock ?? (readOnly ? 'read' : 'write'));
      const plain = hostIo(fd);
      const align = cache === 'none' ? await probeAlignment(plain) : 1;
      if (align === undefined)
        throw new XennerError(
          'ENO_DIRECT',
          `${path} cannot be used past the page cache`,
          'use another cache mode',
        );
      const io = align > 1 ? new DirectIo(plain, align) : plain;
      const device = stat.isBlockDevice();
      return new StorageFile(path, readOnly, cache, device, align, fd, io, await endOf(fd));
    } catch (error) {
      await closed(fd);
      throw error;
    }
  }

  get sizeBytes(): number {
    return this.size;
  }

  async read(offset: number, into: readonly Uint8Array[]): Promise<number> {
    this.#open();
    const count = await this.io.read(offset, into);
    const wanted = totalBytes(into);
    if (count < wanted) fillZero(slice(into, count, wanted - count));
    return count;
  }

  async write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    this.#open();
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    const end = offset + totalBytes(from);
    await this.io.write(offset, from);
    if (end > this.size) this.size = end;
  }

  /**
   * Once it has failed, the kernel may have dropped what it could not write, and say that all is well the next time. Then nothing
   * is written any more: Linux's blkfront takes a flush that failed for one that is not to be had, and tells nobody.
   */
  async sync(): Promise<void> {
    const fd = this.#open();
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    if (this.readOnly) return;
    try {
      await syncData(fd);
    } catch (error) {
      this.#syncFailure = error;
      throw error;
    }
  }

  async truncate(sizeBytes: number): Promise<void> {
    await truncated(this.#open(), sizeBytes);
    this.size = sizeBytes;
  }

  punch(offset: number, length: number): Promise<boolean> {
    return isSupported(punchHole(this.#open(), offset, length));
  }

  zero(offset: number, length: number): Promise<boolean> {
    return isSupported(zeroRange(this.#open(), offset, length));
  }

  async dataAt(offset: number): Promise<{ start: number; end: number } | undefined> {
    const fd = this.#open();
    // A device has no holes that lseek(2) knows of.
    if (this.isDevice) return offset < this.size ? { start: offset, end: this.size } : undefined;
    return dataAt(fd, offset);
  }

  async dataRanges(
    offset: number,
    end: number,
  ): Promise<{ readonly ranges: Float64Array; readonly until: number }> {
    const fd = this.#open();
    if (this.isDevice) return { ranges: Float64Array.of(offset, end), until: end };
    return dataRanges(fd, offset, end);
  }

  async close(): Promise<void> {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd >= 0) await closed(fd);
  }

  #open(): number {
    if (this.#fd < 0) throw Object.assign(new Error(`EBADF: ${this.path} is closed`), { code: 'EBADF' });
    return this.#fd;
  }
}
