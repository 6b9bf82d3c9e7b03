/**
 * Dirty bitmaps that an image keeps for backup programs. We do not track changes in them: before the first write, those that want
 * to be told of every change (`auto`) are marked as not up to date, as their owner would after a crash; the others stay good.
 */
import { MAX_QCOW2_BITMAP_CLUSTERS } from '../../../base/limits.js';
import { damaged } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { roundUp, u64At, viewOf } from './bytes.js';
import { AUTOCLEAR, OFFSET_HI, OFFSET_LO } from './format.js';
import { checkTable, type Header } from './header.js';

const ENTRY_BYTES = 24;
const FLAGS_AT = 12;
const BME_FLAG_IN_USE = 1;
const BME_FLAG_AUTO = 2;
/** Nothing else has a meaning yet (docs/interop/qcow2.txt, "Bitmap directory"). */
const GRANULARITY_AT = 17;

export interface Bitmap {
  readonly name: string;
  readonly flags: number;
  /** It may miss changes. */
  readonly isInUse: boolean;
  /** It wants to be told of every change. */
  readonly isAuto: boolean;
  /** In bytes, what one bit stands for. */
  readonly granularity: number;
  /** Of the flags, in the file. */
  readonly flagsOffset: number;
  readonly tableOffset: number;
  readonly tableEntries: number;
}

/** None when somebody who does not know bitmaps has written to the image: they mean nothing then. */
export async function readBitmaps(file: ByteStore, header: Header): Promise<readonly Bitmap[]> {
  const { bitmaps } = header.extensions;
  if (!bitmaps || (header.autoclear & AUTOCLEAR.bitmaps) === 0n) return [];
  const { directoryOffset, directoryBytes, count } = bitmaps;
  const table = { offset: directoryOffset, bytes: directoryBytes, maxBytes: directoryBytes };
  checkTable(file.path, 'bitmap directory', table, header, file.sizeBytes);
  const bytes = new Uint8Array(directoryBytes);
  await file.read(directoryOffset, [bytes]);
  const view = viewOf(bytes);
  const found: Bitmap[] = [];
  for (let at = 0, i = 0; i < count; i++) {
    if (at + ENTRY_BYTES > bytes.length) throw damaged(file.path, 'the bitmap directory is cut short');
    const nameAt = at + ENTRY_BYTES + view.getUint32(at + 20);
    const end = nameAt + view.getUint16(at + 18);
    if (end > bytes.length) throw damaged(file.path, 'the bitmap directory is cut short');
    const flags = view.getUint32(at + FLAGS_AT);
    found.push({
      name: Buffer.from(bytes.subarray(nameAt, end)).toString('utf8'),
      flags,
      isInUse: (flags & BME_FLAG_IN_USE) !== 0,
      isAuto: (flags & BME_FLAG_AUTO) !== 0,
      granularity: 2 ** view.getUint8(at + GRANULARITY_AT),
      flagsOffset: directoryOffset + at + FLAGS_AT,
      tableOffset: u64At(view, at),
      tableEntries: view.getUint32(at + 8),
    });
    at = roundUp(end, 8);
  }
  return found;
}

/** All clusters that bitmaps use, by number. */
export async function bitmapClusters(file: ByteStore, header: Header): Promise<readonly number[]> {
  const { clusterBytes, extensions } = header;
  const bitmaps = await readBitmaps(file, header);
  if (bitmaps.length === 0 || !extensions.bitmaps) return [];
  const found: number[] = [];
  const add = (offset: number, bytes: number) => {
    for (let at = offset; at < offset + bytes; at += clusterBytes) found.push(Math.floor(at / clusterBytes));
    if (found.length > MAX_QCOW2_BITMAP_CLUSTERS) throw damaged(file.path, 'its bitmaps are too large');
  };
  add(extensions.bitmaps.directoryOffset, extensions.bitmaps.directoryBytes);
  for (const { name, tableOffset, tableEntries } of bitmaps) {
    const table = { offset: tableOffset, bytes: tableEntries * 8, maxBytes: MAX_QCOW2_BITMAP_CLUSTERS * 8 };
    checkTable(file.path, `table of bitmap ${JSON.stringify(name)}`, table, header, file.sizeBytes);
    add(tableOffset, table.bytes);
    const view = viewOf(new Uint8Array(table.bytes));
    await file.read(tableOffset, [new Uint8Array(view.buffer)]);
    for (let at = 0; at < table.bytes; at += 8) {
      const offset =
        (view.getUint32(at) & OFFSET_HI) * 2 ** 32 + ((view.getUint32(at + 4) & OFFSET_LO) >>> 0);
      if (offset !== 0) add(offset, clusterBytes);
    }
  }
  return found;
}

/** To be called before the disk changes. */
export async function markInUse(file: ByteStore, bitmaps: readonly Bitmap[]): Promise<void> {
  const stale = bitmaps.filter(({ isAuto, isInUse }) => isAuto && !isInUse);
  for (const { flags, flagsOffset } of stale) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(flags | BME_FLAG_IN_USE);
    await file.write(flagsOffset, [bytes]);
  }
  if (stale.length > 0) await file.sync();
}
