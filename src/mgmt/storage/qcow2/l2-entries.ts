/** Entries of L2 tables: what a write finds in them, and what it puts there. */
import type { Allocator } from './allocator.js';
import type { ClusterMap } from './cluster-map.js';
import { COMPRESSED_HI, COPIED_HI, SUBCLUSTERS, ZERO_LO } from './format.js';
import type { Table } from './table.js';

/** What it takes to write the beginning of a range, which is not in place and all alike. */
export interface Need {
  /** Of the range, in bytes. */
  readonly length: number;
  /** Where its first cluster is already, though its entry has to change; -1: nowhere. */
  readonly host: number;
  /** What the clusters have elsewhere moves with what is written. */
  readonly wholeClusters: boolean;
}

/** Bits of the subclusters that [from, to) of a cluster touches. */
function subclusterMask(clusterBytes: number, from: number, to: number): number {
  const bytes = clusterBytes / SUBCLUSTERS;
  const first = Math.floor(from / bytes);
  const count = Math.ceil(to / bytes) - first;
  return count >= SUBCLUSTERS ? -1 : ((1 << count) - 1) << first;
}

/** Where a cluster is, if `length` bytes `inCluster` of it can be written without changing its entry; -1 otherwise. */
export function isInPlace(
  map: ClusterMap,
  table: Table,
  entry: number,
  inCluster: number,
  length: number,
): number {
  if (map.isCompressed(table, entry)) return -1;
  const { host, copied, zero } = map.standard(table, entry);
  if (host < 0 || !copied || zero) return -1;
  if (!map.geometry.extendedL2) return host;
  const mask = subclusterMask(map.geometry.clusterBytes, inCluster, inCluster + length);
  const isThere =
    (table.view.getUint32(entry + 12) & mask) === mask && (table.view.getUint32(entry + 8) & mask) === 0;
  return isThere ? host : -1;
}

export class EntryEditor {
  constructor(
    private readonly map: ClusterMap,
    private readonly allocator: Allocator,
    private readonly hasDataFile: boolean,
  ) {}

  /** The offset of a disk cluster's entry in its table. */
  entryOf(at: number): number {
    const { clusterBytes, l2Entries, l2EntryBytes } = this.map.geometry;
    return (Math.floor(at / clusterBytes) % l2Entries) * l2EntryBytes;
  }

  /** The range lies below one L2 table, and its first byte is not in place. */
  async needOf(at: number, length: number): Promise<Need> {
    const { l2, geometry } = this.map;
    const { clusterBytes, l2SpanBytes, extendedL2 } = geometry;
    const offset = this.map.l2OffsetOf(Math.floor(at / l2SpanBytes));
    if (offset === 0) return { length, host: -1, wholeClusters: false };
    const table = l2.peek(offset) ?? (await l2.get(offset));
    const first = this.#needOfOne(table, this.entryOf(at));
    const inCluster = at % clusterBytes;
    let end = Math.min(length, clusterBytes - inCluster);
    if (extendedL2 && first.host >= 0) {
      // Subclusters that are there stay as they are: others may be writing them.
      const unit = clusterBytes / SUBCLUSTERS;
      let most = Math.min(end, unit - (inCluster % unit));
      while (most < end && isInPlace(this.map, table, this.entryOf(at), inCluster + most, 1) < 0)
        most = Math.min(end, most + unit);
      return { length: most, ...first };
    }
    for (; end < length; end += Math.min(length - end, clusterBytes)) {
      const next = this.#needOfOne(table, this.entryOf(at + end));
      const shift = Math.floor((inCluster + end) / clusterBytes) * clusterBytes;
      const follows = first.host < 0 ? next.host < 0 : next.host === first.host + shift;
      if (!follows || next.wholeClusters !== first.wholeClusters) break;
    }
    return { length: end, ...first };
  }

