/** Disks of a definition, opened. */
import { XennerError } from '../../base/errors.js';
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
  const { vdev, path, format, readOnly, cdrom } = definition;
  if (format === 'empty' || format === 'xva') {
    throw new XennerError('EDISK_FORMAT', `${vdev}: a disk of the format ${format} cannot be opened`);
  }
  const image = new CountedImage(await openImage(path, { format, readOnly: readOnly || cdrom }));
  try {
    const device = blockDevice({ image, name: vdev, readOnly, cdrom, params: path });
    return { definition, device, image };
  } catch (error) {
    await image.close();
    throw error;
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
