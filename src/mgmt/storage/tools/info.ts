/** What an image says of itself, in the shape of QEMU's ImageInfo (qapi/block-core.json). */
import { stat } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import { XennerError } from '../../../base/errors.js';
import { MAX_BACKING_CHAIN } from '../../../base/limits.js';
import { type Bitmap, readBitmaps } from '../qcow2/bitmaps.js';
import { AUTOCLEAR, COMPATIBLE, CRYPT, INCOMPATIBLE } from '../qcow2/format.js';
import type { Header } from '../qcow2/header.js';
import { type LuksFacts, luksFacts } from '../qcow2/luks-facts.js';
import { readHeader } from '../qcow2/open.js';
import { readSnapshots, type Snapshot } from '../qcow2/snapshots.js';
import { identityOf, type StorageFile } from '../storage-file.js';
import { readVhdFacts } from '../vhd/open.js';
import { type ImageFileOptions, type ToolFormat, withImageFile } from './image-file.js';

const SECTOR_BYTES = 512;

export interface SnapshotInfo {
  readonly id: string;
  readonly name: string;
  readonly 'vm-state-size': number;
  readonly 'date-sec': number;
  readonly 'date-nsec': number;
  readonly 'vm-clock-sec': number;
  readonly 'vm-clock-nsec': number;
  readonly icount?: number | undefined;
}

export interface BitmapInfo {
  readonly name: string;
  /** In bytes. */
  readonly granularity: number;
  readonly flags: readonly ('in-use' | 'auto')[];
}

/** Of a qcow2 image: ImageInfoSpecificQCow2. */
export interface Qcow2Info {
  readonly compat: '0.10' | '1.1';
  readonly 'compression-type': 'zlib' | 'zstd';
  readonly 'lazy-refcounts'?: boolean;
  readonly bitmaps?: readonly BitmapInfo[];
  readonly 'refcount-bits': number;
  readonly encrypt?: { readonly format: 'aes' } | LuksFacts;
  readonly 'data-file'?: string;
  readonly 'data-file-raw'?: boolean;
  readonly corrupt?: boolean;
  readonly 'extended-l2'?: boolean;
}

export interface ImageInfo {
  readonly 'backing-filename-format'?: string;
  readonly snapshots?: readonly SnapshotInfo[];
  readonly 'virtual-size': number;
  readonly filename: string;
  readonly 'cluster-size'?: number;
  readonly format: ToolFormat;
  /** What it takes of the host's disk. */
  readonly 'actual-size': number;
  readonly 'format-specific'?: { readonly type: 'qcow2'; readonly data: Qcow2Info };
  readonly encrypted?: true;
  readonly 'full-backing-filename'?: string;
  readonly 'backing-filename'?: string;
  /** It was not closed well. */
  readonly 'dirty-flag': boolean;
}

/** The image alone: what it is above need not be there. @throws XennerError ELOCKED, EIMAGE_*; system errors */
export async function imageInfo(path: string, options: ImageFileOptions = {}): Promise<ImageInfo> {
  return withImageFile(path, { ...options, readOnly: true }, async ({ file, format }) => {
    const { blocks } = await stat(path);
    const common = { filename: path, format, 'actual-size': blocks * SECTOR_BYTES };
    if (format === 'qcow2') return qcow2Info(file, common);
    if (format === 'vpc') return vhdInfo(file, common);
    const size = Math.ceil(file.sizeBytes / SECTOR_BYTES) * SECTOR_BYTES;
    return { 'virtual-size': size, ...common, 'dirty-flag': false };
  });
}

/** The image and all that it is above, itself first. @throws XennerError EBACKING: it never ends */
export async function imageChain(path: string, options: ImageFileOptions = {}): Promise<ImageInfo[]> {
  const chain: ImageInfo[] = [];
  const seen = new Set<string>();
  let next: string | undefined = path;
  let { format } = options;
  while (next !== undefined) {
    const identity = await identityOf(next);
    if (seen.has(identity)) throw new XennerError('EBACKING', `${next} is a backing file of itself`);
    if (seen.size > MAX_BACKING_CHAIN)
      throw new XennerError('EBACKING', `more than ${MAX_BACKING_CHAIN} images are below one another`);
    seen.add(identity);
    const info: ImageInfo = await imageInfo(next, { ...options, format });
    chain.push(info);
    next = info['full-backing-filename'];
    format = info['backing-filename-format'];
  }
  return chain;
}

