/**
 * Puts an image right. Whatever is written is good by itself, and in an order that leaves each state of the file no worse than the one
 * before: entries that cannot be go first, then the leave to write clusters in place that are shared; refcounts rise and fall; clusters
 * that are their owner's alone may be written in place again. So it may be killed anywhere, and be run again.
 */
import type { ByteStore } from '../storage-file.js';
import { checkQcow2, claimRefcounts, type Findings } from './check.js';
import { AUTOCLEAR, INCOMPATIBLE } from './format.js';
import { type Header, OFFSET_OF } from './header.js';
import { readHeader } from './open.js';
import { replaceRefcounts } from './rebuild.js';
import { setCopied, setRefcounts } from './settle.js';
import type { SnapshotTable } from './snapshots.js';
import { type WalkOptions, walkTables } from './walk.js';

export type RepairWhat = 'leaks' | 'all';

/** @param found by checkQcow2() just now; `header` is what it was given */
export async function repairQcow2(
  file: ByteStore,
  header: Header,
  snapshots: SnapshotTable,
  found: Findings,
  what: RepairWhat,
  options: WalkOptions,
): Promise<Findings> {
  if (what === 'all' && found.corruptions > 0) await repairAll(file, header, snapshots, found, options);
  else if (found.leaks > 0 && !found.needsRebuild) await freeLeaks(file, header, snapshots, options);
  const now = await readHeader(file);
  const left =
    found.corruptions + found.leaks > 0
      ? await checkQcow2(file, now, snapshots, { ...options, report: () => {} })
      : found;
  if (left.corruptions === 0) await markGood(file, now);
  return left;
}

async function repairAll(
  file: ByteStore,
  header: Header,
  snapshots: SnapshotTable,
  { walked: { areBitmapsDamaged }, needsRebuild }: Findings,
  options: WalkOptions,
): Promise<void> {
  if (areBitmapsDamaged) await setFeatures(file, OFFSET_OF.autoclear, header.autoclear & ~AUTOCLEAR.bitmaps);
  const good = areBitmapsDamaged ? await readHeader(file) : header;
  const walked = await walkTables(file, good, snapshots, { ...options, fix: true, report: () => {} });
  await file.sync();
  await setCopied(file, good, walked, false);
  if (needsRebuild) await replaceRefcounts(file, good, walked.references);
  else {
    const { offsets } = await claimRefcounts(file, good, walked.references, () => {});
    await setRefcounts(file, good, offsets, walked.references, { up: true, down: true });
  }
  await setCopied(file, good, walked, true);
}

async function freeLeaks(
  file: ByteStore,
  header: Header,
  snapshots: SnapshotTable,
  options: WalkOptions,
): Promise<void> {
  const { references } = await walkTables(file, header, snapshots, { ...options, report: () => {} });
  const { offsets } = await claimRefcounts(file, header, references, () => {});
  await setRefcounts(file, header, offsets, references, { up: false, down: true });
}

async function markGood(file: ByteStore, header: Header): Promise<void> {
  const good = header.incompatible & ~(INCOMPATIBLE.dirty | INCOMPATIBLE.corrupt);
  if (good !== header.incompatible) await setFeatures(file, OFFSET_OF.incompatible, good);
}

/** Of version 3; version 2 has none that could change. */
async function setFeatures(file: ByteStore, offset: number, features: bigint): Promise<void> {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(features);
  await file.write(offset, [bytes]);
  await file.sync();
}
