/** Disks of a definition, opened. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { XennerError } from '../../base/errors.js';
import { MAX_PASSWORD_BYTES } from '../../base/limits.js';
import { blockDevice } from '../../xenner/backend/block/block-device.js';
import type { Device } from '../../xenner/backend/device.js';
import { CountedImage } from '../storage/counted-image.js';
import { openImage } from '../storage/open-image.js';
import type { DiskDefinition } from './definition.js';

export interface OpenDisk {
  readonly definition: DiskDefinition;
  readonly device: Device;
  readonly image: CountedImage;
}

/** @throws XennerError (rejection): what openImage() throws, with the name of the disk; EDISK_FORMAT */
export async function openDisk(definition: DiskDefinition): Promise<OpenDisk> {
  const { vdev, path, format, readOnly, cdrom, discard, cache, passwordFile } = definition;
  if (format === 'empty' || format === 'xva') {
    throw new XennerError('EDISK_FORMAT', `${vdev}: a disk of the format ${format} cannot be opened`);
  }
  const password = passwordFile === undefined ? undefined : await readPassword(passwordFile);
  const opened = await openImage(path, { format, readOnly: readOnly || cdrom, cache, password });
  const image = new CountedImage(opened, { mayDiscard: discard !== false });
  try {
    const device = blockDevice({ image, name: vdev, readOnly, cdrom, params: path });
    return { definition, device, image };
  } catch (error) {
    await image.close();
    throw error;
  }
}

/** All bytes count, as in QEMU's `secret,file=`: a new line at the end too. @throws XennerError (rejection) EPASSWORD */
async function readPassword(path: string): Promise<Uint8Array> {
  // A pipe that nobody writes to is empty, and not waited for.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_PASSWORD_BYTES + 1));
    if (bytesRead > MAX_PASSWORD_BYTES)
      throw new XennerError('EPASSWORD', `${path} is longer than a password (${MAX_PASSWORD_BYTES} bytes)`);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** All of them or none. Drives without a medium are left out. */
export async function openDisks(definitions: readonly DiskDefinition[]): Promise<OpenDisk[]> {
  const disks: OpenDisk[] = [];
  try {
    for (const definition of definitions)
      if (definition.format !== 'empty') disks.push(await openDisk(definition));
    return disks;
  } catch (error) {
    await closeDisks(disks);
    throw error;
  }
}

export async function closeDisks(disks: readonly OpenDisk[]): Promise<void> {
  await Promise.all(disks.map(({ image }) => image.close()));
}
