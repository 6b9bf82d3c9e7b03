/** Which clusters of a file have tables: none of them may become a guest's data. */
import { damaged } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { bitmapClusters } from './bitmaps.js';
import type { ClusterMap } from './cluster-map.js';
import type { Header } from './header.js';
import type { Refcounts } from './refcounts.js';
import type { SnapshotTable } from './snapshots.js';

/** @throws XennerError EIMAGE_DAMAGED when two tables share a cluster */
export async function metadataClusters(
  file: ByteStore,
  header: Header,
  map: ClusterMap,
  refcounts: Refcounts,
  snapshots: SnapshotTable,
): Promise<Set<number>> {
  const { clusterBytes } = header;
  const found = new Set<number>();
  const add = (what: string, offset: number, bytes: number) => {
    const end = Math.ceil((offset + bytes) / clusterBytes);
    for (let cluster = Math.floor(offset / clusterBytes); cluster < end; cluster++) {
      if (found.has(cluster)) throw damaged(file.path, `${what} lies where another table is`);
      found.add(cluster);
    }
  };
  add('the header', 0, 1);
  add('the L1 table', header.l1Offset, header.l1Entries * 8);
  add('the refcount table', header.refcountTableOffset, header.refcountTableClusters * clusterBytes);
  if (snapshots.bytes > 0) add('the snapshot table', header.snapshotsOffset, snapshots.bytes);
  const { encryption } = header.extensions;
  if (encryption) add('the LUKS header', encryption.offset, encryption.length);
  for (let block = 0; block < refcounts.capacity; block++) {
    const offset = refcounts.blockOffset(block);
    if (offset === 0) continue;
    if (offset >= file.sizeBytes) throw damaged(file.path, `a refcount block at ${offset}, behind its end`);
    add('a refcount block', offset, clusterBytes);
  }
  for (let l1Index = 0; l1Index < header.l1Entries; l1Index++) {
    const offset = map.l2OffsetOf(l1Index);
    if (offset !== 0) add('an L2 table', offset, clusterBytes);
  }
  for (const cluster of await bitmapClusters(file, header))
    add('a bitmap', cluster * clusterBytes, clusterBytes);
  return found;
}