  #needOfOne(table: Table, entry: number): { readonly host: number; readonly wholeClusters: boolean } {
    if (this.map.isCompressed(table, entry)) return { host: -1, wholeClusters: true };
    const { host, copied, zero } = this.map.standard(table, entry);
    if (host >= 0 && copied) return { host, wholeClusters: zero };
    // A snapshot's subclusters: those that are not written have to be copied.
    return { host: -1, wholeClusters: host >= 0 };
  }

  /** [start, stop) of the disk is at `shift` bytes further in the file from now on, and nobody else's. */
  link(table: Table, start: number, stop: number, shift: number): void {
    const { clusterBytes, extendedL2 } = this.map.geometry;
    for (let at = start; at < stop; ) {
      const inCluster = at % clusterBytes;
      const end = Math.min(stop, at - inCluster + clusterBytes);
      const entry = this.entryOf(at);
      const host = at - inCluster + shift;
      const mask = subclusterMask(clusterBytes, inCluster, inCluster + (end - at));
      this.#giveUp(table, entry, host, false);
      table.view.setUint32(entry, COPIED_HI | Math.floor(host / 2 ** 32));
      table.view.setUint32(entry + 4, host >>> 0);
      if (extendedL2) {
        const { view } = table;
        view.setUint32(entry + 8, view.getUint32(entry + 8) & ~mask);
        view.setUint32(entry + 12, view.getUint32(entry + 12) | mask);
      }
      table.touch(entry);
      at = end;
    }
  }

  /** The cluster is compressed, at `host` of the file, from now on (docs/interop/qcow2.txt, "Compressed Clusters Descriptor"). */
  linkCompressed(table: Table, entry: number, host: number, bytes: number): void {
    const { clusterBits, extendedL2 } = this.map.geometry;
    this.#giveUp(table, entry, -1, false);
    const offsetBitsHi = 30 - (clusterBits - 8);
    const sectors = Math.floor((host + bytes - 1) / 512) - Math.floor(host / 512);
    table.view.setUint32(entry, COMPRESSED_HI | (sectors << offsetBitsHi) | Math.floor(host / 2 ** 32));
    table.view.setUint32(entry + 4, host >>> 0);
    if (extendedL2) table.view.setBigUint64(entry + 8, 0n);
    table.touch(entry);
  }

  /** The cluster's entry becomes one without a place: zeros, or whatever lies below. */
  unlink(table: Table, entry: number, zero: boolean): void {
    const { extendedL2 } = this.map.geometry;
    this.#giveUp(table, entry, -1, true);
    table.view.setUint32(entry, 0);
    table.view.setUint32(entry + 4, zero && !extendedL2 ? ZERO_LO : 0);
    if (extendedL2) {
      table.view.setUint32(entry + 8, zero ? -1 : 0);
      table.view.setUint32(entry + 12, 0);
    }
    table.touch(entry);
  }

  /** The cluster, or those of its subclusters, read as zeros, and keep their place. */
  markZero(table: Table, entry: number, from = 0, to = this.map.geometry.clusterBytes): void {
    const { view } = table;
    if (this.map.geometry.extendedL2) {
      const mask = subclusterMask(this.map.geometry.clusterBytes, from, to);
      view.setUint32(entry + 8, view.getUint32(entry + 8) | mask);
      view.setUint32(entry + 12, view.getUint32(entry + 12) & ~mask);
    } else {
      view.setUint32(entry + 4, view.getUint32(entry + 4) | ZERO_LO);
    }
    table.touch(entry);
  }

  /** What an entry refers to is referred to once less, unless it is `except`. */
  #giveUp(table: Table, entry: number, except: number, unmap: boolean): void {
    const { clusterBytes } = this.map.geometry;
    if (this.map.isCompressed(table, entry)) {
      const { host, bytes } = this.map.compressed(table, entry);
      const first = Math.floor(host / clusterBytes);
      const count = Math.floor((host + bytes - 1) / clusterBytes) - first + 1;
      this.allocator.checkData(first, count);
      this.allocator.release(first, count, unmap);
      return;
    }
    const { host } = this.map.standard(table, entry);
    if (host < 0 || host === except || this.hasDataFile) return;
    this.allocator.checkData(host / clusterBytes, 1);
    this.allocator.release(host / clusterBytes, 1, unmap);
  }
}
