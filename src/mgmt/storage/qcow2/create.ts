/** Makes an image: header, refcounts, L1 table, and with `preallocation` all L2 tables, one behind the other. */
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { XennerError } from '../../../base/errors.js';
import { MAX_QCOW2_L1_BYTES, MAX_QCOW2_REFCOUNT_TABLE_BYTES } from '../../../base/limits.js';
import { openImage } from '../open-image.js';
import { zeroRange } from '../raw-image.js';
import { StorageFile } from '../storage-file.js';
import { roundUp, setU64, viewOf } from './bytes.js';
import {
  COMPATIBLE,
  COPIED_HI,
  EXTENSION,
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
import { type Geometry, geometry } from './header.js';
import { writeRefcount } from './refcounts.js';

const COMPRESSION_AT = 104;

/** As `qemu-img create -f qcow2` takes them, with its defaults. */
export interface CreateOptions {
  /** A multiple of 512. By default the backing image's. */
  readonly sizeBytes?: number | undefined;
  readonly clusterBytes?: number | undefined;
  readonly version?: 2 | 3 | undefined;
  readonly refcountBits?: number | undefined;
  readonly lazyRefcounts?: boolean | undefined;
  readonly extendedL2?: boolean | undefined;
  readonly compression?: 'zlib' | 'zstd' | undefined;
  /** `metadata`: all clusters have their places; `falloc` and `full`: and their space. */
  readonly preallocation?: 'off' | 'metadata' | 'falloc' | 'full' | undefined;
  /** A path relative to the image, and its format. */
  readonly backing?: { readonly path: string; readonly format: string } | undefined;
}

/** Where everything goes: first and number of clusters. */
interface Plan extends Geometry {
  readonly sizeBytes: number;
  readonly tableClusters: number;
  readonly blocks: number;
  readonly l1Entries: number;
  readonly l1Clusters: number;
  readonly l2Tables: number;
  /** All that are in use. */
  readonly clusters: number;
}

/** The file must not exist. @throws XennerError EIMAGE_OPTIONS; EEXIST and other system errors */
export async function createQcow2(path: string, options: CreateOptions): Promise<void> {
  const plan = planOf(options, options.sizeBytes ?? (await backingBytes(path, options)));
  const header = headerOf(plan, options);
  await (await open(path, 'wx')).close();
  const file = await StorageFile.open(path);
  try {
    const { clusterBytes } = plan;
    await file.truncate(plan.clusters * clusterBytes);
    await writeRefcounts(file, plan);
    if (plan.l2Tables > 0) await writeTables(file, plan);
    if (options.preallocation === 'falloc' || options.preallocation === 'full') {
      const data = roundUp(plan.sizeBytes, clusterBytes);
      await zeroRange(file, plan.clusters * clusterBytes - data, data, false);
    }
    await file.sync();
    // Last: a file without a header is no image.
    await file.write(0, [header]);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function backingBytes(path: string, { backing }: CreateOptions): Promise<number> {
  if (backing === undefined) throw wrong('an image needs a size or a backing file');
  const image = await openImage(resolve(dirname(path), backing.path), {
    format: backing.format,
    readOnly: true,
  });
  await image.close();
  return image.sizeBytes;
}

const isPreallocated = ({ preallocation = 'off' }: CreateOptions) => preallocation !== 'off';

const wrong = (what: string) => new XennerError('EIMAGE_OPTIONS', what);

/** The exponent of a power of two between two others. */
function powerOf(name: string, value: number, least: number, most: number): number {
  const power = Math.log2(value);
  if (Number.isInteger(power) && power >= least && power <= most) return power;
  throw wrong(`${name} of ${value} instead of a power of two from ${2 ** least} to ${2 ** most}`);
}

function planOf(options: CreateOptions, sizeBytes: number): Plan {
  const { version = 3, refcountBits = 16, extendedL2 = false, lazyRefcounts = false } = options;
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes % 512 !== 0)
    throw wrong(`a disk of ${sizeBytes} bytes, which are no sectors`);
  const zstd = options.compression === 'zstd';
  if (version === 2 && (refcountBits !== 16 || extendedL2 || lazyRefcounts || zstd))
    throw wrong('version 2 has neither subclusters nor lazy refcounts nor zstd, and refcounts of 16 bits');
  if (isPreallocated(options) && options.backing) throw wrong('what is preallocated hides the backing file');
  const leastBits = extendedL2 ? MIN_EXTENDED_L2_CLUSTER_BITS : MIN_CLUSTER_BITS;
  const clusterBits = powerOf('clusters', options.clusterBytes ?? 65536, leastBits, MAX_CLUSTER_BITS);
  const order = powerOf('refcount bits', refcountBits, 0, MAX_REFCOUNT_ORDER);
  const base = geometry(version, clusterBits, extendedL2, order);
  const { clusterBytes, l2SpanBytes, refcountsPerBlock } = base;
  const l1Entries = Math.ceil(sizeBytes / l2SpanBytes);
  const l1Clusters = Math.ceil((l1Entries * 8) / clusterBytes);
  const preallocated = isPreallocated(options);
  const l2Tables = preallocated ? l1Entries : 0;
  const data = preallocated ? Math.ceil(sizeBytes / clusterBytes) : 0;
  let blocks = 0;
  let tableClusters = 1;
  let clusters = 0;
  for (let last = -1; last !== clusters; ) {
    last = clusters;
    clusters = 1 + tableClusters + blocks + l1Clusters + l2Tables + data;
    blocks = Math.ceil(clusters / refcountsPerBlock);
    tableClusters = Math.ceil((blocks * 8) / clusterBytes);
  }
  if (
    l1Entries * 8 > MAX_QCOW2_L1_BYTES ||
    tableClusters * clusterBytes > Math.max(MAX_QCOW2_REFCOUNT_TABLE_BYTES, clusterBytes)
  )
    throw wrong(`a disk of ${sizeBytes} bytes takes larger clusters than ${clusterBytes} bytes`);
  return { ...base, sizeBytes, tableClusters, blocks, l1Entries, l1Clusters, l2Tables, clusters };
}

const l1At = (plan: Plan) => (1 + plan.tableClusters + plan.blocks) * plan.clusterBytes;

function headerOf(plan: Plan, options: CreateOptions): Uint8Array {
  const { backing } = options;
  const bytes = Buffer.alloc(plan.clusterBytes);
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC);
  view.setUint32(4, plan.version);
  view.setUint32(20, plan.clusterBits);
  setU64(view, 24, plan.sizeBytes);
  view.setUint32(36, plan.l1Entries);
  setU64(view, 40, l1At(plan));
  setU64(view, 48, plan.clusterBytes);
  view.setUint32(56, plan.tableClusters);
  let at = V2_HEADER_BYTES;
  if (plan.version === 3) {
    const zstd = options.compression === 'zstd';
    view.setBigUint64(
      72,
      (plan.extendedL2 ? INCOMPATIBLE.extendedL2 : 0n) | (zstd ? INCOMPATIBLE.compression : 0n),
    );
    view.setUint8(COMPRESSION_AT, zstd ? 1 : 0);
    view.setBigUint64(80, options.lazyRefcounts ? COMPATIBLE.lazyRefcounts : 0n);
    view.setUint32(96, plan.refcountOrder);
    at = V3_HEADER_BYTES + 8;
    view.setUint32(100, at);
  }
  if (!backing) return bytes;
  const name = Buffer.from(backing.path, 'utf8');
  const format = Buffer.from(backing.format, 'utf8');
  const nameAt = at + 8 + roundUp(format.length, 8) + 8;
  if (name.length > MAX_BACKING_NAME_BYTES || nameAt + name.length > bytes.length)
    throw wrong(`the name of the backing file is too long for clusters of ${plan.clusterBytes} bytes`);
  view.setUint32(at, EXTENSION.backingFormat);
  view.setUint32(at + 4, format.length);
  format.copy(bytes, at + 8);
  setU64(view, 8, nameAt);
  view.setUint32(16, name.length);
  name.copy(bytes, nameAt);
  return bytes;
}

async function writeRefcounts(file: StorageFile, plan: Plan): Promise<void> {
  const { clusterBytes, refcountsPerBlock, refcountOrder } = plan;
  const table = viewOf(new Uint8Array(plan.tableClusters * clusterBytes));
  for (let block = 0; block < plan.blocks; block++) {
    const offset = (1 + plan.tableClusters + block) * clusterBytes;
    const view = viewOf(new Uint8Array(clusterBytes));
    const inUse = Math.min(refcountsPerBlock, plan.clusters - block * refcountsPerBlock);
    for (let i = 0; i < inUse; i++) writeRefcount({ view }, refcountOrder, i, 1);
    await file.write(offset, [new Uint8Array(view.buffer)]);
    setU64(table, block * 8, offset);
  }
  await file.write(clusterBytes, [new Uint8Array(table.buffer)]);
}

/** L1 table and L2 tables whose clusters all have their place, behind the last of the tables. */
async function writeTables(file: StorageFile, plan: Plan): Promise<void> {
  const { clusterBytes, l2Entries, l2EntryBytes, extendedL2 } = plan;
  const l1 = viewOf(new Uint8Array(plan.l1Entries * 8));
  const firstTable = l1At(plan) + plan.l1Clusters * clusterBytes;
  const firstData = firstTable + plan.l2Tables * clusterBytes;
  const dataClusters = Math.ceil(plan.sizeBytes / clusterBytes);
  const setEntry = (view: DataView, at: number, offset: number) => {
    view.setUint32(at, COPIED_HI | Math.floor(offset / 2 ** 32));
    view.setUint32(at + 4, offset >>> 0);
  };
  for (let table = 0; table < plan.l2Tables; table++) {
    const view = viewOf(new Uint8Array(clusterBytes));
    const inUse = Math.min(l2Entries, dataClusters - table * l2Entries);
    for (let i = 0; i < inUse; i++) {
      setEntry(view, i * l2EntryBytes, firstData + (table * l2Entries + i) * clusterBytes);
      if (extendedL2) view.setUint32(i * l2EntryBytes + 12, 0xffffffff);
    }
    await file.write(firstTable + table * clusterBytes, [new Uint8Array(view.buffer)]);
    setEntry(l1, table * 8, firstTable + table * clusterBytes);
  }
  await file.write(l1At(plan), [new Uint8Array(l1.buffer)]);
}
