/** Reading and writing all of something: a system call may do less than it was asked to. And names that are to last. */
import { closeSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Fills `into` from a position of a file. False: the file ends before. */
export function readFully(fd: number, into: Uint8Array, position: number): boolean {
  for (let done = 0; done < into.length; ) {
    const count = readSync(fd, into, done, into.length - done, position + done);
    if (count === 0) return false;
    done += count;
  }
  return true;
}

/** @param position where in the file; undefined: behind what was written last */
export function writeFully(fd: number, bytes: Uint8Array, position?: number): void {
  for (let done = 0; done < bytes.length; ) {
    const at = position === undefined ? null : position + done;
    done += writeSync(fd, bytes, done, bytes.length - done, at);
  }
}

/** Which names there are in a directory is on the disk when it returns. @throws system errors */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Makes a file, or gives it other contents: whoever opens it finds the old ones or these, whatever happens, and these when it returns.
 * @param how `staged`: a path in the same folder, to which nobody else writes; what a killed process has left there goes
 * @throws system errors
 */
export function replaceFile(
  path: string,
  bytes: Uint8Array,
  { staged, mode }: { readonly staged: string; readonly mode: number },
): void {
  rmSync(staged, { force: true });
  const fd = openSync(staged, 'wx', mode);
  try {
    writeFully(fd, bytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(staged, path);
  syncDirectory(dirname(path));
}
