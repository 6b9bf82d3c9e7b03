/** Reading and writing all of something: a system call may do less than it was asked to. And names that are to last. */
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';

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
