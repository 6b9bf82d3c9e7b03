/**
 * Changes of a whole image that nobody else has open: from one header to another. What the other one names is written and counted
 * first, besides what this one does; then one write to the header makes it so; then what only this one named is given back. A crash
 * leaves the one image or the other, and lost clusters at worst.
 */
import { damaged, refused } from '../image-errors.js';
import { type ByteStore, StorageFile } from '../storage-file.js';
import { Allocator, type NewRun } from './allocator.js';
import { setU64, viewOf } from './bytes.js';
import { claimRefcounts } from './check.js';
import { ClusterMap } from './cluster-map.js';
import { Commit } from './commit.js';
import { INCOMPATIBLE } from './format.js';
import { growRefcountTable } from './grow-refcounts.js';
import { type Header, OFFSET_OF } from './header.js';
import { metadataClusters } from './metadata-clusters.js';
import { readHeader } from './open.js';
import { rebuildRefcounts } from './rebuild.js';
import { Refcounts } from './refcounts.js';
import { setCopied, setRefcounts } from './settle.js';
import { readSnapshots, type SnapshotTable } from './snapshots.js';
import { walkTables } from './walk.js';

export interface Changing {
  readonly file: ByteStore;
  readonly header: Header;
  readonly snapshots: SnapshotTable;
}

/** @throws XennerError ELOCKED, EIMAGE_DAMAGED, EIMAGE_UNSUPPORTED; system errors */
export async function withQcow2<T>(path: string, use: (image: Changing) => Promise<T>): Promise<T> {
  const file = await StorageFile.open(path);
  try {
    let header = await readHeader(file);
    if ((header.incompatible & INCOMPATIBLE.corrupt) !== 0n)
      throw damaged(path, 'it is marked corrupt, and can only be read');
    const snapshots = await readSnapshots(file, header);
    if ((header.incompatible & INCOMPATIBLE.dirty) !== 0n) {
      await rebuildRefcounts(file, header, snapshots);
      header = await readHeader(file);
    }
    return await use({ file, header, snapshots });
  } finally {
    await file.close();
  }
}

/**
 * @param after what `publish` makes the header say, in one write
 * @throws XennerError EIMAGE_DAMAGED before anything has changed
 */
export async function changeTo(
  file: ByteStore,
  after: Header,
  snapshots: SnapshotTable,
  publish: () => Promise<void>,
): Promise<void> {
  const report = (text: string) => {
    throw damaged(file.path, text.replace(/^ERROR /, ''));
  };
  const walked = await walkTables(file, after, snapshots, { report });
  const { references } = walked;
  const { offsets } = await claimRefcounts(file, after, references, report);
  await setCopied(file, after, walked, false);
  if (!(await setRefcounts(file, after, offsets, references, { up: true, down: false })))
    throw damaged(file.path, 'clusters that are in use have no refcounts');
  await publish();
  await file.sync();
  await setRefcounts(file, after, offsets, references, { up: false, down: true });
  await setCopied(file, after, walked, true);
}

/** Size of the disk, and where its L1 table is: one behind the other in the header, and written at once. */
export async function publishDisk(
  file: ByteStore,
  { sizeBytes, cryptMethod, l1Entries, l1Offset }: Header,
): Promise<void> {
  const fields = new Uint8Array(24);
  const view = viewOf(fields);
  setU64(view, 0, sizeBytes);
  view.setUint32(8, cryptMethod);
  view.setUint32(12, l1Entries);
  setU64(view, 16, l1Offset);
  await file.write(OFFSET_OF.size, [fields]);
}

/** Puts tables into clusters of their own, which count as used; answers where. On the disk, before anything names them. */
export async function putTables(
  { file, header, snapshots }: Changing,
  tables: readonly Uint8Array[],
): Promise<number[]> {
  const { clusterBytes, l1Offset, refcountTableOffset } = header;
  const l1 = new Uint8Array(header.l1Entries * 8);
  await file.read(l1Offset, [l1]);
  const map = new ClusterMap(file, header, l1Offset, l1, false);
  const table = new Uint8Array(header.refcountTableClusters * clusterBytes);
  await file.read(refcountTableOffset, [table]);
  const refcounts = new Refcounts(file, header, refcountTableOffset, table);
  const metadata = await metadataClusters(file, header, map, refcounts, snapshots);
  const allocator = new Allocator(file, header, refcounts, metadata);
  const drained = async () => {};
  const commit = new Commit({ file, data: file, map, refcounts, allocator, drained });
  allocator.growTable = (block) => growRefcountTable(file, header, refcounts, allocator, commit, block);
  const offsets: number[] = [];
  for (const bytes of tables) {
    const whole = new Uint8Array(Math.ceil(bytes.length / clusterBytes) * clusterBytes);
    whole.set(bytes);
    const run =
      whole.length === 0
        ? { first: 0 }
        : await allocateRun(file, allocator, header, whole.length / clusterBytes);
    if (whole.length > 0) await file.write(run.first * clusterBytes, [whole]);
    offsets.push(run.first * clusterBytes);
  }
  do {
    await commit.run();
    await commit.freed();
  } while (commit.hasChanges);
  return offsets;
}

/** Clusters one behind the other: at the file's end there are some, if they fit into one block of refcounts. */
async function allocateRun(
  file: ByteStore,
  allocator: Allocator,
  header: Header,
  count: number,
): Promise<NewRun> {
  const short: NewRun[] = [];
  try {
    for (let tried = 0; tried <= file.sizeBytes; tried += header.clusterBytes) {
      const run = await allocator.allocate(count);
      if (run.count === count) return run;
      short.push(run);
    }
    throw refused('EFBIG', `${file.path} has no room for a table of ${count} clusters in one piece`);
  } finally {
    for (const run of short) await allocator.giveBack(run);
  }
}