type Common = Pick<ImageInfo, 'filename' | 'format' | 'actual-size'>;

async function qcow2Info(file: StorageFile, common: Common): Promise<ImageInfo> {
  const header = await readHeader(file);
  const { snapshots } = await readSnapshots(file, header);
  const { backingFile, extensions } = header;
  const backingFormat = backingFile === undefined ? undefined : extensions.backingFormat;
  return {
    ...(backingFormat !== undefined && { 'backing-filename-format': backingFormat }),
    ...(snapshots.length > 0 && { snapshots: snapshots.map(snapshotInfo) }),
    'virtual-size': header.sizeBytes,
    filename: common.filename,
    'cluster-size': header.clusterBytes,
    format: common.format,
    'actual-size': common['actual-size'],
    'format-specific': { type: 'qcow2', data: await specific(file, header) },
    ...(header.cryptMethod !== CRYPT.none && { encrypted: true }),
    ...(backingFile !== undefined && backingNames(common.filename, backingFile)),
    'dirty-flag': (header.incompatible & INCOMPATIBLE.dirty) !== 0n,
  };
}

/** A name in an image is relative to the image's folder, as it was named itself. */
function backingNames(
  image: string,
  name: string,
): Pick<ImageInfo, 'full-backing-filename' | 'backing-filename'> {
  const isPath = isAbsolute(name) || /^[^/]*:/.test(name) || dirname(image) === '.';
  return {
    'full-backing-filename': isPath ? name.replace(/^file:/, '') : `${dirname(image)}/${name}`,
    'backing-filename': name,
  };
}

async function specific(file: StorageFile, header: Header): Promise<Qcow2Info> {
  const { version, extensions, compression, refcountOrder, cryptMethod } = header;
  const isNew = version === 3;
  const bitmaps = await readBitmaps(file, header);
  const encryption = extensions.encryption;
  const isSet = (bit: bigint) => (header.incompatible & bit) !== 0n;
  return {
    compat: isNew ? '1.1' : '0.10',
    'compression-type': compression,
    ...(isNew && { 'lazy-refcounts': (header.compatible & COMPATIBLE.lazyRefcounts) !== 0n }),
    ...(bitmaps.length > 0 && { bitmaps: bitmaps.map(bitmapInfo) }),
    'refcount-bits': 2 ** refcountOrder,
    ...(cryptMethod === CRYPT.aes && { encrypt: { format: 'aes' as const } }),
    ...(encryption && { encrypt: await luksFacts(file, encryption) }),
    ...(isSet(INCOMPATIBLE.externalData) && {
      'data-file': extensions.dataFile ?? '',
      'data-file-raw': (header.autoclear & AUTOCLEAR.rawExternalData) !== 0n,
    }),
    ...(isNew && { corrupt: isSet(INCOMPATIBLE.corrupt), 'extended-l2': header.extendedL2 }),
  };
}

export function snapshotInfo(snapshot: Snapshot): SnapshotInfo {
  const { id, name, vmStateBytes, dateSeconds, dateNanoseconds, clockNanoseconds, icount } = snapshot;
  return {
    ...(icount !== undefined && { icount }),
    'vm-clock-nsec': Number(clockNanoseconds % 1_000_000_000n),
    name,
    'date-sec': dateSeconds,
    'date-nsec': dateNanoseconds,
    'vm-clock-sec': Number(clockNanoseconds / 1_000_000_000n),
    id,
    'vm-state-size': vmStateBytes,
  };
}

function bitmapInfo({ name, isInUse, isAuto, granularity }: Bitmap): BitmapInfo {
  return {
    flags: [...(isInUse ? ['in-use' as const] : []), ...(isAuto ? ['auto' as const] : [])],
    name,
    granularity,
  };
}

async function vhdInfo(file: StorageFile, common: Common): Promise<ImageInfo> {
  const { footer, header, parents } = await readVhdFacts(file);
  const [parent] = parents;
  return {
    'virtual-size': footer.sizeBytes,
    filename: common.filename,
    ...(header && { 'cluster-size': header.blockBytes }),
    format: common.format,
    'actual-size': common['actual-size'],
    ...(parent !== undefined && {
      'backing-filename-format': 'vpc',
      ...backingNames(common.filename, parent),
    }),
    'dirty-flag': false,
  };
}
