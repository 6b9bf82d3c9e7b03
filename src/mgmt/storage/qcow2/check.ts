/** Looks for what is wrong in an image that nobody changes meanwhile. */
import type { ByteStore } from '../storage-file.js';
import { EditedTable } from './edited-table.js';
import type { Header } from './header.js';
import { readRefcount } from './refcounts.js';
import type { References } from './references.js';
import type { SnapshotTable } from './snapshots.js';
import { eachCopiedFlag, isCopied, type Walked, type WalkOptions, walkTables } from './walk.js';

/** What has to be 0 in the lower half of a refcount table's entry. */
const RESERVED_LO = 0x1ff;

export interface Findings {
  readonly walked: Walked;
  /** What is worse than lost space. */
  readonly corruptions: number;
  /** Clusters that count as used more often than they are. */
  readonly leaks: number;
  /** Refcounts cannot be put right where they are. */
  readonly needsRebuild: boolean;
  /** Behind the last cluster that is in use, or counts as such. */
  readonly endOffset: number;
}

/** @throws XennerError EIMAGE_DAMAGED, EIMAGE_UNSUPPORTED when it cannot even be walked; the signal's reason */
export async function checkQcow2(
  file: ByteStore,
  header: Header,
  snapshots: SnapshotTable,
  options: WalkOptions,
): Promise<Findings> {
  let corruptions = 0;
  let leaks = 0;
  let last = -1;
  const report = (text: string) => {
    corruptions++;
    options.report(text);
  };
  const walked = await walkTables(file, header, snapshots, { ...options, fix: false, report });
  const { references } = walked;
  const blocks = await claimRefcounts(file, header, references, report);
  let needsRebuild = blocks.areDamaged;
  await eachRefcount(file, header, blocks.offsets, references, (cluster, refcount, table) => {
    const reference = references.of(cluster);
    if (refcount > 0 || reference > 0) last = cluster;
    if (refcount === 1) references.saySingle(cluster);
    if (refcount === reference) return;
    if (refcount > reference) {
      leaks++;
      options.report(`Leaked cluster ${cluster} refcount=${refcount} reference=${reference}`);
    } else {
      needsRebuild ||= table === undefined;
      report(`ERROR cluster ${cluster} refcount=${refcount} reference=${reference}`);
    }
  });
  await eachCopiedFlag(file, header, walked, (table, at, cluster, isL1) => {
    const isSingle = references.isSaidSingle(cluster);
    if (isCopied(table, at) !== isSingle)
      report(`ERROR OFLAG_COPIED ${isL1 ? 'L2' : 'data'} cluster: entry ${at} at ${table.offset}`);
  });
  return { walked, corruptions, leaks, needsRebuild, endOffset: (last + 1) * header.clusterBytes };
}

export interface RefcountBlocks {
  /** 0: there is none, or it cannot be. */
  readonly offsets: readonly number[];
  readonly areDamaged: boolean;
}

/** Refcount table and blocks, counted last: they can be made anew. */
export async function claimRefcounts(
  file: ByteStore,
  header: Header,
  references: References,
  report: (text: string) => void,
): Promise<RefcountBlocks> {
  const { clusterBytes, refcountTableOffset, refcountTableClusters } = header;
  const bytes = refcountTableClusters * clusterBytes;
  let areDamaged = false;
  const wrong = (text: string) => {
    areDamaged = true;
    report(text);
  };
  if (!references.addTable(refcountTableOffset, bytes))
    wrong(`ERROR the refcount table at ${refcountTableOffset} lies where something else is`);
  const table = await EditedTable.read(file, refcountTableOffset, bytes);
  const offsets: number[] = [];
  for (let at = 0; at < bytes; at += 8) {
    const lo = table.view.getUint32(at + 4);
    const offset = table.view.getUint32(at) * 2 ** 32 + lo;
    const isAligned = (lo & RESERVED_LO) === 0 && offset % clusterBytes === 0;
    const isGood = offset > 0 && isAligned && references.addTable(offset, clusterBytes);
    if (offset > 0 && !isGood) wrong(`ERROR refcount block ${at / 8} at ${offset} cannot be`);
    offsets.push(isGood ? offset : 0);
  }
  return { offsets, areDamaged };
}

/** @param use is given the block, if there is one, which is saved afterwards */
export async function eachRefcount(
  file: ByteStore,
  { clusterBytes, refcountOrder, refcountsPerBlock }: Header,
  offsets: readonly number[],
  { clusters }: References,
  use: (cluster: number, refcount: number, block: EditedTable | undefined) => void,
): Promise<void> {
  for (let first = 0, index = 0; first < clusters; first += refcountsPerBlock, index++) {
    const end = Math.min(clusters, first + refcountsPerBlock);
    const offset = offsets[index] ?? 0;
    if (offset === 0) {
      for (let cluster = first; cluster < end; cluster++) use(cluster, 0, undefined);
      continue;
    }
    const block = await EditedTable.read(file, offset, clusterBytes);
    for (let cluster = first; cluster < end; cluster++)
      use(cluster, readRefcount(block, refcountOrder, cluster - first), block);
    await block.save(file);
  }
}
