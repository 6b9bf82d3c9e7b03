/** Volumes that are files: made, and removed. */
import { chmodSync, lstatSync, mkdirSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { XennerError } from '../../../base/errors.js';
import { createQcow2 } from '../qcow2/create.js';
import { zeroRange } from '../raw-image.js';
import { StorageFile } from '../storage-file.js';
import { createVhd } from '../vhd/create.js';
import type { VolumeOptions } from './backend.js';
import type { NewVolume, VolumeDefinition } from './definition.js';
import { PoolError, quoted, systemError } from './errors.js';
import { takeOwner } from './folder.js';
import { buildStaged, exists, STAGING_PREFIX } from './staging.js';

/** NAME_MAX of Linux. */
const MAX_NAME_BYTES = 255;
const SECTOR_BYTES = 512;
/** libvirt's (VIR_STORAGE_DEFAULT_VOL_PERM_MODE). */
const DEFAULT_MODE = 0o600;

/** Whether a file of a folder may be a volume. Names that are no UTF-8 come with U+FFFD, and nobody could name them. */
export function isVolumeName(name: string): boolean {
  if (name === '' || name === '.' || name === '..' || /[/\0\ufffd]/.test(name)) return false;
  return !name.startsWith(STAGING_PREFIX) && Buffer.byteLength(name) <= MAX_NAME_BYTES;
}

function pathFor(folder: string, name: string): string {
  const invalid = (what: string) =>
    new PoolError('VIR_ERR_OPERATION_INVALID', `volume name ${quoted(name)} ${what}`);
  if (name.includes('/')) throw invalid("cannot contain '/'");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are meant
  if (!isVolumeName(name) || /[\x00-\x1f\x7f]/.test(name)) throw invalid('is no name for a file');
  const path = join(folder, name);
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) throw exists(path);
  return path;
}

/** @throws PoolError VIR_ERR_STORAGE_VOL_EXIST, VIR_ERR_OPERATION_INVALID, VIR_ERR_SYSTEM_ERROR, ...; EIMAGE_OPTIONS */
export async function createFile(folder: string, volume: NewVolume, options: VolumeOptions): Promise<void> {
  await createFileFrom(folder, volume, async () => {}, options);
}

/** @param fill gives it its contents */
export async function createFileFrom(
  folder: string,
  volume: NewVolume,
  fill: (path: string) => Promise<void>,
  options: VolumeOptions = {},
): Promise<void> {
  try {
    const path = pathFor(folder, volume.name);
    if (volume.format === 'dir') return makeFolderVolume(path, volume);
    await buildStaged(path, folder, async (staged) => {
      await makeImage(staged, volume, options);
      await fill(staged);
      chmodSync(staged, volume.permissions.mode ?? DEFAULT_MODE);
      takeOwner(staged, volume.permissions);
    });
  } catch (error) {
    throw systemError(`cannot create volume ${quoted(volume.name)}`, error);
  }
}

function makeFolderVolume(path: string, { permissions }: NewVolume): void {
  mkdirSync(path);
  chmodSync(path, permissions.mode ?? DEFAULT_MODE);
  takeOwner(path, permissions);
}

function makeImage(path: string, volume: NewVolume, options: VolumeOptions): Promise<void> {
  const { format, backing, features, compat, clusterBytes } = volume;
  if (backing !== undefined && format !== 'qcow2')
    throw new PoolError(
      'VIR_ERR_INVALID_ARG',
      `a volume of the format ${quoted(format)} has no backing store`,
    );
  if (backing !== undefined) statSync(backing.path);
  const sizeBytes = Math.ceil(volume.capacity / SECTOR_BYTES) * SECTOR_BYTES;
  switch (format) {
    case 'raw':
    case 'iso':
      return makeRaw(path, volume);
    case 'vpc':
      return createVhd(path, { sizeBytes });
    case 'qcow2':
      return createQcow2(path, {
        sizeBytes: sizeBytes === 0 && backing !== undefined ? undefined : sizeBytes,
        // As libvirt, whose default is what older QEMUs read.
        version: compat === '1.1' || (compat === undefined && features.length > 0) ? 3 : 2,
        lazyRefcounts: features.includes('lazy_refcounts'),
        extendedL2: features.includes('extended_l2'),
        clusterBytes,
        preallocation: options.preallocateMetadata ? 'metadata' : 'off',
        backing,
      });
    default:
      throw new PoolError(
        'VIR_ERR_NO_SUPPORT',
        `volumes of the format ${quoted(format)} cannot be made`,
        'raw, qcow2, vpc and dir can',
      );
  }
}

async function makeRaw(path: string, { capacity, allocation }: NewVolume): Promise<void> {
  await (await open(path, 'wx', DEFAULT_MODE)).close();
  const file = await StorageFile.open(path);
  try {
    await file.truncate(capacity);
    await zeroRange(file, 0, Math.min(allocation, capacity), false);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** @throws PoolError VIR_ERR_OPERATION_INVALID: it is in use; VIR_ERR_SYSTEM_ERROR */
export async function deleteFile({ name, type, target }: VolumeDefinition): Promise<void> {
  try {
    if (type === 'block')
      throw new PoolError('VIR_ERR_NO_SUPPORT', `${quoted(name)} is a device, which is not removed`);
    if (type === 'dir') return rmdirSync(target.path);
    const file = await openUnused(target.path, { readOnly: true });
    try {
      unlinkSync(target.path);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw systemError(`cannot remove volume ${quoted(name)}`, error);
  }
}

/** A volume's file, which nobody else uses or will use until it is closed. @throws PoolError VIR_ERR_OPERATION_INVALID */
export async function openUnused(
  path: string,
  options: { readonly readOnly: boolean },
): Promise<StorageFile> {
  try {
    return await StorageFile.open(path, { ...options, lock: 'write' });
  } catch (error) {
    if (!(error instanceof XennerError) || error.code !== 'ELOCKED') throw error;
    throw new PoolError('VIR_ERR_OPERATION_INVALID', error.message, undefined, { cause: error });
  }
}
