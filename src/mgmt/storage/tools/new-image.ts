/** A new image under a name, in place of what was there: the old one stays until the new one is whole. */
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { XennerError } from '../../../base/errors.js';
import { openImage } from '../open-image.js';
import { type CreateChoices, createImage } from './create-options.js';
import type { ToolFormat } from './image-file.js';
import { replaceImage } from './replace-image.js';

const SECTOR_BYTES = 512;

export interface NewImageOptions {
  readonly format: ToolFormat;
  /** Whole sectors are made of it. By default the backing image's. */
  readonly sizeBytes?: number | undefined;
  readonly choices?: CreateChoices | undefined;
  /** By a path relative to the image. */
  readonly backing?: { readonly path: string; readonly format: string } | undefined;
  /** The backing file need not be there yet. */
  readonly unsafe?: boolean | undefined;
}

/** Answers its size. @throws XennerError ELOCKED: what is there is in use; EIMAGE_OPTIONS, EIMAGE_*; system errors */
export async function newImage(path: string, options: NewImageOptions): Promise<number> {
  const { format, choices, backing, unsafe } = options;
  if (statSync(path, { throwIfNoEntry: false })?.isBlockDevice())
    throw new XennerError('EIMAGE_UNSUPPORTED', `${path} is a device`, 'use `convert -n`, or a file');
  const below = backing === undefined || unsafe ? undefined : await sizeBelow(path, backing);
  const size = options.sizeBytes ?? below;
  if (size === undefined)
    throw new XennerError('EIMAGE_OPTIONS', 'an image needs a size or a backing file that is there');
  const sizeBytes = Math.ceil(size / SECTOR_BYTES) * SECTOR_BYTES;
  await replaceImage(path, (staged) => createImage(staged, { format, choices, backing, sizeBytes }));
  return sizeBytes;
}

async function sizeBelow(
  path: string,
  backing: { readonly path: string; readonly format: string },
): Promise<number> {
  const image = await openImage(resolve(dirname(path), backing.path), {
    format: backing.format,
    readOnly: true,
    // Somebody may be writing it; only its size is wanted.
    lock: 'shared-read',
  });
  await image.close();
  return image.sizeBytes;
}
