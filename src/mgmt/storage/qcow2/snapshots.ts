/** Internal snapshots: what the image's table says of them. */
import { XennerError } from '../../../base/errors.js';
import { MAX_QCOW2_L1_BYTES, MAX_QCOW2_SNAPSHOT_TABLE_BYTES } from '../../../base/limits.js';
import { damaged } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { roundDown, roundUp, u64At, viewOf } from './bytes.js';
import { checkTable, type Header } from './header.js';

const ENTRY_BYTES = 40;
const NO_ICOUNT = 2n ** 64n - 1n;

export interface Snapshot {
  readonly id: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly createdMs: number;
  readonly dateSeconds: number;
  readonly dateNanoseconds: number;
  /** How long the machine had run. */
  readonly clockNanoseconds: bigint;
  /** Instructions that it had run, where somebody counted. */
  readonly icount: number | undefined;
  readonly vmStateBytes: number;
  /** Of the disk at that time. */
  readonly sizeBytes: number;
  readonly l1Offset: number;
  readonly l1Entries: number;
  /** Where in the table it stands. */
  readonly entryAt: number;
  readonly entryBytes: number;
}

export interface SnapshotTable {
  readonly snapshots: readonly Snapshot[];
  /** Of the table in the file. */
  readonly bytes: number;
}

export async function readSnapshots(file: ByteStore, header: Header): Promise<SnapshotTable> {
  const snapshots: Snapshot[] = [];
  if (header.snapshotCount === 0) return { snapshots, bytes: 0 };
  const most = Math.min(MAX_QCOW2_SNAPSHOT_TABLE_BYTES, file.sizeBytes - header.snapshotsOffset);
  const bytes = new Uint8Array(most);
  await file.read(header.snapshotsOffset, [bytes]);
  const view = viewOf(bytes);
  let at = 0;
  for (let i = 0; i < header.snapshotCount; i++) {
    const { snapshot, length } = parse(file.path, header, bytes, view, at);
    snapshots.push(snapshot);
    at += length;
  }
  return { snapshots, bytes: at };
}

function parse(path: string, header: Header, bytes: Uint8Array, view: DataView, at: number) {
  const end = (offset: number) => {
    if (offset > bytes.length) throw damaged(path, 'the snapshot table is cut short');
    return offset;
  };
  end(at + ENTRY_BYTES);
  const extraBytes = view.getUint32(at + 36);
  const idAt = end(at + ENTRY_BYTES + extraBytes);
  const nameAt = end(idAt + view.getUint16(at + 12));
  const nameEnd = end(nameAt + view.getUint16(at + 14));
  const text = (from: number, to: number) => Buffer.from(bytes.subarray(from, to)).toString('utf8');
  const length = roundUp(nameEnd - at, 8);
  const snapshot: Snapshot = {
    entryAt: at,
    entryBytes: length,
    id: text(idAt, nameAt),
    name: text(nameAt, nameEnd),
    createdMs: view.getUint32(at + 16) * 1000 + Math.floor(view.getUint32(at + 20) / 1e6),
    dateSeconds: view.getUint32(at + 16),
    dateNanoseconds: view.getUint32(at + 20),
    clockNanoseconds: view.getBigUint64(at + 24),
    icount: extraBytes >= 24 ? icountOf(view.getBigUint64(at + 56)) : undefined,
    vmStateBytes: extraBytes >= 8 ? u64At(view, at + 40) : view.getUint32(at + 32),
    sizeBytes: extraBytes >= 16 ? roundDown(u64At(view, at + 48), 512) : header.sizeBytes,
    l1Offset: u64At(view, at),
    l1Entries: view.getUint32(at + 8),
  };
  return { snapshot, length };
}

const icountOf = (value: bigint) => (value === NO_ICOUNT ? undefined : Number(value));

/** By id, or else by name, as qemu-img finds it. */
export function findSnapshot(path: string, snapshots: readonly Snapshot[], wanted: string): Snapshot {
  const found = snapshots.find(({ id }) => id === wanted) ?? snapshots.find(({ name }) => name === wanted);
  if (found) return found;
  throw new XennerError('ENO_SNAPSHOT', `${path} has no snapshot ${JSON.stringify(wanted)}`);
}

/** @throws XennerError EIMAGE_DAMAGED when its L1 table cannot be */
export function checkSnapshot(path: string, header: Header, snapshot: Snapshot, fileBytes: number): void {
  const l1 = { offset: snapshot.l1Offset, bytes: snapshot.l1Entries * 8, maxBytes: MAX_QCOW2_L1_BYTES };
  checkTable(path, `L1 table of snapshot ${JSON.stringify(snapshot.name)}`, l1, header, fileBytes);
  if (!(snapshot.l1Entries * header.l2SpanBytes >= snapshot.sizeBytes))
    throw damaged(
      path,
      `the L1 table of snapshot ${JSON.stringify(snapshot.name)} is too small for its disk`,
    );
}
