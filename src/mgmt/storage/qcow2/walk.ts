/**
 * All tables of an image but refcounts, walked; nothing of what they say is believed. Tables claim their clusters first, in the order
 * of what would be lost with them: a disk's data that lies in one of them is wrong.
 */

import { XennerError } from '../../../base/errors.js';
import {
  MAX_IMAGE_PARALLEL_IO,
  MAX_QCOW2_L1_BYTES,
  MAX_QCOW2_REBUILD_L1_ENTRIES,
  MAX_QCOW2_REBUILD_TABLES,
} from '../../../base/limits.js';
import { damaged } from '../image-errors.js';
import { inParallel } from '../in-parallel.js';
import type { ByteStore } from '../storage-file.js';
import { bitmapClusters } from './bitmaps.js';
import { EditedTable } from './edited-table.js';
import { COPIED_HI, OFFSET_HI, OFFSET_LO } from './format.js';
import { checkTable, type Header } from './header.js';
import { type Allocation, L2Walk } from './l2-walk.js';
import { References } from './references.js';
import { checkSnapshot, type SnapshotTable } from './snapshots.js';

/** What has to be 0 in an entry of an L1 table (docs/interop/qcow2.txt). */
const RESERVED_L1_HI = 0x7f000000;
const RESERVED_L1_LO = 0x000001ff;

