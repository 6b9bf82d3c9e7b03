/** Internal snapshots made, taken back, and removed: changes of the whole image (change.ts). */
import { XennerError } from '../../../base/errors.js';
import { MAX_QCOW2_SNAPSHOT_TABLE_BYTES, MAX_QCOW2_SNAPSHOTS } from '../../../base/limits.js';
import { unsupported } from '../image-errors.js';
import { markInUse, readBitmaps } from './bitmaps.js';
import { roundUp, setU64, viewOf } from './bytes.js';
import { type Changing, changeTo, publishDisk, putTables } from './change.js';
import { COPIED_HI, INCOMPATIBLE } from './format.js';
import { OFFSET_OF } from './header.js';
import { readHeader } from './open.js';
import { checkSnapshot, findSnapshot, readSnapshots, type SnapshotTable } from './snapshots.js';

/** Size of VM state, of the disk, and instructions (docs/interop/qcow2.txt, "Snapshots"). */
const EXTRA_BYTES = 24;
const ENTRY_BYTES = 40;
const MAX_NAME_BYTES = 255;
const NO_SNAPSHOTS: SnapshotTable = { snapshots: [], bytes: 0 };

/** @throws XennerError ESNAPSHOT_NAME, EIMAGE_UNSUPPORTED, EIMAGE_DAMAGED; system errors */
export async function createSnapshot(image: Changing, name: string, nowMs: number): Promise<void> {
  checkKind(image);
  const { file, header, snapshots } = image;
  if (Buffer.byteLength(name) > MAX_NAME_BYTES)
    throw new XennerError('ESNAPSHOT_NAME', `a snapshot's name has at most ${MAX_NAME_BYTES} bytes`);
  if (snapshots.snapshots.length >= MAX_QCOW2_SNAPSHOTS)
    throw unsupported(file.path, `has ${MAX_QCOW2_SNAPSHOTS} snapshots already`);
  const l1 = new Uint8Array(header.l1Entries * 8);
  await file.read(header.l1Offset, [l1]);
  withoutCopied(l1);
  const [l1Offset = 0] = await putTables(image, [l1]);
  const ids = snapshots.snapshots.map(({ id }) => Number.parseInt(id, 10) || 0);
  const entry = entryOf({
    ...{ id: `${Math.max(0, ...ids) + 1}`, name, l1Offset, l1Entries: header.l1Entries },
    ...{ sizeBytes: header.sizeBytes, nowMs },
  });
  await replaceTable({ ...image, header: await readHeader(file) }, [...(await rawEntries(image)), entry]);
}

/** @param wanted its id, or else its name */
export async function deleteSnapshot(image: Changing, wanted: string): Promise<void> {
  checkKind(image);
  const { snapshots } = image.snapshots;
  const at = snapshots.indexOf(findSnapshot(image.file.path, snapshots, wanted));
  await replaceTable(image, (await rawEntries(image)).toSpliced(at, 1));
}

/** The disk becomes what it was, and as large as it was. */
export async function applySnapshot(image: Changing, wanted: string): Promise<void> {
  checkKind(image);
  const { file, header, snapshots } = image;
  const snapshot = findSnapshot(file.path, snapshots.snapshots, wanted);
  checkSnapshot(file.path, header, snapshot, file.sizeBytes);
  const bitmaps = await readBitmaps(file, header);
  if (bitmaps.length > 0 && snapshot.sizeBytes !== header.sizeBytes)
    throw unsupported(file.path, 'has bitmaps, and had another size');
  const { l1Entries, sizeBytes } = snapshot;
  const l1 = new Uint8Array(l1Entries * 8);
  await file.read(snapshot.l1Offset, [l1]);
  withoutCopied(l1);
  const [l1Offset = 0] = await putTables(image, [l1]);
  await markInUse(file, bitmaps);
  const after = { ...(await readHeader(file)), l1Offset, l1Entries, sizeBytes };
  await changeTo(file, after, snapshots, () => publishDisk(file, after));
}

function checkKind({ file, header }: Changing): void {
  if ((header.incompatible & INCOMPATIBLE.externalData) !== 0n)
    throw unsupported(file.path, 'has its data in another file, and cannot have snapshots');
}

/** Whoever shares a table may not write in place. */
function withoutCopied(l1: Uint8Array): void {
  const view = viewOf(l1);
  for (let at = 0; at < l1.length; at += 8) view.setUint32(at, view.getUint32(at) & ~COPIED_HI);
}

/** As they are in the file, with whatever somebody has put there that we do not know. */
async function rawEntries({ file, header, snapshots }: Changing): Promise<Uint8Array[]> {
  const table = new Uint8Array(snapshots.bytes);
  await file.read(header.snapshotsOffset, [table]);
  return snapshots.snapshots.map(({ entryAt, entryBytes }) => table.subarray(entryAt, entryAt + entryBytes));
}

async function replaceTable(image: Changing, entries: readonly Uint8Array[]): Promise<void> {
  const { file } = image;
  const table = Buffer.concat(entries);
  if (table.length > MAX_QCOW2_SNAPSHOT_TABLE_BYTES)
    throw unsupported(file.path, 'has no room for the names of that many snapshots');
  const [snapshotsOffset = 0] = await putTables(image, [table]);
  const now = await readHeader(file);
  const after = { ...now, snapshotCount: entries.length, snapshotsOffset };
  const snapshots = entries.length === 0 ? NO_SNAPSHOTS : await readSnapshots(file, after);
  const fields = new Uint8Array(12);
  viewOf(fields).setUint32(0, entries.length);
  setU64(viewOf(fields), 4, snapshotsOffset);
  await changeTo(file, after, snapshots, () => file.write(OFFSET_OF.snapshots, [fields]));
}

interface NewSnapshot {
  readonly id: string;
  readonly name: string;
  readonly l1Offset: number;
  readonly l1Entries: number;
  readonly sizeBytes: number;
  readonly nowMs: number;
}

function entryOf({ id, name, l1Offset, l1Entries, sizeBytes, nowMs }: NewSnapshot): Uint8Array {
  const [idBytes, nameBytes] = [Buffer.from(id, 'utf8'), Buffer.from(name, 'utf8')];
  const idAt = ENTRY_BYTES + EXTRA_BYTES;
  const entry = new Uint8Array(roundUp(idAt + idBytes.length + nameBytes.length, 8));
  const view = viewOf(entry);
  setU64(view, 0, l1Offset);
  view.setUint32(8, l1Entries);
  view.setUint16(12, idBytes.length);
  view.setUint16(14, nameBytes.length);
  view.setUint32(16, Math.floor(nowMs / 1000));
  view.setUint32(20, (nowMs % 1000) * 1e6);
  view.setUint32(36, EXTRA_BYTES);
  setU64(view, ENTRY_BYTES + 8, sizeBytes);
  entry.set(idBytes, idAt);
  entry.set(nameBytes, idAt + idBytes.length);
  return entry;
}
