/** Files in which the kernel tells of itself (sysfs, procfs). None is trusted: they are read to a bound, and never waited for. */
import { closeSync, constants, openSync, readdirSync, readSync } from 'node:fs';
import { MAX_SYSFS_BYTES } from './limits.js';

const PIECE_BYTES = 16 * 1024;

/** The beginning of a file, byte by byte a character; undefined if it cannot be read. */
export function readHostFile(path: string, maxBytes = MAX_SYSFS_BYTES): string | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const pieces: Buffer[] = [];
      // procfs gives a page or less at a time.
      for (let left = maxBytes; left > 0; ) {
        const piece = Buffer.allocUnsafe(Math.min(left, PIECE_BYTES));
        const length = readSync(fd, piece);
        if (length === 0) break;
        pieces.push(piece.subarray(0, length));
        left -= length;
      }
      return Buffer.concat(pieces).toString('latin1');
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

export function readHostNumber(path: string): number | undefined {
  return hostNumber(readHostFile(path)?.trim());
}

/** Whole and exact, or undefined. */
export function hostNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The numbers in the names of a folder's entries that match, in order. */
export function numberedEntries(directory: string, pattern: RegExp): number[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  return names.flatMap((name) => hostNumber(pattern.exec(name)?.[1]) ?? []).sort((a, b) => a - b);
}
