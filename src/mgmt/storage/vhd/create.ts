/** Makes a VHD: fixed, dynamic, or differencing above another. */
import { open } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { XennerError } from '../../../base/errors.js';
import { openImage } from '../open-image.js';
import { StorageFile } from '../storage-file.js';
import {
  DEFAULT_BLOCK_BYTES,
  FOOTER_BYTES,
  HEADER_BYTES,
  MAX_VHD_BYTES,
  makeFooter,
  makeHeader,
  SECTOR_BYTES,
  type VhdType,
} from './format.js';
import { FixedVhdImage } from './open.js';
import { VhdImage } from './vhd-image.js';

export interface CreateVhdOptions {
  /** A multiple of 512. By default the parent's. */
  readonly sizeBytes?: number | undefined;
  /** Default `dynamic`. */
  readonly type?: 'fixed' | 'dynamic' | undefined;
  /** Makes a differencing image: a VHD, by a path relative to the image. */
  readonly parent?: string | undefined;
}

/** The file must not exist. @throws XennerError EIMAGE_OPTIONS; EEXIST and other system errors */
export async function createVhd(path: string, options: CreateVhdOptions): Promise<void> {
  const parent = options.parent === undefined ? undefined : await parentOf(path, options.parent);
  const sizeBytes = options.sizeBytes ?? parent?.sizeBytes ?? 0;
  if (sizeBytes <= 0 || sizeBytes > MAX_VHD_BYTES || sizeBytes % SECTOR_BYTES !== 0)
    throw new XennerError(
      'EIMAGE_OPTIONS',
      `a VHD cannot have ${sizeBytes} bytes`,
      'give a multiple of 512 up to 2040 GiB',
    );
  const type: VhdType = parent === undefined ? (options.type ?? 'dynamic') : 'differencing';
  const footer = makeFooter(type, sizeBytes);
  await (await open(path, 'wx')).close();
  const file = await StorageFile.open(path);
  try {
    await file.write(type === 'fixed' ? sizeBytes : 0, [footer]);
    if (type !== 'fixed') await writeTable(file, footer, sizeBytes, parent);
    await file.sync();
  } finally {
    await file.close();
  }
}

interface Parent {
  readonly uuid: string;
  readonly name: string;
  readonly sizeBytes: number;
}

async function parentOf(path: string, name: string): Promise<Parent> {
  const image = await openImage(resolve(dirname(path), name), { readOnly: true, format: 'vhd' });
  try {
    if (!(image instanceof VhdImage || image instanceof FixedVhdImage))
      throw new XennerError('EIMAGE_OPTIONS', `${basename(name)} is no VHD`);
    return { uuid: image.footer.uuid, sizeBytes: image.sizeBytes, name: `.\\${name.replaceAll('/', '\\')}` };
  } finally {
    await image.close();
  }
}

/** Behind the footer's copy: header, table, and the name of what is below. */
async function writeTable(
  file: StorageFile,
  footer: Buffer,
  sizeBytes: number,
  parent: Parent | undefined,
): Promise<void> {
  const blocks = Math.ceil(sizeBytes / DEFAULT_BLOCK_BYTES);
  const tableOffset = FOOTER_BYTES + HEADER_BYTES;
  const table = Buffer.alloc(Math.ceil((blocks * 4) / SECTOR_BYTES) * SECTOR_BYTES, 0xff);
  let end = tableOffset + table.length;
  await file.write(FOOTER_BYTES, [makeHeader(blocks, parent && { ...parent, offset: end }), table]);
  if (parent !== undefined) {
    const name = Buffer.from(parent.name, 'utf16le');
    const padded = Buffer.alloc(Math.ceil(name.length / SECTOR_BYTES) * SECTOR_BYTES);
    name.copy(padded);
    await file.write(end, [padded]);
    end += padded.length;
  }
  await file.write(end, [footer]);
}
