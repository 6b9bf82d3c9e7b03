/** The contents of a disk into another image: what is read, what is looked at for zeros, what is written, several pieces at once. */
import type { BlockImage } from '../../../xenner/backend/block/block-image.js';
import type { DiskImage } from '../disk-image.js';
import { Qcow2Image } from '../qcow2/image.js';
import { VhdImage } from '../vhd/vhd-image.js';
import { type DiskExtent, diskExtents } from './disk-extents.js';
import { CHUNK_BYTES, chunks, eachWithBuffer } from './in-chunks.js';
import type { WorkOptions } from './work.js';
import { eachRun } from './zero-scan.js';

/** qemu-img's. */
const DEFAULT_SPARSE_BYTES = 4096;
/** Of a VHD's blocks, which are large, the file may have parts. */
const VHD_PIECE_BYTES = 64 * 1024;
/** As qemu-img has coroutines. */
const DEFAULT_AT_ONCE = 8;

export interface CopyOptions extends WorkOptions {
  /** Zeros of this length, at its multiples, are not written but told of. 0: all that there is gets written. */
  readonly pieceBytes: number;
  /** The target reads as zeros already, or as what the source has left out. */
  readonly isTargetZero: boolean;
  /** Of the source's chain the images above this one; by default all. What they do not have is left alone. */
  readonly above?: DiskImage | undefined;
  readonly atOnce?: number | undefined;
  /** In place of the target's own. */
  readonly write?: ((offset: number, bytes: Buffer) => Promise<void>) | undefined;
}

/** What is one piece for the target is not cut. */
const chunkBytesOf = ({ pieceBytes }: CopyOptions) => Math.max(CHUNK_BYTES, pieceBytes);

/** Extents with data, cut at multiples of a chunk; the others as they are. */
async function* jobsOf(source: DiskImage, options: CopyOptions): AsyncGenerator<DiskExtent> {
  for await (const extent of diskExtents(source, options.above)) {
    // What is a hole to all images is zeros; but one that is left alone has something below.
    const isZero = extent.kind === 'zero' || (extent.kind === 'hole' && options.above === undefined);
    if (extent.kind === 'data' || (isZero && options.pieceBytes === 0)) {
      for (const chunk of chunks(extent.offset, extent.length, chunkBytesOf(options)))
        yield { kind: 'data', ...chunk };
    } else {
      yield { ...extent, kind: isZero ? 'zero' : 'hole' };
    }
  }
}

/** @throws the signal's reason; errors of either image */
export async function copyDisk(source: DiskImage, target: BlockImage, options: CopyOptions): Promise<void> {
  const { progress, signal, isTargetZero, pieceBytes, atOnce = DEFAULT_AT_ONCE } = options;
  const total = source.sizeBytes;
  const write = options.write ?? ((offset, bytes) => target.write(offset, [bytes]));
  const zero = async (offset: number, length: number) => {
    if (!isTargetZero) await target.writeZeroes(offset, length, { mayUnmap: true });
  };
  let done = 0;
  progress?.(0, total);
  await eachWithBuffer(
    jobsOf(source, options),
    atOnce,
    chunkBytesOf(options),
    async ({ kind, offset, length }, buffer) => {
      signal?.throwIfAborted();
      if (kind === 'zero') await zero(offset, length);
      if (kind === 'data') {
        const bytes = buffer.subarray(0, length);
        await source.read(offset, [bytes]);
        const under: Promise<void>[] = [];
        if (pieceBytes === 0) under.push(write(offset, bytes));
        else
          eachRun(bytes, pieceBytes, (isZero, from, to) => {
            under.push(
              isZero ? zero(offset + from, to - from) : write(offset + from, bytes.subarray(from, to)),
            );
          });
        await settled(under);
      }
      done += length;
      progress?.(done, total);
    },
  );
  signal?.throwIfAborted();
}

/** The buffer is free again only when all have ended, whatever became of them. */
async function settled(under: readonly Promise<void>[]): Promise<void> {
  if (under.length > 1) await Promise.allSettled(under);
  await Promise.all(under);
}

/** A cluster that has any data has its place: to leave out a part of it would save nothing. */
export function pieceBytesOf(image: DiskImage, sparseBytes = DEFAULT_SPARSE_BYTES): number {
  let unit = 1;
  if (image instanceof Qcow2Image) unit = image.header.clusterBytes;
  if (image instanceof VhdImage) unit = VHD_PIECE_BYTES;
  return Math.ceil(Math.max(1, sparseBytes) / unit) * unit;
}
