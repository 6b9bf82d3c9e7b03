/** An image's contents in a new one, or in one that is there, of whatever formats. */
import { statSync } from 'node:fs';
import { XennerError } from '../../../base/errors.js';
import type { DiskImage } from '../disk-image.js';
import { openImage } from '../open-image.js';
import { Qcow2Image } from '../qcow2/image.js';
import { compressInto } from './compress-into.js';
import { copyDisk, pieceBytesOf } from './copy-disk.js';
import { type CreateChoices, createImage } from './create-options.js';
import type { ToolFormat } from './image-file.js';
import { replaceImage } from './replace-image.js';
import type { WorkOptions } from './work.js';

export interface ConvertSource {
  readonly path: string;
  readonly format?: string | undefined;
  /** An internal snapshot, by id or name. */
  readonly snapshot?: string | undefined;
  /** Somebody may be writing it: what is read may be torn. */
  readonly forceShare?: boolean | undefined;
  readonly password?: string | Uint8Array | undefined;
}

export interface ConvertTarget {
  readonly path: string;
  readonly format: ToolFormat;
  readonly choices?: CreateChoices | undefined;
  /** Has the same contents as what the source is above: only what the source's own image has is copied. */
  readonly backing?: { readonly path: string; readonly format: string } | undefined;
  /** The image is there already, and keeps its size; it changes in place. */
  readonly exists?: boolean | undefined;
}

export interface ConvertOptions extends WorkOptions {
  /** Only for qcow2. */
  readonly compressed?: boolean | undefined;
  /** So many zeros are left out, 4096 by default; 0: nothing is. */
  readonly sparseBytes?: number | undefined;
  readonly atOnce?: number | undefined;
}

/**
 * A file gets its name when the image is complete: until then what had that name is there. A device, and a target that `exists`, is
 * written in place.
 *
 * @throws XennerError ELOCKED, EIMAGE_*; the signal's reason; system errors
 */
export async function convertImage(
  from: ConvertSource,
  target: ConvertTarget,
  options: ConvertOptions = {},
): Promise<void> {
  if (options.compressed && target.format !== 'qcow2')
    throw new XennerError('EIMAGE_OPTIONS', 'Compression not supported for this file format');
  const lock = from.forceShare ? 'shared-read' : undefined;
  const source = await openImage(from.path, { ...from, readOnly: true, lock });
  try {
    if (target.exists) return await copyInto(target.path, source, target, options, false);
    if (isDevice(target.path)) {
      if (target.format !== 'raw')
        throw new XennerError(
          'EIMAGE_OPTIONS',
          `${target.path} is a device, in which only raw images are made`,
        );
      return await copyInto(target.path, source, target, options, false);
    }
    await replaceImage(target.path, async (path) => {
      const { format, choices, backing } = target;
      await createImage(path, { format, sizeBytes: source.sizeBytes, choices, backing });
      await copyInto(path, source, target, options, true);
    });
  } finally {
    await source.close();
  }
}

function isDevice(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && !stat.isFile();
}

/** @param isNew full of zeros, or of what its backing file has */
async function copyInto(
  path: string,
  source: DiskImage,
  target: ConvertTarget,
  options: ConvertOptions,
  isNew: boolean,
): Promise<void> {
  const { compressed, sparseBytes } = options;
  const image = await openImage(path, { format: target.format });
  try {
    if (image.sizeBytes < source.sizeBytes)
      throw new XennerError(
        'EIMAGE_OPTIONS',
        `${path} is smaller than what is to be converted`,
        `it needs ${source.sizeBytes} bytes`,
      );
    const isAbove = target.backing !== undefined;
    await copyDisk(source, image, {
      ...options,
      above: isAbove ? source.backing : undefined,
      isTargetZero: isNew && !isAbove,
      pieceBytes: sparseBytes === 0 && !compressed ? 0 : pieceBytesOf(image, sparseBytes),
      write: compressed ? compressInto(asQcow2(image)) : undefined,
    });
    await image.flush();
  } finally {
    await image.close();
  }
}

function asQcow2(image: DiskImage): Qcow2Image {
  if (image instanceof Qcow2Image) return image;
  throw new XennerError('EIMAGE_OPTIONS', `${image.path} is no qcow2 image`);
}
