/** Another image below an overlay, or none. */
import { dirname, resolve } from 'node:path';
import { XennerError } from '../../../base/errors.js';
import type { DiskImage } from '../disk-image.js';
import { openImage } from '../open-image.js';
import { type BackingName, writeBacking } from '../qcow2/backing-name.js';
import { Qcow2Image } from '../qcow2/image.js';
import { readHeader } from '../qcow2/open.js';
import { identityOf } from '../storage-file.js';
import { type DiskExtent, diskExtents } from './disk-extents.js';
import { withImageFile } from './image-file.js';
import { CHUNK_BYTES, chunks, eachWithBuffer } from './in-chunks.js';
import type { WorkOptions } from './work.js';
import { isZero } from './zero-scan.js';

const AT_ONCE = 4;

export interface RebaseOptions extends WorkOptions {
  readonly format?: string | undefined;
  /** By a path relative to the overlay; undefined: the overlay becomes an image of its own. */
  readonly backing: BackingName | undefined;
  /** Nothing but the name changes: both have the same contents, or the old one has another name now. It need not be there. */
  readonly unsafe?: boolean | undefined;
}

/**
 * The disk keeps its contents: what the two images below differ in is written to the overlay before its header names the new one.
 *
 * @throws XennerError ELOCKED, EIMAGE_*; the signal's reason; system errors
 */
export async function rebaseImage(path: string, options: RebaseOptions): Promise<void> {
  if (options.unsafe) return rename(path, options);
  const overlay = await openImage(path, { format: options.format });
  try {
    if (!(overlay instanceof Qcow2Image)) throw noQcow2(path);
    const { backing } = options;
    const below = await openBelow(path, backing);
    try {
      await copyDifference(overlay, below, options);
    } finally {
      await below?.close();
    }
    await overlay.changeBacking(backing);
  } finally {
    await overlay.close();
  }
}

const noQcow2 = (path: string) =>
  new XennerError('EIMAGE_UNSUPPORTED', `${path} is no qcow2 image, and has no backing file to change`);

async function rename(path: string, { format, backing }: RebaseOptions): Promise<void> {
  await withImageFile(path, { format, readOnly: false }, async (image) => {
    if (image.format !== 'qcow2') throw noQcow2(path);
    await writeBacking(image.file, await readHeader(image.file), backing);
  });
}

function openBelow(path: string, backing: BackingName | undefined): Promise<DiskImage | undefined> {
  if (backing === undefined) return Promise.resolve(undefined);
  return openImage(resolve(dirname(path), backing.path), { format: backing.format, readOnly: true });
}

async function copyDifference(
  overlay: Qcow2Image,
  below: DiskImage | undefined,
  { progress, signal }: RebaseOptions,
): Promise<void> {
  const total = overlay.sizeBytes;
  const chunkBytes = Math.max(CHUNK_BYTES, overlay.header.clusterBytes);
  let done = 0;
  progress?.(0, total);
  await eachWithBuffer(
    uncovered(overlay, below, chunkBytes),
    AT_ONCE,
    2 * chunkBytes,
    async ({ offset, length }, buffer) => {
      signal?.throwIfAborted();
      const [before, after] = [buffer.subarray(0, length), buffer.subarray(length, 2 * length)];
      await Promise.all([readWhole(overlay.backing, offset, before), readWhole(below, offset, after)]);
      await keep(overlay, offset, before, after);
      done = Math.max(done, offset + length);
      progress?.(done, total);
    },
  );
  signal?.throwIfAborted();
  progress?.(total, total);
}

/** Writes the clusters of a range that would not be the same. */
async function keep(overlay: Qcow2Image, offset: number, before: Buffer, after: Buffer): Promise<void> {
  const { clusterBytes } = overlay.header;
  for (let at = 0; at < before.length; ) {
    const from = at;
    at = Math.min(before.length, at - ((offset + at) % clusterBytes) + clusterBytes);
    if (before.compare(after, from, at, from, at) === 0) continue;
    // Behind what is below now there are zeros without anybody's writing them, but not any more soon.
    const isBehind = offset + from >= (overlay.backing?.sizeBytes ?? 0);
    if (!isBehind && isZero(before, from, at))
      await overlay.writeZeroes(offset + from, at - from, { mayUnmap: true });
    else await overlay.write(offset + from, [before.subarray(from, at)]);
  }
}

type Part = Pick<DiskExtent, 'offset' | 'length'>;

/** What the overlay does not have, where the images below may differ. */
async function* uncovered(
  overlay: Qcow2Image,
  below: DiskImage | undefined,
  chunkBytes: number,
): AsyncGenerator<Part> {
  const old = overlay.backing;
  if (old === undefined && below === undefined) return;
  const common = old && below && (await sameImage(old, below));
  if (old !== undefined && old === common) return;
  for await (const hole of diskExtents(overlay, old)) {
    if (hole.kind !== 'hole') continue;
    const end = hole.offset + hole.length;
    if (old === undefined || (below !== undefined && common === undefined)) {
      yield* chunks(hole.offset, hole.length, chunkBytes);
      continue;
    }
    // Where an image that stays below is to be seen, or there were zeros and will be, nothing changes.
    for await (const part of diskExtents(old, common, hole.offset, end))
      if (part.kind === 'data' || (part.kind === 'zero' && below !== undefined))
        yield* chunks(part.offset, part.length, chunkBytes);
  }
}

/** The image of a chain that is the same file. */
async function sameImage(chain: DiskImage, image: DiskImage): Promise<DiskImage | undefined> {
  const wanted = await identityOf(image.path);
  for (let next: DiskImage | undefined = chain; next !== undefined; next = next.backing)
    if ((await identityOf(next.path)) === wanted) return next;
  return undefined;
}

/** Behind its end there are zeros. */
async function readWhole(image: DiskImage | undefined, offset: number, into: Buffer): Promise<void> {
  const here = Math.max(0, Math.min(into.length, (image?.sizeBytes ?? 0) - offset));
  into.fill(0, here);
  if (image !== undefined && here > 0) await image.read(offset, [into.subarray(0, here)]);
}