export interface WalkOptions {
  /** Is told what is wrong. */
  readonly report: (text: string) => void;
  /** What cannot be is made to read as zeros. It is on the disk after sync(). */
  readonly fix?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** @param done of `total` L2 tables */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

/** An L2 table, and how often L1 tables name it. */
export interface L2Use {
  readonly offset: number;
  times: number;
  /** The disk as it is now uses it; else only snapshots. */
  readonly isActive: boolean;
  /** The last L1 table that named it. */
  by: number;
}

export interface Walked {
  readonly references: References;
  readonly l2Tables: ReadonlyMap<number, L2Use>;
  readonly allocation: Allocation;
  readonly areBitmapsDamaged: boolean;
}

/** @throws XennerError EIMAGE_DAMAGED, EIMAGE_UNSUPPORTED when it cannot even be walked; the signal's reason */
export async function walkTables(
  file: ByteStore,
  header: Header,
  snapshots: SnapshotTable,
  options: WalkOptions,
): Promise<Walked> {
  const references = new References(file.path, file.sizeBytes, header);
  const { report } = options;
  const claim = (what: string, offset: number, bytes: number) => {
    if (!references.addTable(offset, bytes)) report(`ERROR ${what} at ${offset} lies where another table is`);
  };
  claim('the header', 0, 1);
  claim('the L1 table', header.l1Offset, header.l1Entries * 8);
  if (snapshots.bytes > 0) claim('the snapshot table', header.snapshotsOffset, snapshots.bytes);
  for (const { name, l1Offset, l1Entries } of snapshots.snapshots)
    claim(`the L1 table of snapshot ${JSON.stringify(name)}`, l1Offset, l1Entries * 8);
  const { encryption } = header.extensions;
  if (encryption) claim('the LUKS header', encryption.offset, encryption.length);
  const l2Tables = await walkL1Tables(file, header, snapshots, references, options);
  const areBitmapsDamaged = !(await claimBitmaps(file, header, references));
  if (areBitmapsDamaged) report('ERROR the bitmaps are damaged');
  const walk = new L2Walk(file, header, references, options);
  let done = 0;
  const sorted = [...l2Tables.values()].sort((a, b) => a.offset - b.offset);
  await inParallel(sorted, MAX_IMAGE_PARALLEL_IO, async (use) => {
    await walk.table(use);
    options.signal?.throwIfAborted();
    options.progress?.(++done, sorted.length);
  });
  return { references, l2Tables, allocation: walk.allocation, areBitmapsDamaged };
}

async function walkL1Tables(
  file: ByteStore,
  header: Header,
  { snapshots }: SnapshotTable,
  references: References,
  options: WalkOptions,
): Promise<Map<number, L2Use>> {
  const tables = new Map<number, L2Use>();
  let entries = 0;
  for (const [by, shown] of [header, ...snapshots].entries()) {
    if ('id' in shown) checkSnapshot(file.path, header, shown, file.sizeBytes);
    const bytes = shown.l1Entries * 8;
    checkTable(
      file.path,
      'L1 table',
      { offset: shown.l1Offset, bytes, maxBytes: MAX_QCOW2_L1_BYTES },
      header,
      file.sizeBytes,
    );
    entries += shown.l1Entries;
    if (entries > MAX_QCOW2_REBUILD_L1_ENTRIES) throw damaged(file.path, 'its L1 tables are too large');
    const l1 = await EditedTable.read(file, shown.l1Offset, bytes);
    for (let at = 0; at < bytes; at += 8) walkL1Entry(l1, at, by, header, references, tables, options);
    if (tables.size > MAX_QCOW2_REBUILD_TABLES) throw damaged(file.path, 'there are too many L2 tables');
    await l1.save(file);
    options.signal?.throwIfAborted();
  }
  return tables;
}

function walkL1Entry(
  l1: EditedTable,
  at: number,
  by: number,
  { clusterBytes }: Header,
  references: References,
  tables: Map<number, L2Use>,
  { report, fix }: WalkOptions,
): void {
  const hi = l1.view.getUint32(at);
  const lo = l1.view.getUint32(at + 4);
  if ((hi | lo) === 0) return;
  const where = () => `L1 entry ${at / 8} at ${l1.offset}`;
  if ((hi & RESERVED_L1_HI) !== 0 || (lo & RESERVED_L1_LO) !== 0) {
    report(`ERROR ${where()} has reserved bits set`);
    if (fix) l1.setEntry(at, hi & ~RESERVED_L1_HI, lo & ~RESERVED_L1_LO);
  }
  const offset = (hi & OFFSET_HI) * 2 ** 32 + ((lo & OFFSET_LO) >>> 0);
  if (offset === 0) return;
  const known = tables.get(offset);
  const isGood =
    offset % clusterBytes === 0 &&
    (known === undefined
      ? references.addTable(offset, clusterBytes)
      : known.by !== by && references.addUser(offset));
  if (!isGood) {
    report(`ERROR ${where()} names ${offset}, where no L2 table of its own can be`);
    if (fix) l1.setEntry(at, 0, 0);
  } else if (known) {
    known.times++;
    known.by = by;
  } else tables.set(offset, { offset, times: 1, isActive: by === 0, by });
}

/** False: they are damaged. Whatever of them is not, is claimed. */
async function claimBitmaps(file: ByteStore, header: Header, references: References): Promise<boolean> {
  const { clusterBytes } = header;
  try {
    const clusters = await bitmapClusters(file, header);
    return clusters.every((cluster) => references.addTable(cluster * clusterBytes, clusterBytes));
  } catch (error) {
    if (error instanceof XennerError && error.code === 'EIMAGE_DAMAGED') return false;
    throw error;
  }
}

/** Calls `flag` for each entry of the disk's L1 and L2 tables that names a cluster, which then may be written in place or not. */
export async function eachCopiedFlag(
  file: ByteStore,
  header: Header,
  { references, l2Tables }: Walked,
  flag: (table: EditedTable, at: number, cluster: number, isL1: boolean) => void,
): Promise<void> {
  const { clusterBytes, l1Offset, l1Entries } = header;
  const l1 = await EditedTable.read(file, l1Offset, l1Entries * 8);
  for (let at = 0; at < l1.bytes.length; at += 8) {
    const offset =
      (l1.view.getUint32(at) & OFFSET_HI) * 2 ** 32 + ((l1.view.getUint32(at + 4) & OFFSET_LO) >>> 0);
    if (offset > 0 && l2Tables.has(offset)) flag(l1, at, offset / clusterBytes, true);
  }
  await l1.save(file);
  const walk = new L2Walk(file, header, references, { report: () => {} });
  const active = [...l2Tables.values()].filter(({ isActive }) => isActive);
  await inParallel(active, MAX_IMAGE_PARALLEL_IO, ({ offset }) => {
    return walk.eachCluster(offset, (table, at, cluster) => flag(table, at, cluster, false));
  });
}

/** Whether an entry's flag is set. */
export const isCopied = (table: EditedTable, at: number) => (table.view.getUint32(at) & COPIED_HI) !== 0;
