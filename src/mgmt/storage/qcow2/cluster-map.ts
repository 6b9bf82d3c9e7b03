/** Where the bytes of a disk are: L1 and L2 tables, read. */
import { MAX_QCOW2_TABLE_CACHE_BYTES } from '../../../base/limits.js';
import type { ExtentKind } from '../disk-image.js';
import { damaged } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import {
  COMPRESSED_HI,
  COPIED_HI,
  INEXACT_HI,
  OFFSET_HI,
  OFFSET_LO,
  SUBCLUSTERS,
  ZERO_LO,
} from './format.js';
import type { Geometry } from './header.js';
import { Table, TableCache } from './table.js';

/** A piece of the disk that is in one place. */
export interface Extent {
  readonly kind: ExtentKind;
  /** Of the disk, in bytes. */
  length: number;
  /** `data`: where in the file that has the data. `compressed`: where the cluster's compressed bytes begin. */
  readonly host: number;
  /** `compressed`: at most so many bytes; decompression ends by itself. */
  readonly compressedBytes: number;
}

/** An L2 entry that is not compressed, taken apart. */
export interface StandardEntry {
  /** -1: none. */
  readonly host: number;
  readonly copied: boolean;
  readonly zero: boolean;
}

export class ClusterMap {
  readonly l1: Table;
  readonly l1Dirty = new Set<Table>();
  readonly l2: TableCache;
  /** By the lower half of an entry's offset: what must be 0 in that of a cluster. */
  readonly #misaligned: number;
  readonly #mayBeZero: boolean;

  /**
   * @param l1 the table as it is in the file
   * @param hasDataFile clusters of data are in another file, where offset 0 is one as well
   */
  constructor(
    readonly file: ByteStore,
    readonly geometry: Geometry,
    l1Offset: number,
    l1: Uint8Array,
    private readonly hasDataFile: boolean,
  ) {
    this.l1 = new Table(l1Offset, l1, this.l1Dirty);
    this.l2 = new TableCache(file, 'an L2 table', geometry.clusterBytes, MAX_QCOW2_TABLE_CACHE_BYTES);
    this.#misaligned = (geometry.clusterBytes - 1) & OFFSET_LO;
    this.#mayBeZero = geometry.version >= 3 && !geometry.extendedL2;
  }

  /** Where the L2 table is that describes a piece of the disk; 0: there is none. */
  l2OffsetOf(l1Index: number): number {
    const { view } = this.l1;
    if (l1Index * 8 + 8 > view.byteLength) return 0;
    return this.#offset(view.getUint32(l1Index * 8), view.getUint32(l1Index * 8 + 4), 'L1');
  }

  /** At once when the tables are in memory. */
  extents(offset: number, length: number): Extent[] | Promise<Extent[]> {
    const found: Extent[] = [];
    const end = offset + length;
    const at = this.#scanKnown(offset, end, found);
    return at === end ? found : this.#scanRest(at, end, found);
  }

  /** @param at of the entry, in bytes of the table */
  isCompressed(table: Table, at: number): boolean {
    return (table.view.getUint32(at) & COMPRESSED_HI) !== 0;
  }

  standard(table: Table, at: number): StandardEntry {
    const hi = table.view.getUint32(at);
    const lo = table.view.getUint32(at + 4);
    const host = this.#offset(hi, lo, 'L2');
    const copied = (hi & COPIED_HI) !== 0;
    return {
      host: host !== 0 || (this.hasDataFile && copied) ? host : -1,
      copied,
      zero: this.#mayBeZero && (lo & ZERO_LO) !== 0,
    };
  }

