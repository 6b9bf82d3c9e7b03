/** A disk of another size, in an image that nobody uses. */
import { XennerError } from '../../../base/errors.js';
import { openImage } from '../open-image.js';
import { changeTo, publishDisk, withQcow2 } from '../qcow2/change.js';
import { INCOMPATIBLE } from '../qcow2/format.js';
import { growQcow2 } from '../qcow2/grow.js';
import { zeroRange } from '../raw-image.js';
import { StorageFile } from '../storage-file.js';
import { withImageFile } from './image-file.js';

const SECTOR_BYTES = 512;

export interface ResizeImageOptions {
  readonly format?: string | undefined;
  /** It may become smaller, and lose what is behind its new end. */
  readonly shrink?: boolean | undefined;
  /** `full`: what is new has its space at once; of raw images. */
  readonly preallocation?: 'off' | 'full' | undefined;
  /** Of an encrypted image. */
  readonly password?: string | Uint8Array | undefined;
}

/** @param wanted given the size in bytes as it is, the new one; whole sectors are made of it. Answers what it became. */
export async function resizeImage(
  path: string,
  wanted: (now: number) => number,
  options: ResizeImageOptions = {},
): Promise<number> {
  const image = await openImage(path, { format: options.format, readOnly: true, password: options.password });
  await image.close();
  const now = image.sizeBytes;
  const asked = wanted(now);
  if (!Number.isSafeInteger(asked) || asked < 0)
    throw new XennerError('EIMAGE_OPTIONS', `${path} cannot have ${asked} bytes`);
  const sizeBytes = Math.ceil(asked / SECTOR_BYTES) * SECTOR_BYTES;
  if (sizeBytes < now && !options.shrink)
    throw new XennerError(
      'EIMAGE_SHRINK',
      `${path} would become smaller, and lose what is behind its new end`,
      'say --shrink if that is meant',
    );
  const { format } = await withImageFile(path, { ...options, readOnly: true }, async (file) => file);
  if (format === 'raw') await resizeRaw(path, sizeBytes, options);
  else if (format !== 'qcow2' || options.preallocation === 'full')
    throw new XennerError('EIMAGE_UNSUPPORTED', `${path} is ${format}, which cannot be resized that way`);
  else if (sizeBytes >= now) await growQcow2(path, sizeBytes);
  else await shrinkQcow2(path, sizeBytes, options);
  return sizeBytes;
}

async function resizeRaw(path: string, sizeBytes: number, options: ResizeImageOptions): Promise<void> {
  const file = await StorageFile.open(path);
  try {
    const before = file.sizeBytes;
    if (file.isDevice) throw new XennerError('EIMAGE_UNSUPPORTED', `${path} is a device, which has its size`);
    await file.truncate(sizeBytes);
    if (options.preallocation === 'full' && sizeBytes > before)
      await zeroRange(file, before, sizeBytes - before, false);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** What is behind the new end goes first: it must not come back when the disk grows again. */
async function shrinkQcow2(path: string, sizeBytes: number, { password }: ResizeImageOptions): Promise<void> {
  await withQcow2(path, async ({ file, header: { version, snapshotCount, incompatible, extensions } }) => {
    const isPlain = (incompatible & INCOMPATIBLE.externalData) === 0n && extensions.bitmaps === undefined;
    if (!isPlain || (version === 2 && snapshotCount > 0))
      throw new XennerError(
        'EIMAGE_UNSUPPORTED',
        `${file.path} cannot become smaller: it has a data file or bitmaps, or is of version 2 and has snapshots`,
      );
  });
  const image = await openImage(path, { format: 'qcow2', password });
  try {
    await image.writeZeroes(sizeBytes, image.sizeBytes - sizeBytes, { mayUnmap: true });
    await image.discard(sizeBytes, image.sizeBytes - sizeBytes);
  } finally {
    await image.close();
  }
  await withQcow2(path, async ({ file, header, snapshots }) => {
    const after = { ...header, sizeBytes };
    await changeTo(file, after, snapshots, () => publishDisk(file, after));
  });
}
