/** Writing a save file: all of it, or none. */
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { randomBytes } from '../../base/crypto.js';
import { XennerError } from '../../base/errors.js';
import { syncDirectory, writeFully } from '../../base/files.js';
import { type GuestMemory, gpa } from '../../kvm/index.js';
import { CHUNK_BYTES, encodeHeader, layoutSave, PAGE, sha256 } from './save-file.js';
import type { Json } from './saved.js';

export interface SaveSource {
  readonly memory: GuestMemory;
  /** Somebody wants the domain's end, and no file. */
  stopped(): boolean;
}

/**
 * The file appears under its name, and replaces another one, when it is complete and on the disk.
 * @throws XennerError ESAVE: there is no new file, and the old one is as it was
 */
export function writeSaveFile(path: string, state: Json, source: SaveSource): void {
  writeNewFile(path, (fd) => writeAll(fd, state, source));
}

/** As writeSaveFile(), for what `write` writes. @throws XennerError ESAVE */
export function writeNewFile(path: string, write: (fd: number) => void): void {
  const target = targetOf(path);
  const unfinished = `${target}.${randomBytes(6).toString('hex')}.part`;
  try {
    const fd = openSync(unfinished, 'wx', 0o600);
    try {
      write(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(unfinished, target);
  } catch (error) {
    removeQuietly(unfinished);
    throw saveError(path, error);
  }
  try {
    syncDirectory(dirname(target));
  } catch (error) {
    throw saveError(path, error);
  }
}

/** The first `bytes` of guest memory, as the file's last; pages of zeros are holes. Answers the sum of each chunk. */
export function writeMemory(
  fd: number,
  at: number,
  bytes: number,
  { memory, stopped }: SaveSource,
): Uint32Array {
  ftruncateSync(fd, at + bytes);
  const sums = new Uint32Array(Math.ceil(bytes / CHUNK_BYTES));
  for (let done = 0; done < bytes; done += CHUNK_BYTES) {
    if (stopped()) throw new Error('the domain was destroyed');
    const length = Math.min(CHUNK_BYTES, bytes - done);
    sums[done / CHUNK_BYTES] = memory.writePagesTo(fd, at + done, gpa(done), length);
  }
  return sums;
}

/** A link is followed, as writing through it would; devices and folders are not replaced. */
function targetOf(path: string): string {
  try {
    const target = realpathSync(path);
    if (!statSync(target).isFile())
      throw new XennerError('ESAVE', `cannot save to ${path}: it is no regular file`);
    return target;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return path;
    throw saveError(path, error);
  }
}

function writeAll(fd: number, state: Json, source: SaveSource): void {
  const { memory } = source;
  const text = Buffer.from(JSON.stringify(state));
  const layout = layoutSave(text.length, memory.size);
  const sums = writeMemory(fd, layout.memoryAt, memory.size, source);
  if (memory.isDamaged) throw new Error('the file that it was restored from is damaged');
  const sumBytes = new Uint8Array(sums.buffer);
  writeFully(fd, text, PAGE);
  writeFully(fd, sumBytes, PAGE + text.length);
  fsyncSync(fd);
  writeFully(fd, encodeHeader(layout, sha256(text, sumBytes)), 0);
  fsyncSync(fd);
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was never made: the error that is thrown says why.
  }
}

function saveError(path: string, error: unknown): XennerError {
  if (error instanceof XennerError) return error;
  const { message } = error as Error;
  return new XennerError('ESAVE', `cannot save to ${path}: ${message}`, undefined, { cause: error });
}
