/** A larger refcount table, when the file has more clusters than the old one counts. */
import { MAX_QCOW2_REFCOUNT_TABLE_BYTES } from '../../../base/limits.js';
import { refused } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import type { Allocator } from './allocator.js';
import { setU64, viewOf } from './bytes.js';
import type { Commit } from './commit.js';
import { type Geometry, OFFSET_OF } from './header.js';
import type { Refcounts } from './refcounts.js';
import { Table } from './table.js';

/**
 * The clusters that no block counts are free: first come the blocks that count the new clusters, then the table. It takes effect by
 * one write to the header, when all else is on the disk; what it replaces is free after that.
 */
export async function growRefcountTable(
  file: ByteStore,
  geometry: Geometry,
  refcounts: Refcounts,
  allocator: Allocator,
  commit: Commit,
  block: number,
): Promise<void> {
  const { clusterBytes, refcountsPerBlock } = geometry;
  const tableClusters = Math.ceil((Math.max(refcounts.capacity * 2, block + 2) * 8) / clusterBytes);
  if (tableClusters * clusterBytes > MAX_QCOW2_REFCOUNT_TABLE_BYTES)
    throw refused('EFBIG', `${file.path} cannot become larger with clusters of ${clusterBytes} bytes`);
  let blocks = 1;
  while (blocks * refcountsPerBlock < blocks + tableClusters) blocks++;
  const first = block * refcountsPerBlock;
  await commit.exclusivelyOrNever(async () => {
    allocator.claimMetadata(first, blocks + tableClusters);
    const old = refcounts.table;
    const bytes = new Uint8Array(tableClusters * clusterBytes);
    bytes.set(old.bytes);
    refcounts.tableDirty.clear();
    refcounts.table = new Table((first + blocks) * clusterBytes, bytes, refcounts.tableDirty);
    for (let i = 0; i < blocks; i++) refcounts.addBlock(block + i, (first + i) * clusterBytes);
    for (let i = 0; i < blocks + tableClusters; i++) refcounts.set(first + i, 1);
    await commit.writeBlocks();
    await file.write(refcounts.table.offset, [bytes]);
    await file.sync();
    const header = new Uint8Array(12);
    setU64(viewOf(header), 0, refcounts.table.offset);
    viewOf(header).setUint32(8, tableClusters);
    await file.write(OFFSET_OF.refcountTable, [header]);
    await file.sync();
    allocator.release(old.offset / clusterBytes, old.bytes.length / clusterBytes, false);
  });
}