  /** Where a compressed cluster's bytes are, and how many at most (docs/interop/qcow2.txt, "Compressed Clusters Descriptor"). */
  compressed(table: Table, at: number): { host: number; bytes: number } {
    const hi = table.view.getUint32(at) & 0x3fffffff;
    const lo = table.view.getUint32(at + 4);
    // 62 - (cluster_bits - 8) bits of offset: at least 49, so that all of the other field is in the upper half.
    const offsetBitsHi = 30 - (this.geometry.clusterBits - 8);
    const host = (hi & (2 ** offsetBitsHi - 1)) * 2 ** 32 + lo;
    const sectors = (hi >>> offsetBitsHi) + 1;
    if (!Number.isSafeInteger(host))
      throw damaged(this.file.path, 'a compressed cluster lies behind every file');
    return { host, bytes: sectors * 512 - (host % 512) };
  }

  #offset(hi: number, lo: number, table: string): number {
    const offset = (hi & OFFSET_HI) * 2 ** 32 + ((lo & OFFSET_LO) >>> 0);
    if ((hi & INEXACT_HI) !== 0 || (lo & this.#misaligned) !== 0)
      throw damaged(this.file.path, `an entry of an ${table} table names ${offset}, where no cluster is`);
    return offset;
  }

  /** Answers how far it came: to `end`, or to a table that is not in memory. */
  #scanKnown(from: number, end: number, found: Extent[]): number {
    const { l2SpanBytes } = this.geometry;
    for (let at = from; at < end; ) {
      const l1Index = Math.floor(at / l2SpanBytes);
      const until = Math.min(end, (l1Index + 1) * l2SpanBytes);
      const l2Offset = this.l2OffsetOf(l1Index);
      const table = l2Offset === 0 ? undefined : this.l2.peek(l2Offset);
      if (table) this.#scan(table, at, until, found);
      else if (l2Offset === 0) append(found, 'hole', until - at);
      else return at;
      at = until;
    }
    return end;
  }

  async #scanRest(from: number, end: number, found: Extent[]): Promise<Extent[]> {
    for (let at = from; at < end; at = this.#scanKnown(at, end, found))
      await this.l2.get(this.l2OffsetOf(Math.floor(at / this.geometry.l2SpanBytes)));
    return found;
  }

  #scan(table: Table, from: number, until: number, found: Extent[]): void {
    const { clusterBytes, l2Entries, l2EntryBytes, extendedL2 } = this.geometry;
    for (let at = from; at < until; ) {
      const inCluster = at % clusterBytes;
      const end = Math.min(until, at - inCluster + clusterBytes);
      const entry = (Math.floor(at / clusterBytes) % l2Entries) * l2EntryBytes;
      if (this.isCompressed(table, entry)) {
        const { host, bytes } = this.compressed(table, entry);
        found.push({ kind: 'compressed', length: end - at, host, compressedBytes: bytes });
      } else if (extendedL2) {
        this.#scanSubclusters(table, entry, inCluster, end - at, found);
      } else {
        const { host, zero } = this.standard(table, entry);
        append(found, zero ? 'zero' : host < 0 ? 'hole' : 'data', end - at, host + inCluster);
      }
      at = end;
    }
  }

  #scanSubclusters(table: Table, entry: number, from: number, length: number, found: Extent[]): void {
    const { host } = this.standard(table, entry);
    const allocated = table.view.getUint32(entry + 12);
    const zero = table.view.getUint32(entry + 8);
    const bytes = this.geometry.clusterBytes / SUBCLUSTERS;
    for (let at = from; at < from + length; ) {
      const bit = 1 << Math.floor(at / bytes);
      const end = Math.min(from + length, at - (at % bytes) + bytes);
      if (allocated & bit && (zero & bit || host < 0))
        throw damaged(this.file.path, `the subclusters of an L2 entry contradict each other`);
      append(found, zero & bit ? 'zero' : allocated & bit ? 'data' : 'hole', end - at, host + at);
      at = end;
    }
  }
}

function append(extents: Extent[], kind: ExtentKind, length: number, host = 0): void {
  const last = extents[extents.length - 1];
  if (last?.kind === kind && (kind !== 'data' || last.host + last.length === host)) last.length += length;
  else extents.push({ kind, length, host, compressedBytes: 0 });
}
