/** A larger disk in an image that nobody uses. The header changes last, by one write: the disk has the old size or the new one. */
import { dirname, resolve } from 'node:path';
import { MAX_QCOW2_L1_BYTES } from '../../../base/limits.js';
import { refused, unsupported } from '../image-errors.js';
import { openImage } from '../open-image.js';
import { StorageFile } from '../storage-file.js';
import { Allocator, type NewRun } from './allocator.js';
import { setU64, viewOf } from './bytes.js';
import { ClusterMap } from './cluster-map.js';
import { Commit } from './commit.js';
import { INCOMPATIBLE } from './format.js';
import { growRefcountTable } from './grow-refcounts.js';
import type { Header } from './header.js';
import { metadataClusters } from './metadata-clusters.js';
import { readHeader } from './open.js';
import { Refcounts } from './refcounts.js';
import { readSnapshots } from './snapshots.js';

const SECTOR_BYTES = 512;
/** Of the header: size, method of encryption, L1 table's entries and offset, one behind the other. */
const SIZE_AT = 24;

/** @param sizeBytes not less than now; whole sectors are made of it @throws XennerError ELOCKED, EIMAGE_*; system errors */
export async function growQcow2(path: string, sizeBytes: number): Promise<void> {
  const wanted = Math.ceil(sizeBytes / SECTOR_BYTES) * SECTOR_BYTES;
  const before = await settle(path);
  const file = await StorageFile.open(path);
  try {
    const header = await readHeader(file);
    check(path, header, wanted);
    await resizeTo(file, header, wanted);
  } finally {
    await file.close();
  }
  // What the backing file has behind the old end was not to be seen, and will not be.
  const { backingBytes } = before;
  if (backingBytes > before.sizeBytes) await hide(path, before.sizeBytes, Math.min(wanted, backingBytes));
}

/** Opening for writing repairs what a crash has left. */
async function settle(path: string): Promise<{ sizeBytes: number; backingBytes: number }> {
  const image = await openImage(path, { format: 'qcow2' });
  const { sizeBytes } = image;
  await image.close();
  const file = await StorageFile.open(path, { readOnly: true });
  try {
    return { sizeBytes, backingBytes: await backingBytesOf(path, await readHeader(file)) };
  } finally {
    await file.close();
  }
}

async function backingBytesOf(path: string, { backingFile, extensions }: Header): Promise<number> {
  if (backingFile === undefined) return 0;
  const name = backingFile.replace(/^file:/, '');
  const format = extensions.backingFormat;
  const backing = await openImage(resolve(dirname(path), name), { readOnly: true, format });
  await backing.close();
  return backing.sizeBytes;
}

async function hide(path: string, from: number, to: number): Promise<void> {
  const image = await openImage(path, { format: 'qcow2' });
  try {
    await image.writeZeroes(from, to - from, { mayUnmap: true });
  } finally {
    await image.close();
  }
}

function check(path: string, header: Header, sizeBytes: number): void {
  if (sizeBytes < header.sizeBytes) throw refused('EINVAL', `${path} is larger than ${sizeBytes} bytes`);
  if ((header.incompatible & INCOMPATIBLE.externalData) !== 0n)
    throw unsupported(path, 'has its data in another file, and cannot grow');
  if (header.extensions.bitmaps !== undefined) throw unsupported(path, 'has bitmaps, and cannot grow');
  // Its snapshots do not say which size they are of (QEMU: qcow2_co_truncate).
  if (header.version === 2 && header.snapshotCount > 0)
    throw unsupported(path, 'is of version 2 and has snapshots, and cannot grow');
  if (Math.ceil(sizeBytes / header.l2SpanBytes) * 8 > MAX_QCOW2_L1_BYTES)
    throw refused('EFBIG', `${path} cannot have ${sizeBytes} bytes with clusters of ${header.clusterBytes}`);
}

async function resizeTo(file: StorageFile, header: Header, sizeBytes: number): Promise<void> {
  const l1Entries = Math.ceil(sizeBytes / header.l2SpanBytes);
  const fields = new Uint8Array(24);
  const view = viewOf(fields);
  setU64(view, 0, sizeBytes);
  view.setUint32(8, header.cryptMethod);
  view.setUint32(12, Math.max(l1Entries, header.l1Entries));
  setU64(view, 16, header.l1Offset);
  const publish = async () => {
    await file.write(SIZE_AT, [fields]);
    await file.sync();
  };
  if (l1Entries <= header.l1Entries) return publish();
  await moveL1(file, header, l1Entries, async (offset) => {
    setU64(view, 16, offset);
    await publish();
  });
}

/** A copy with room for more. When its clusters count as used, it is published, and then the old ones are free. */
async function moveL1(
  file: StorageFile,
  header: Header,
  entries: number,
  publish: (offset: number) => Promise<void>,
): Promise<void> {
  const { clusterBytes, l1Offset, refcountTableOffset } = header;
  const old = new Uint8Array(header.l1Entries * 8);
  await file.read(l1Offset, [old]);
  const map = new ClusterMap(file, header, l1Offset, old, false);
  const table = new Uint8Array(header.refcountTableClusters * clusterBytes);
  await file.read(refcountTableOffset, [table]);
  const refcounts = new Refcounts(file, header, refcountTableOffset, table);
  const snapshots = await readSnapshots(file, header);
  const metadata = await metadataClusters(file, header, map, refcounts, snapshots);
  const allocator = new Allocator(file, header, refcounts, metadata);
  const drained = async () => {};
  const commit = new Commit({ file, data: file, map, refcounts, allocator, drained });
  allocator.growTable = (block) => growRefcountTable(file, header, refcounts, allocator, commit, block);
  const bytes = new Uint8Array(Math.ceil((entries * 8) / clusterBytes) * clusterBytes);
  bytes.set(old);
  const run = await allocateRun(file, allocator, header, bytes.length / clusterBytes);
  await file.write(run.first * clusterBytes, [bytes]);
  await commit.run();
  await publish(run.first * clusterBytes);
  allocator.release(l1Offset / clusterBytes, Math.ceil(old.length / clusterBytes), false);
  do {
    await commit.run();
    await commit.freed();
  } while (commit.hasChanges);
}

/** Clusters one behind the other: at the file's end there are some, if they fit into one block of refcounts. */
async function allocateRun(
  file: StorageFile,
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
