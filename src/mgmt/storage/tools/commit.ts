/** What an overlay has, into an image below it. */
import { XennerError } from '../../../base/errors.js';
import type { DiskImage } from '../disk-image.js';
import { openImage } from '../open-image.js';
import { growQcow2 } from '../qcow2/grow.js';
import { Qcow2Image } from '../qcow2/image.js';
import { identityOf, StorageFile } from '../storage-file.js';
import { FixedVhdImage } from '../vhd/open.js';
import { VhdImage } from '../vhd/vhd-image.js';
import { copyDisk, pieceBytesOf } from './copy-disk.js';
import { withImageFile } from './image-file.js';
import type { WorkOptions } from './work.js';

export interface CommitOptions extends WorkOptions {
  readonly format?: string | undefined;
  /** The image to commit to; by default the one that is next below. A deeper one implies `keep`: those between would show through. */
  readonly base?: string | undefined;
  /** The overlay keeps what it has, though its backing file has that as well. */
  readonly keep?: boolean | undefined;
}

/**
 * A disk that is seen through the overlay is the same at every moment, whatever happens: the overlay is emptied when all is on the disk below.
 * Other overlays of the base, or of what is between, are worth nothing afterwards.
 *
 * @throws XennerError ELOCKED, EBACKING, EIMAGE_*; the signal's reason; system errors
 */
export async function commitImage(path: string, options: CommitOptions = {}): Promise<void> {
  // Each image is locked here, as it is used: the base will be written, which whoever reads it must not forbid.
  const overlay = await openImage(path, { format: options.format, backingLock: 'none' });
  try {
    const below = chainBelow(overlay);
    const target = await baseOf(overlay, below, options.base);
    const between = below.slice(0, below.indexOf(target));
    const keeps = (options.keep ?? false) || options.base !== undefined;
    if (!keeps && !(overlay instanceof Qcow2Image))
      throw new XennerError('EIMAGE_UNSUPPORTED', `${path} cannot be emptied`, 'keep what it has: -d');
    await holding(between, async () => {
      const format = formatOf(target);
      if (target.sizeBytes < overlay.sizeBytes) await grow(target, format, overlay.sizeBytes);
      await copyDown(overlay, target, format, options);
    });
    if (!keeps && overlay instanceof Qcow2Image) await overlay.empty();
  } finally {
    await overlay.close();
  }
}

async function copyDown(
  overlay: DiskImage,
  target: DiskImage,
  format: string,
  options: CommitOptions,
): Promise<void> {
  const base = await openImage(target.path, { format });
  try {
    const { progress, signal } = options;
    const pieceBytes = pieceBytesOf(base);
    await copyDisk(overlay, base, { progress, signal, above: target, isTargetZero: false, pieceBytes });
    await base.flush();
  } finally {
    await base.close();
  }
}

function chainBelow({ backing }: DiskImage): readonly DiskImage[] {
  const images: DiskImage[] = [];
  for (let next = backing; next !== undefined; next = next.backing) images.push(next);
  return images;
}

async function baseOf(
  overlay: DiskImage,
  below: readonly DiskImage[],
  name: string | undefined,
): Promise<DiskImage> {
  const [next] = below;
  if (next === undefined) throw new XennerError('EBACKING', `${overlay.path} has no backing file`);
  if (name === undefined) return next;
  const wanted = await identityOf(name);
  for (const image of below) if ((await identityOf(image.path)) === wanted) return image;
  throw new XennerError('EBACKING', `${name} is not in the backing chain of ${overlay.path}`);
}

/** Nobody may write to images that are only read. */
async function holding(images: readonly DiskImage[], use: () => Promise<void>): Promise<void> {
  const files: StorageFile[] = [];
  try {
    for (const { path } of images) files.push(await StorageFile.open(path, { readOnly: true }));
    await use();
  } finally {
    for (const file of files) await file.close();
  }
}

/** As which it was opened: what a guest may have made a raw one look like is not looked at again. */
function formatOf(image: DiskImage): 'raw' | 'qcow2' | 'vhd' {
  if (image instanceof Qcow2Image) return 'qcow2';
  return image instanceof VhdImage || image instanceof FixedVhdImage ? 'vhd' : 'raw';
}

/** Before anything is written to it. */
async function grow(image: DiskImage, format: string, sizeBytes: number): Promise<void> {
  if (format === 'qcow2') return growQcow2(image.path, sizeBytes);
  if (format !== 'raw')
    throw new XennerError('EIMAGE_UNSUPPORTED', `${image.path} is smaller than the overlay, and cannot grow`);
  await withImageFile(image.path, { format, readOnly: false }, ({ file }) => file.truncate(sizeBytes));
}
