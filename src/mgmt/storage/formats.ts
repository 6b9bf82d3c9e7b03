/** The formats that there are. A further one is a further entry; the first that recognizes a file has it. */
import { XennerError } from '../../base/errors.js';
import type { DiskImage } from './disk-image.js';
import { isQcow2 } from './qcow2/header.js';
import { openQcow2 } from './qcow2/open.js';
import { RawImage } from './raw-image.js';
import type { ByteStore } from './storage-file.js';
import { isVhd } from './vhd/format.js';
import { openVhd } from './vhd/open.js';

/** What an image may ask for while it is opened. */
export interface OpenContext {
  /** Somebody said that it is of this format; otherwise it only looks so. */
  readonly told: boolean;
  readonly password?: Uint8Array | undefined;
  readonly snapshot?: string | undefined;
  /** A file that the image names, relative to itself, with what it says of its format. Read only. */
  openBacking(name: string, format: string | undefined): Promise<DiskImage>;
  /** A file that the image keeps its data in. */
  openData(name: string | undefined): Promise<ByteStore>;
}

export interface ImageFormat {
  readonly name: string;
  /** @param head the file's first HEAD_BYTES, or less */
  recognizes(head: Uint8Array): boolean;
  /** Takes the file over, but not when it fails. */
  open(file: ByteStore, context: OpenContext): Promise<DiskImage>;
}

export const HEAD_BYTES = 512;

const raw: ImageFormat = {
  name: 'raw',
  recognizes: () => true,
  open: async (file, { told, snapshot }) => {
    if (snapshot !== undefined)
      throw new XennerError('ENO_SNAPSHOT', `${file.path} is raw: it has no snapshots`);
    return new RawImage(file, told ? {} : { looksOtherwise: (head) => probe(head) !== raw });
  },
};

const FORMATS: readonly ImageFormat[] = [
  { name: 'qcow2', recognizes: isQcow2, open: openQcow2 },
  { name: 'vhd', recognizes: isVhd, open: openVhd },
  // QEMU's name of it.
  { name: 'vpc', recognizes: () => false, open: openVhd },
  raw,
];

export function probe(head: Uint8Array): ImageFormat {
  return FORMATS.find((format) => format.recognizes(head)) ?? raw;
}

/** @throws XennerError EIMAGE_FORMAT */
export function formatNamed(name: string): ImageFormat {
  const format = FORMATS.find((candidate) => candidate.name === name);
  if (format) return format;
  const known = FORMATS.map((candidate) => candidate.name).join(', ');
  throw new XennerError(
    'EIMAGE_FORMAT',
    `there is no image format ${JSON.stringify(name)}`,
    `use one of ${known}`,
  );
}
