/** A larger disk in an image that nobody uses. The header changes last, by one write: the disk has the old size or the new one. */
import { dirname, resolve } from 'node:path';
import { MAX_QCOW2_L1_BYTES } from '../../../base/limits.js';
import { refused, unsupported } from '../image-errors.js';
import { openImage } from '../open-image.js';
import { StorageFile } from '../storage-file.js';
import { changeTo, publishDisk, putTables } from './change.js';
import { INCOMPATIBLE } from './format.js';
import type { Header } from './header.js';
import { readHeader } from './open.js';
import { readSnapshots } from './snapshots.js';

const SECTOR_BYTES = 512;

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
  const l1Entries = Math.max(Math.ceil(sizeBytes / header.l2SpanBytes), header.l1Entries);
  if (l1Entries === header.l1Entries) {
    await publishDisk(file, { ...header, sizeBytes });
    return file.sync();
  }
  const l1 = new Uint8Array(l1Entries * 8);
  await file.read(header.l1Offset, [l1.subarray(0, header.l1Entries * 8)]);
  const snapshots = await readSnapshots(file, header);
  const [l1Offset = 0] = await putTables({ file, header, snapshots }, [l1]);
  const after = { ...(await readHeader(file)), sizeBytes, l1Entries, l1Offset };
  await changeTo(file, after, snapshots, () => publishDisk(file, after));
}
