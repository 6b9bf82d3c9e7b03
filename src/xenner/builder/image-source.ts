/** Where the bytes of an image come from: a file, read straight into its destination, or memory. */
import { type BigIntStats, closeSync, constants, fstatSync, openSync } from 'node:fs';
import { XennerError } from '../../base/errors.js';
import { readFully } from '../../base/files.js';
import type { Gpa, GuestMemory } from '../../kvm/guest-memory.js';

export interface ImageSource {
  /** Bytes. */
  readonly size: number;
  /** Fills `into` from `offset`. @throws XennerError EIMAGE_DAMAGED when the image ends before that. */
  read(offset: number, into: Uint8Array): void;
  /** Puts a part into guest memory, which is zero there. @throws as read() */
  load(offset: number, length: number, memory: GuestMemory, address: Gpa): void;
  close(): void;
}

/** @throws XennerError EIMAGE_DAMAGED */
export function readBytes(source: ImageSource, offset: number, length: number): Buffer {
  checkRange(source, offset, length);
  const bytes = Buffer.allocUnsafe(length);
  source.read(offset, bytes);
  return bytes;
}

function checkRange(source: ImageSource, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > source.size) {
    throw new XennerError(
      'EIMAGE_DAMAGED',
      `the image ends after ${source.size} bytes, before what its headers promise`,
    );
  }
}

export class BufferSource implements ImageSource {
  constructor(private readonly bytes: Uint8Array) {}

  get size(): number {
    return this.bytes.length;
  }

  read(offset: number, into: Uint8Array): void {
    checkRange(this, offset, into.length);
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  load(offset: number, length: number, memory: GuestMemory, address: Gpa): void {
    checkRange(this, offset, length);
    memory.copyPagesFrom(this.bytes.subarray(offset, offset + length), address);
  }

  close(): void {}
}

/** Owns the descriptor. `size` may be less than the file's, to leave out what follows the image. */
export class FileSource implements ImageSource {
  private open = true;

  constructor(
    private readonly fd: number,
    readonly size: number,
  ) {}

  read(offset: number, into: Uint8Array): void {
    checkRange(this, offset, into.length);
    if (!readFully(this.fd, into, offset)) throw truncated();
  }

  load(offset: number, length: number, memory: GuestMemory, address: Gpa): void {
    checkRange(this, offset, length);
    if (memory.readPagesFrom(this.fd, offset, address, length) < length) throw truncated();
  }

  stat(): BigIntStats {
    return fstatSync(this.fd, { bigint: true });
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    closeSync(this.fd);
  }
}

function truncated(): XennerError {
  return new XennerError('EIMAGE_DAMAGED', 'the image was truncated while it was read');
}

/**
 * Opens a regular file.
 * @param what for the error message: `kernel`, `initrd`
 * @throws XennerError EIMAGE_FILE when it cannot be opened, EIMAGE_TOO_BIG
 */
export function openFile(path: string, what: string, maxBytes: number): FileSource {
  let fd: number;
  try {
    // O_NONBLOCK: opening a FIFO must not wait for its other end.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw fileError(path, what, cause);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new XennerError('EIMAGE_FILE', `${what} ${path} is not a regular file`);
    if (stat.size > maxBytes) {
      const limit = `${Math.floor(maxBytes / 2 ** 20)} MiB`;
      throw new XennerError(
        'EIMAGE_TOO_BIG',
        `${what} ${path} has ${stat.size} bytes, more than the limit of ${limit}`,
      );
    }
    return new FileSource(fd, stat.size);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function fileError(path: string, what: string, cause: unknown): XennerError {
  const code = (cause as NodeJS.ErrnoException).code;
  const why = { ENOENT: 'does not exist', EACCES: 'may not be read', EISDIR: 'is a directory' }[code ?? ''];
  return new XennerError('EIMAGE_FILE', `${what} ${path} ${why ?? `cannot be opened (${code})`}`, undefined, {
    cause,
  });
}
