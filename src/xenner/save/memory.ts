/** The memory of a guest that was saved. */
import { XennerError } from '../../base/errors.js';
import { readFully } from '../../base/files.js';
import { GuestMemory, type GuestMemoryOptions, gpa, sumOfPages } from '../../kvm/index.js';
import { CHUNK_BYTES, type SavedMachine } from './save-file.js';

/**
 * Pages come from the file when they are first touched; where memory of a special kind is wanted, all of it is read at once.
 * @throws XennerError ESAVE_DAMAGED, or when the host has not what the options ask for
 */
export function restoreMemory(saved: SavedMachine, bytes: number, options: GuestMemoryOptions): GuestMemory {
  const { hugepages = 'none', mergeable = false, numaNode } = options;
  if (hugepages === 'none' && !mergeable && numaNode === undefined) {
    return GuestMemory.fromFile(saved.fd, saved.memoryOffset, bytes);
  }
  const memory = GuestMemory.create(bytes, options);
  try {
    for (let at = 0; at < bytes; at += CHUNK_BYTES) {
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, bytes - at));
      readAll(saved.fd, saved.memoryOffset + at, chunk);
      // Zeros are there already.
      if (sumOfPages(chunk) !== 0) memory.copyIn(gpa(at), chunk);
    }
  } catch (error) {
    memory.close();
    throw error;
  }
  return memory;
}

/** @throws XennerError ESAVE_DAMAGED */
export function readAll(fd: number, position: number, into: Uint8Array): void {
  if (!readFully(fd, into, position))
    throw new XennerError('ESAVE_DAMAGED', 'the save file was truncated while it was read');
}
