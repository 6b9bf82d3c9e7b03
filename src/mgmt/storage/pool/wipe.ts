/** Volumes whose contents are not to be read again (libvirt: virStorageBackendVolWipeLocal). */
import { randomFillSync } from 'node:crypto';
import type { StorageFile } from '../storage-file.js';
import type { VolumeDefinition } from './definition.js';
import { PoolError, quoted } from './errors.js';

/** Of virsh's, those that mean something on disks of this century. */
export const WIPE_ALGORITHMS = ['zero', 'random', 'trim'] as const;
export type WipeAlgorithm = (typeof WIPE_ALGORITHMS)[number];

const CHUNK_BYTES = 1024 * 1024;
const ZEROS = new Uint8Array(CHUNK_BYTES);

export async function wipe(
  file: StorageFile,
  { allocation, name }: VolumeDefinition,
  algorithm: WipeAlgorithm,
): Promise<void> {
  const { sizeBytes } = file;
  if (algorithm === 'trim') {
    if (!(await file.punch(0, sizeBytes)))
      throw new PoolError('VIR_ERR_NO_SUPPORT', `volume ${quoted(name)} cannot be trimmed where it is`);
  } else if (algorithm === 'zero' && !file.isDevice && allocation < sizeBytes) {
    // It has holes: those it keeps, and what is not one becomes one.
    await file.truncate(0);
    await file.truncate(sizeBytes);
  } else {
    await overwrite(file, sizeBytes, algorithm);
  }
  await file.sync();
}

/** In place: zeros that a file system makes by itself may leave the old bytes where they are. */
async function overwrite(file: StorageFile, sizeBytes: number, algorithm: 'zero' | 'random'): Promise<void> {
  const chunk = algorithm === 'zero' ? ZEROS : new Uint8Array(CHUNK_BYTES);
  for (let at = 0; at < sizeBytes; at += CHUNK_BYTES) {
    if (algorithm === 'random') randomFillSync(chunk);
    await file.write(at, [chunk.subarray(0, sizeBytes - at)]);
  }
}
