/** Without node:crypto until it is needed: loading that takes longer than building a small guest, and most runs need none. */
import type { Hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';

export function newSha256(): Hash {
  return process.getBuiltinModule('node:crypto').createHash('sha256');
}

/** From the kernel's generator, at most 256: it gives so many at once (random(4)). */
export function randomBytes(count: number): Buffer {
  const bytes = Buffer.alloc(count);
  const fd = openSync('/dev/urandom', 'r');
  try {
    readSync(fd, bytes);
    return bytes;
  } finally {
    closeSync(fd);
  }
}
