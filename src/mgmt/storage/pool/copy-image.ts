/** The contents of one volume in another that is new, whatever the formats of both; what is zero takes no space. */
import { copyFileSync, constants as fsConstants } from 'node:fs';
import { stat, truncate } from 'node:fs/promises';
import type { BlockImage } from '../../../xenner/backend/block/block-image.js';
import { inParallel } from '../in-parallel.js';
import { openImage } from '../open-image.js';
import { RawImage } from '../raw-image.js';
import { StorageFile } from '../storage-file.js';
import { openUnused } from './create-file.js';
import { PoolError } from './errors.js';

export interface ImageFile {
  readonly path: string;
  readonly format: string;
}

const CHUNK_BYTES = 1024 * 1024;
/** What is looked at for being zero by itself: a cluster of qcow2. */
const PIECE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(PIECE_BYTES);
/** Reading one chunk beside writing others. */
const AT_ONCE = 4;

/** An ISO image is a raw one. */
const driverOf = ({ format }: ImageFile) => (format === 'iso' ? 'raw' : format);

/**
 * @param to as large as `from` at least, and full of zeros
 * @param mayOpen whether a file may be used that `from` names: what it looks like, a guest may have decided
 */
export async function copyImage(
  from: ImageFile,
  to: ImageFile & { readonly sizeBytes: number },
  mayOpen: (path: string) => boolean,
): Promise<void> {
  const format = driverOf(from);
  const raw = format === 'raw' ? await StorageFile.open(from.path, { readOnly: true }) : undefined;
  const source = raw ? new RawImage(raw) : await openImage(from.path, { readOnly: true, format, mayOpen });
  try {
    const target = await openImage(to.path, { format: driverOf(to) });
    try {
      await inParallel(await chunksOf(source, raw), AT_ONCE, ({ start, length }) =>
        copyChunk(source, target, start, length),
      );
      await target.flush();
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
  // As a disk, a raw file has whole sectors.
  if (driverOf(to) === 'raw' && (await stat(to.path)).isFile()) await truncate(to.path, to.sizeBytes);
}

interface Chunk {
  readonly start: number;
  readonly length: number;
}

/** Of a raw image, its holes are left out. */
async function chunksOf({ sizeBytes }: BlockImage, raw: StorageFile | undefined): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for (let at = 0; at < sizeBytes; ) {
    const data = raw === undefined ? { start: at, end: sizeBytes } : await raw.dataAt(at);
    if (data === undefined) break;
    const end = Math.min(sizeBytes, Math.ceil(data.end / PIECE_BYTES) * PIECE_BYTES);
    for (at = Math.floor(data.start / PIECE_BYTES) * PIECE_BYTES; at < end; at += CHUNK_BYTES)
      chunks.push({ start: at, length: Math.min(CHUNK_BYTES, end - at) });
    at = end;
  }
  return chunks;
}

async function copyChunk(
  source: BlockImage,
  target: BlockImage,
  start: number,
  length: number,
): Promise<void> {
  const bytes = Buffer.allocUnsafe(length);
  await source.read(start, [bytes]);
  for (let at = 0; at < length; ) {
    const first = at;
    while (at < length && !isZero(bytes, at)) at += PIECE_BYTES;
    if (at > first) await target.write(start + first, [bytes.subarray(first, at)]);
    at += PIECE_BYTES;
  }
}

function isZero(bytes: Buffer, at: number): boolean {
  const piece = bytes.subarray(at, at + PIECE_BYTES);
  return piece.equals(ZEROS.subarray(0, piece.length));
}

/** The same blocks for both, until one changes: only btrfs, XFS and the like can (VIR_STORAGE_VOL_CREATE_REFLINK). */
export async function reflinkImage(from: ImageFile, to: ImageFile): Promise<void> {
  if (from.format !== to.format)
    throw new PoolError('VIR_ERR_INVALID_ARG', 'a reflink is of the same format as what it is a copy of');
  const file = await openUnused(from.path, { readOnly: true });
  try {
    copyFileSync(from.path, to.path, fsConstants.COPYFILE_FICLONE_FORCE);
  } finally {
    await file.close();
  }
}
