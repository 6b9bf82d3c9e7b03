/** How large a new image's file would be (QEMU: qcow2_measure() in block/qcow2.c). */
import { XennerError } from '../../../base/errors.js';
import { geometry } from '../qcow2/header.js';
import type { CreateChoices } from './create-options.js';
import type { ImageFileOptions, ToolFormat } from './image-file.js';
import { type ImageInfo, imageInfo } from './info.js';
import { mapImage } from './map.js';
import { sizeFromText } from './size-text.js';

const SECTOR_BYTES = 512;
const BITMAP_ENTRY_BYTES = 24;

export interface MeasureOptions extends ImageFileOptions {
  readonly outputFormat: ToolFormat;
  readonly choices?: CreateChoices | undefined;
}

/** In bytes. */
export interface ImageMeasure {
  readonly required: number;
  readonly 'fully-allocated': number;
  /** Of its bitmaps, if it could have any. */
  readonly bitmaps?: number;
}

/** @param source an image whose contents it would have, or the size of an empty disk @throws XennerError; system errors */
export async function measureImage(source: string | number, options: MeasureOptions): Promise<ImageMeasure> {
  const isEmpty = typeof source === 'number';
  const info = isEmpty ? undefined : await imageInfo(source, options);
  const size = isEmpty ? source : info!['virtual-size'];
  const sizeBytes = Math.ceil(size / SECTOR_BYTES) * SECTOR_BYTES;
  if (options.outputFormat === 'raw') return { required: sizeBytes, 'fully-allocated': sizeBytes };
  if (options.outputFormat !== 'qcow2')
    throw new XennerError(
      'EIMAGE_UNSUPPORTED',
      `images of the format ${options.outputFormat} cannot be measured`,
    );
  const { clusterBytes, fullBytes } = layout(sizeBytes, options.choices ?? new Map());
  const data = isEmpty ? 0 : await dataBytes(source, clusterBytes, options);
  const whole = Math.ceil(sizeBytes / clusterBytes) * clusterBytes;
  const isFull = ['falloc', 'full'].includes(options.choices?.get('preallocation') ?? 'off');
  return {
    required: fullBytes - whole + (isFull ? whole : data),
    'fully-allocated': fullBytes,
    ...(info?.['format-specific']?.data.compat === '1.1' && { bitmaps: bitmapBytes(info, clusterBytes) }),
  };
}

/** All tables that a disk needs when every cluster has its place, and the clusters. */
function layout(sizeBytes: number, choices: CreateChoices): { clusterBytes: number; fullBytes: number } {
  const extendedL2 = choices.get('extended_l2') === 'on';
  const bits = Math.log2(sizeFromText(choices.get('cluster_size') ?? '64k'));
  const order = Math.log2(sizeFromText(choices.get('refcount_bits') ?? '16'));
  if (![bits, order].every(Number.isInteger) || bits < 9 || bits > 21 || order < 0 || order > 6)
    throw new XennerError(
      'EIMAGE_OPTIONS',
      'clusters of 512 bytes to 2 MiB and refcounts of 1 to 64 bits are powers of two',
    );
  const { clusterBytes, l2Entries, refcountsPerBlock } = geometry(3, bits, extendedL2, order);
  const data = Math.ceil(sizeBytes / clusterBytes);
  const l2Tables = Math.ceil(data / l2Entries);
  const l1Clusters = Math.ceil((l2Tables * 8) / clusterBytes);
  const counted = 1 + l2Tables + l1Clusters + data;
  let [blocks, tables] = [0, 0];
  for (let last = -1; last !== blocks + tables; ) {
    last = blocks + tables;
    blocks = Math.ceil((counted + blocks + tables) / refcountsPerBlock);
    tables = Math.ceil((blocks * 8) / clusterBytes);
  }
  return { clusterBytes, fullBytes: (counted + blocks + tables) * clusterBytes };
}

/** Tables and bits of all bitmaps, and the directory of them (QEMU: qcow2_get_persistent_dirty_bitmap_size()). */
function bitmapBytes(info: ImageInfo, clusterBytes: number): number {
  const bitmaps = info['format-specific']?.data.bitmaps ?? [];
  const clusters = (bytes: number) => Math.ceil(bytes / clusterBytes);
  let count = 0;
  let directory = 0;
  for (const { name, granularity } of bitmaps) {
    const bits = clusters(Math.ceil(info['virtual-size'] / granularity / 8));
    count += bits + clusters(bits * 8);
    directory += Math.ceil((BITMAP_ENTRY_BYTES + Buffer.byteLength(name)) / 8) * 8;
  }
  return (count + clusters(directory)) * clusterBytes;
}

/** Of the clusters that have any data. */
async function dataBytes(path: string, clusterBytes: number, options: ImageFileOptions): Promise<number> {
  let clusters = 0;
  let next = 0;
  for await (const { start, length, data, zero } of mapImage(path, options)) {
    if (!data || zero) continue;
    const first = Math.max(next, Math.floor(start / clusterBytes));
    next = Math.max(next, Math.ceil((start + length) / clusterBytes));
    clusters += next - Math.min(first, next);
  }
  return clusters * clusterBytes;
}
