/** A new refcount table, made of what refers to clusters, for an image that was not closed well or whose own one cannot be. */
import { damaged } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { setU64, viewOf } from './bytes.js';
import { INCOMPATIBLE } from './format.js';
import { type Header, OFFSET_OF } from './header.js';
import { writeRefcount } from './refcounts.js';
import type { References } from './references.js';
import type { SnapshotTable } from './snapshots.js';
import { walkTables } from './walk.js';

/** For an image that is marked dirty, and is not afterwards. @throws XennerError EIMAGE_DAMAGED: that is not all */
export async function rebuildRefcounts(
  file: ByteStore,
  header: Header,
  snapshots: SnapshotTable,
): Promise<void> {
  const report = (text: string) => {
    throw damaged(file.path, text.replace(/^ERROR /, ''));
  };
  const { references } = await walkTables(file, header, snapshots, { report });
  await replaceRefcounts(file, header, references);
}

/**
 * The new blocks and their table lie behind all that there is, and count themselves. Afterwards the header names them, and is not
 * marked dirty; what it named before is free space.
 * @param references without the old table and its blocks
 */
export async function replaceRefcounts(
  file: ByteStore,
  header: Header,
  references: References,
): Promise<void> {
  const { clusterBytes, refcountsPerBlock, refcountOrder } = header;
  const inUse = references.clusters;
  let blocks = 0;
  let tableClusters = 0;
  for (let total = -1; total !== inUse + blocks + tableClusters; ) {
    total = inUse + blocks + tableClusters;
    blocks = Math.ceil(total / refcountsPerBlock);
    tableClusters = Math.ceil((blocks * 8) / clusterBytes);
  }
  const table = viewOf(new Uint8Array(tableClusters * clusterBytes));
  for (let block = 0; block < blocks; block++) {
    const bytes = viewOf(new Uint8Array(clusterBytes));
    const end = Math.min(inUse + blocks + tableClusters, (block + 1) * refcountsPerBlock);
    for (let cluster = block * refcountsPerBlock; cluster < end; cluster++) {
      const refcount = cluster < inUse ? references.of(cluster) : 1;
      writeRefcount({ view: bytes }, refcountOrder, cluster % refcountsPerBlock, refcount);
    }
    await file.write((inUse + block) * clusterBytes, [new Uint8Array(bytes.buffer)]);
    setU64(table, block * 8, (inUse + block) * clusterBytes);
  }
  await file.write((inUse + blocks) * clusterBytes, [new Uint8Array(table.buffer)]);
  await file.sync();
  await switchTable(file, header, (inUse + blocks) * clusterBytes, tableClusters);
}

/** Refcount table and feature bits are in one sector, which is written as a whole or not at all. */
async function switchTable(file: ByteStore, header: Header, offset: number, clusters: number): Promise<void> {
  const bytes = new Uint8Array(OFFSET_OF.incompatible + 8 - OFFSET_OF.refcountTable);
  await file.read(OFFSET_OF.refcountTable, [bytes]);
  const view = viewOf(bytes);
  setU64(view, 0, offset);
  view.setUint32(8, clusters);
  view.setBigUint64(
    OFFSET_OF.incompatible - OFFSET_OF.refcountTable,
    header.incompatible & ~INCOMPATIBLE.dirty,
  );
  await file.write(OFFSET_OF.refcountTable, [bytes]);
  await file.sync();
}
