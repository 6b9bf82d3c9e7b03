/** Refcounts of an image that was not closed well, counted anew from all that refers to a cluster. */
import {
  MAX_QCOW2_L1_BYTES,
  MAX_QCOW2_REBUILD_CLUSTERS,
  MAX_QCOW2_REBUILD_TABLES,
} from '../../../base/limits.js';
import { damaged, unsupported } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { bitmapClusters } from './bitmaps.js';
import { setU64, viewOf } from './bytes.js';
import { ClusterMap } from './cluster-map.js';
import { INCOMPATIBLE } from './format.js';
import { checkTable, type Header, OFFSET_OF } from './header.js';
import { writeRefcount } from './refcounts.js';
import type { SnapshotTable } from './snapshots.js';

type Count = (what: string, offset: number, bytes: number) => void;

/** Afterwards the header names a new refcount table, and is not marked dirty; the old one is free space. */
export async function rebuildRefcounts(
  file: ByteStore,
  header: Header,
  snapshots: SnapshotTable,
): Promise<void> {
  const { clusterBytes } = header;
  const clusters = Math.ceil(file.sizeBytes / clusterBytes);
  if (clusters > MAX_QCOW2_REBUILD_CLUSTERS)
    throw unsupported(
      file.path,
      'was not closed well, and is too large to be repaired here: use `qemu-img check -r all`',
    );
  const counts = new Uint32Array(clusters);
  const count: Count = (what, offset, bytes) => {
    const end = Math.ceil((offset + bytes) / clusterBytes);
    if (end > clusters) throw damaged(file.path, `${what} at ${offset} lies behind its end`);
    for (let cluster = Math.floor(offset / clusterBytes); cluster < end; cluster++)
      counts[cluster] = (counts[cluster] ?? 0) + 1;
  };
  await countAll(file, header, snapshots, count);
  await writeAll(file, header, counts);
}

async function countAll(
  file: ByteStore,
  header: Header,
  snapshots: SnapshotTable,
  count: Count,
): Promise<void> {
  const { clusterBytes } = header;
  count('the header', 0, 1);
  if (snapshots.bytes > 0) count('the snapshot table', header.snapshotsOffset, snapshots.bytes);
  const { encryption } = header.extensions;
  if (encryption) count('the LUKS header', encryption.offset, encryption.length);
  for (const cluster of await bitmapClusters(file, header))
    count('a bitmap', cluster * clusterBytes, clusterBytes);
  const budget = { tables: MAX_QCOW2_REBUILD_TABLES };
  for (const { l1Offset, l1Entries } of [header, ...snapshots.snapshots]) {
    const table = { offset: l1Offset, bytes: l1Entries * 8, maxBytes: MAX_QCOW2_L1_BYTES };
    checkTable(file.path, 'L1 table', table, header, file.sizeBytes);
    count('an L1 table', l1Offset, table.bytes);
    const l1 = new Uint8Array(table.bytes);
    await file.read(l1Offset, [l1]);
    await countDisk(new ClusterMap(file, header, l1Offset, l1, hasDataFile(header)), header, count, budget);
  }
}

const hasDataFile = (header: Header) => (header.incompatible & INCOMPATIBLE.externalData) !== 0n;

async function countDisk(
  map: ClusterMap,
  header: Header,
  count: Count,
  budget: { tables: number },
): Promise<void> {
  const { clusterBytes, l2EntryBytes } = header;
  for (let l1Index = 0; l1Index * 8 < map.l1.bytes.length; l1Index++) {
    const offset = map.l2OffsetOf(l1Index);
    if (offset === 0) continue;
    if (budget.tables-- === 0) throw damaged(map.file.path, 'there are too many L2 tables');
    count('an L2 table', offset, clusterBytes);
    const table = await map.l2.get(offset);
    for (let entry = 0; entry < clusterBytes; entry += l2EntryBytes) {
      if (map.isCompressed(table, entry)) {
        const { host, bytes } = map.compressed(table, entry);
        count('a compressed cluster', host, bytes);
      } else if (!hasDataFile(header)) {
        const { host } = map.standard(table, entry);
        if (host >= 0) count('a cluster', host, clusterBytes);
      }
    }
  }
}

/** The new blocks and their table lie behind all that there is, and count themselves. */
async function writeAll(file: ByteStore, header: Header, counts: Uint32Array): Promise<void> {
  const { clusterBytes, refcountsPerBlock, refcountOrder } = header;
  const most = 2 ** Math.min(32, 2 ** refcountOrder) - 1;
  const inUse = counts.length;
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
      const refcount = cluster < inUse ? (counts[cluster] ?? 0) : 1;
      if (refcount > most) throw damaged(file.path, `cluster ${cluster} is used ${refcount} times`);
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
