/** The first cluster of an image: parsed, checked, and what follows from it. */
import {
  MAX_LUKS_AREA_BYTES,
  MAX_QCOW2_L1_BYTES,
  MAX_QCOW2_REFCOUNT_TABLE_BYTES,
  MAX_QCOW2_SNAPSHOTS,
} from '../../../base/limits.js';
import { damaged, unsupported } from '../image-errors.js';
import { roundDown, roundUp, u64At, viewOf } from './bytes.js';
import { type Extensions, parseExtensions } from './extensions.js';
import {
  AUTOCLEAR,
  CRYPT,
  INCOMPATIBLE,
  MAGIC,
  MAX_BACKING_NAME_BYTES,
  MAX_CLUSTER_BITS,
  MAX_REFCOUNT_ORDER,
  MIN_CLUSTER_BITS,
  MIN_EXTENDED_L2_CLUSTER_BITS,
  V2_HEADER_BYTES,
  V3_HEADER_BYTES,
} from './format.js';

/** What decides where things are. Units end the names; a cluster's size is a power of two. */
export interface Geometry {
  readonly version: number;
  readonly clusterBits: number;
  readonly clusterBytes: number;
  readonly extendedL2: boolean;
  readonly l2EntryBytes: number;
  readonly l2Entries: number;
  /** Of the disk, what one L2 table describes. */
  readonly l2SpanBytes: number;
  /** 1 << order bits a refcount. */
  readonly refcountOrder: number;
  readonly refcountsPerBlock: number;
}

export interface Header extends Geometry {
  /** Of the disk, whole sectors. */
  readonly sizeBytes: number;
  readonly backingFile?: string;
  readonly cryptMethod: number;
  readonly l1Entries: number;
  readonly l1Offset: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  readonly snapshotCount: number;
  readonly snapshotsOffset: number;
  readonly incompatible: bigint;
  readonly compatible: bigint;
  readonly autoclear: bigint;
  readonly compression: 'zlib' | 'zstd';
  readonly extensions: Extensions;
}

export const OFFSET_OF = {
  size: 24,
  l1Entries: 36,
  refcountTable: 48,
  snapshots: 60,
  incompatible: 72,
  autoclear: 88,
} as const;

export function isQcow2(head: Uint8Array): boolean {
  return head.length >= 8 && viewOf(head).getUint32(0) === MAGIC;
}

/** How long the first cluster is that parseHeader() wants. */
export function firstClusterBytes(path: string, head: Uint8Array): number {
  if (head.length < V2_HEADER_BYTES || !isQcow2(head)) throw damaged(path, 'there is no qcow2 header');
  const bits = viewOf(head).getUint32(20);
  if (bits < MIN_CLUSTER_BITS || bits > MAX_CLUSTER_BITS)
    throw damaged(path, `clusters of 2^${bits} bytes, instead of 2^9 to 2^21`);
  return 2 ** bits;
}

export function geometry(
  version: number,
  clusterBits: number,
  extendedL2: boolean,
  refcountOrder: number,
): Geometry {
  const clusterBytes = 2 ** clusterBits;
  const l2EntryBytes = extendedL2 ? 16 : 8;
  const l2Entries = clusterBytes / l2EntryBytes;
  return {
    version,
    clusterBits,
    clusterBytes,
    extendedL2,
    l2EntryBytes,
    l2Entries,
    l2SpanBytes: l2Entries * clusterBytes,
    refcountOrder,
    refcountsPerBlock: (clusterBytes * 8) / 2 ** refcountOrder,
  };
}

/** @param cluster the first one, zeros behind the file's end @throws XennerError EIMAGE_DAMAGED, EIMAGE_UNSUPPORTED */
export function parseHeader(path: string, cluster: Uint8Array, fileBytes: number): Header {
  const view = viewOf(cluster);
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3)
    throw unsupported(path, `is of version ${version} of qcow2, not 2 or 3`);
  const headerBytes = version === 2 ? V2_HEADER_BYTES : view.getUint32(100);
  if (
    version === 3 &&
    (headerBytes < V3_HEADER_BYTES || headerBytes % 8 !== 0 || headerBytes > cluster.length)
  )
    throw damaged(path, `a header of ${headerBytes} bytes`);
  const features = (at: number) => (version === 2 ? 0n : view.getBigUint64(at));
  const incompatible = features(72);
  const backingOffset = u64At(view, 8);
  const backingBytes = backingOffset === 0 ? 0 : view.getUint32(16);
  if (backingBytes > MAX_BACKING_NAME_BYTES || backingOffset + backingBytes > cluster.length)
    throw damaged(path, "the backing file's name lies outside of the header");
  const extensionsEnd = backingOffset > headerBytes ? backingOffset : cluster.length;
  const extensions = parseExtensions(path, cluster.subarray(headerBytes, extensionsEnd));
  checkFeatures(path, incompatible, extensions.featureNames);
  const refcountOrder = version === 2 ? 4 : view.getUint32(96);
  if (refcountOrder > MAX_REFCOUNT_ORDER) throw damaged(path, `refcounts of 2^${refcountOrder} bits`);
  const extendedL2 = (incompatible & INCOMPATIBLE.extendedL2) !== 0n;
  const header: Header = {
    ...geometry(version, view.getUint32(20), extendedL2, refcountOrder),
    sizeBytes: roundDown(u64At(view, 24), 512),
    ...(backingBytes > 0 && {
      backingFile: Buffer.from(cluster.subarray(backingOffset, backingOffset + backingBytes)).toString(
        'utf8',
      ),
    }),
    cryptMethod: view.getUint32(32),
    l1Entries: view.getUint32(36),
    l1Offset: u64At(view, 40),
    refcountTableOffset: u64At(view, 48),
    refcountTableClusters: view.getUint32(56),
    snapshotCount: view.getUint32(60),
    snapshotsOffset: u64At(view, 64),
    incompatible,
    compatible: features(80),
    autoclear: features(88),
    compression: compressionOf(path, incompatible, headerBytes > 104 ? (cluster[104] ?? 0) : 0),
    extensions,
  };
  checkTables(path, header, fileBytes);
  checkCombinations(path, header);
  return header;
}

