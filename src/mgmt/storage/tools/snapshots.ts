/** Internal snapshots of an image that nobody uses. A crash leaves the image as it was or as it is to be. */
import { XennerError } from '../../../base/errors.js';
import { withQcow2 } from '../qcow2/change.js';
import { applySnapshot, createSnapshot, deleteSnapshot } from '../qcow2/snapshot-edit.js';
import { type ImageFileOptions, withImageFile } from './image-file.js';
import { imageInfo, type SnapshotInfo } from './info.js';

/** Oldest first. @throws XennerError ELOCKED, EIMAGE_*; system errors */
export async function imageSnapshots(
  path: string,
  options: ImageFileOptions = {},
): Promise<readonly SnapshotInfo[]> {
  return (await imageInfo(path, options)).snapshots ?? [];
}

/** @param name need not be new: the one with an id of its own is what it is found by. @throws XennerError; system errors */
export async function createImageSnapshot(path: string, name: string, format?: string): Promise<void> {
  await checkFormat(path, format);
  await withQcow2(path, (image) => createSnapshot(image, name, Date.now()));
}

/** The disk becomes what it was. @param wanted its id, or else its name @throws XennerError ENO_SNAPSHOT, ...; system errors */
export async function applyImageSnapshot(path: string, wanted: string, format?: string): Promise<void> {
  await checkFormat(path, format);
  await withQcow2(path, (image) => applySnapshot(image, wanted));
}

/** @param wanted its id, or else its name @throws XennerError ENO_SNAPSHOT, ...; system errors */
export async function deleteImageSnapshot(path: string, wanted: string, format?: string): Promise<void> {
  await checkFormat(path, format);
  await withQcow2(path, (image) => deleteSnapshot(image, wanted));
}

async function checkFormat(path: string, format: string | undefined): Promise<void> {
  await withImageFile(path, { format, readOnly: true }, async (image) => {
    if (image.format !== 'qcow2')
      throw new XennerError('EIMAGE_UNSUPPORTED', `${path} is ${image.format}, which has no snapshots`);
  });
}
