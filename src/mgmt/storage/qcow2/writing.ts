/** What it takes to write to an image. */
import { RangeLocks } from '../range-locks.js';
import type { ByteStore } from '../storage-file.js';
import { Allocator } from './allocator.js';
import { markInUse, readBitmaps } from './bitmaps.js';
import { Commit } from './commit.js';
import { AUTOCLEAR } from './format.js';
import { growRefcountTable } from './grow-refcounts.js';
import type { Header } from './header.js';
import { EntryEditor } from './l2-entries.js';
import { L2Tables } from './l2-tables.js';
import { metadataClusters } from './metadata-clusters.js';
import { Packer } from './packer.js';
import { Reader, type Sources } from './reader.js';
import { Refcounts } from './refcounts.js';
import type { SnapshotTable } from './snapshots.js';
import { Writer } from './writer.js';
import { Zeroes } from './zeroes.js';

export interface Writing {
  readonly writer: Writer;
  readonly zeroes: Zeroes;
  readonly packer: Packer;
  readonly commit: Commit;
  /** The disk may change. */
  readonly hasBegun: boolean;
  /** Resolves when it may: only the first time there is something to do. */
  begin(): Promise<void>;
}

/** @returns for the requests that are under way, which only the image knows */
export type OpenedWriting = (drained: () => Promise<void>) => Writing;

export async function openWriting(
  file: ByteStore,
  header: Header,
  sources: Sources,
  snapshots: SnapshotTable,
): Promise<OpenedWriting> {
  const { map, data, backing, cipher } = sources;
  const table = new Uint8Array(header.refcountTableClusters * header.clusterBytes);
  await file.read(header.refcountTableOffset, [table]);
  const refcounts = new Refcounts(file, header, header.refcountTableOffset, table);
  const metadata = await metadataClusters(file, header, map, refcounts, snapshots);
  const bitmaps = await readBitmaps(file, header);
  const hasDataFile = data !== file;
  return (drained) => {
    const allocator = new Allocator(file, header, refcounts, metadata);
    const commit = new Commit({ file, data, map, refcounts, allocator, drained });
    allocator.growTable = (block) => growRefcountTable(file, header, refcounts, allocator, commit, block);
    const parts = {
      ...{ map, data, hasDataFile, cipher, allocator, commit },
      reader: new Reader(sources),
      tables: new L2Tables(map, allocator),
      entries: new EntryEditor(map, allocator, hasDataFile),
      locks: new RangeLocks(),
    };
    const writer = new Writer(parts);
    const isRawData = (header.autoclear & AUTOCLEAR.rawExternalData) !== 0n;
    let begun: Promise<void> | undefined;
    let hasBegun = false;
    return {
      writer,
      zeroes: new Zeroes(writer, parts, backing, isRawData),
      packer: new Packer(file, writer, parts, sources.compressed),
      commit,
      get hasBegun() {
        return hasBegun;
      },
      begin() {
        begun ??= markInUse(file, bitmaps).then(() => {
          hasBegun = true;
        });
        return begun;
      },
    };
  };
}