function checkFeatures(path: string, incompatible: bigint, names: ReadonlyMap<number, string>): void {
  const known = Object.values(INCOMPATIBLE).reduce((sum, bit) => sum | bit, 0n);
  const unknown: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if ((incompatible & ~known & (1n << BigInt(bit))) === 0n) continue;
    unknown.push(names.get(bit) || `bit ${bit}`);
  }
  if (unknown.length > 0)
    throw unsupported(path, `needs features that are not known here: ${unknown.join(', ')}`);
}

function compressionOf(path: string, incompatible: bigint, type: number): 'zlib' | 'zstd' {
  if ((incompatible & INCOMPATIBLE.compression) === 0n) {
    if (type !== 0) throw damaged(path, 'a type of compression without its feature bit');
    return 'zlib';
  }
  if (type === 1) return 'zstd';
  throw type === 0
    ? damaged(path, 'the feature bit of compression without a type')
    : unsupported(path, `uses compression ${type}, not zlib or zstd`);
}

/** @throws when a table is not where one can be, or is larger than any sane image's */
export function checkTable(
  path: string,
  name: string,
  table: { readonly offset: number; readonly bytes: number; readonly maxBytes: number },
  header: Geometry,
  fileBytes: number,
): void {
  if (table.bytes > table.maxBytes) throw damaged(path, `the ${name} of ${table.bytes} bytes is too large`);
  if (table.offset % header.clusterBytes !== 0) throw damaged(path, `the ${name} is not at a cluster`);
  if (table.offset + table.bytes > fileBytes) throw damaged(path, `the ${name} lies behind the file's end`);
  if (table.offset === 0 && table.bytes > 0) throw damaged(path, `the ${name} lies in the header`);
}

function checkTables(path: string, header: Header, fileBytes: number): void {
  if (!Number.isFinite(header.sizeBytes)) throw damaged(path, 'its disk is larger than any');
  const l1 = { offset: header.l1Offset, bytes: header.l1Entries * 8, maxBytes: MAX_QCOW2_L1_BYTES };
  checkTable(path, 'L1 table', l1, header, fileBytes);
  if (header.l1Entries < Math.ceil(header.sizeBytes / header.l2SpanBytes))
    throw damaged(path, `an L1 table of ${header.l1Entries} entries is too small for its disk`);
  const refcounts = {
    offset: header.refcountTableOffset,
    bytes: header.refcountTableClusters * header.clusterBytes,
    maxBytes: Math.max(MAX_QCOW2_REFCOUNT_TABLE_BYTES, header.clusterBytes),
  };
  checkTable(path, 'refcount table', refcounts, header, roundUp(fileBytes, header.clusterBytes));
  const { encryption } = header.extensions;
  if (encryption) {
    const luks = { offset: encryption.offset, bytes: encryption.length, maxBytes: MAX_LUKS_AREA_BYTES };
    checkTable(path, 'LUKS header', luks, header, roundUp(fileBytes, header.clusterBytes));
  }
  if (header.refcountTableClusters === 0) throw damaged(path, 'there is no refcount table');
  if (header.snapshotCount > MAX_QCOW2_SNAPSHOTS)
    throw damaged(path, `${header.snapshotCount} snapshots are too many`);
  // Even of a table without entries, as QEMU does.
  if (header.snapshotsOffset % header.clusterBytes !== 0)
    throw damaged(path, 'the snapshot table is not at a cluster');
  if (header.snapshotCount > 0) {
    const snapshots = { offset: header.snapshotsOffset, bytes: 1, maxBytes: 1 };
    checkTable(path, 'snapshot table', snapshots, header, fileBytes);
  }
}

function checkCombinations(path: string, header: Header): void {
  const { cryptMethod, extensions } = header;
  const isExternal = (header.incompatible & INCOMPATIBLE.externalData) !== 0n;
  if (header.extendedL2 && header.clusterBits < MIN_EXTENDED_L2_CLUSTER_BITS)
    throw damaged(path, 'extended L2 entries take clusters of 16 KiB or more');
  if (cryptMethod > CRYPT.luks)
    throw unsupported(path, `is encrypted by method ${cryptMethod}, not AES or LUKS`);
  if ((cryptMethod === CRYPT.luks) !== (extensions.encryption !== undefined))
    throw damaged(path, 'method of encryption and header extensions do not go together');
  if (
    (header.autoclear & AUTOCLEAR.rawExternalData) !== 0n &&
    (!isExternal || header.backingFile !== undefined)
  )
    throw damaged(path, 'a raw data file goes with an external one, and not with a backing file');
  if (isExternal && header.snapshotCount > 0)
    throw damaged(path, 'an external data file does not go with snapshots');
}
