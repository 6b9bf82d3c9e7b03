/**
 * Writes to a disk. What is allocated and nobody else's is written in place; anything else gets new clusters, whose contents are in
 * the file before an L2 table in memory names them.
 */

import { MAX_IMAGE_PARALLEL_IO } from '../../../base/limits.js';
import { inParallel } from '../in-parallel.js';
import { gather, slice, totalBytes } from '../io-vector.js';
import type { RangeLocks } from '../range-locks.js';
import type { ByteStore } from '../storage-file.js';
import type { Allocator, NewRun } from './allocator.js';
import { roundDown, roundUp } from './bytes.js';
import type { ClusterMap } from './cluster-map.js';
import type { Commit } from './commit.js';
import type { DiskCipher } from './disk-cipher.js';
import { SUBCLUSTERS } from './format.js';
import { type EntryEditor, isInPlace } from './l2-entries.js';
import type { L2Tables } from './l2-tables.js';
import type { Reader } from './reader.js';
import type { Table } from './table.js';

/** Clusters that were given up before a commit makes them free, so that a disk that is only discarded does not grow the list. */
const MAX_RELEASED_CLUSTERS = 16_384;

export interface WriterParts {
  readonly map: ClusterMap;
  readonly data: ByteStore;
  readonly hasDataFile: boolean;
  readonly cipher?: DiskCipher | undefined;
  readonly reader: Reader;
  readonly allocator: Allocator;
  readonly tables: L2Tables;
  readonly entries: EntryEditor;
  readonly commit: Commit;
  /** By number of the disk's cluster: held while entries of those clusters are decided on and changed. */
  readonly locks: RangeLocks;
}

/** A range of the disk below one L2 table. */
export interface Span {
  readonly l1Index: number;
  readonly at: number;
  readonly length: number;
}

/** A range of the disk that is in one place of the file already. */
interface Place {
  readonly host: number;
  readonly length: number;
}

export class Writer {
  constructor(private readonly parts: WriterParts) {}

  /** At once in place, where all of it is and its table is in memory. */
  write(offset: number, from: readonly Uint8Array[]): Promise<unknown> {
    const length = totalBytes(from);
    const place = this.#isFull ? undefined : this.#knownPlace(offset, length);
    return place?.length === length
      ? this.#writeData(place.host, offset, from)
      : this.#writeSpans(offset, from);
  }

  async #writeSpans(offset: number, from: readonly Uint8Array[]): Promise<void> {
    await this.throttle();
    const spans = this.spans(offset, totalBytes(from));
    await inParallel(spans, MAX_IMAGE_PARALLEL_IO, (span) => {
      return this.#writeSpan(span.at, slice(from, span.at - offset, span.length));
    });
  }

  /** Tables that change without end would fill the memory. */
  async throttle(): Promise<void> {
    if (this.#isFull) await this.parts.commit.run();
  }

  get #isFull(): boolean {
    const { map, allocator } = this.parts;
    return map.l2.isFull || allocator.isFull || allocator.releasedClusters > MAX_RELEASED_CLUSTERS;
  }

  spans(offset: number, length: number): Span[] {
    const { l2SpanBytes } = this.parts.map.geometry;
    const spans: Span[] = [];
    for (let at = offset; at < offset + length; ) {
      const l1Index = Math.floor(at / l2SpanBytes);
      const end = Math.min(offset + length, (l1Index + 1) * l2SpanBytes);
      spans.push({ l1Index, at, length: end - at });
      at = end;
    }
    return spans;
  }

  /** Runs `task` while nobody else changes the entries of a range's clusters. */
  locked<T>(at: number, length: number, task: () => Promise<T>): Promise<T> {
    const { clusterBytes } = this.parts.map.geometry;
    const last = Math.floor((at + length - 1) / clusterBytes);
    return this.parts.locks.run(Math.floor(at / clusterBytes), last, task);
  }

  async #writeSpan(at: number, from: readonly Uint8Array[]): Promise<void> {
    const length = totalBytes(from);
    const place = await this.#place(at, length);
    if (place?.length === length) await this.#writeData(place.host, at, from);
    else await this.locked(at, length, () => this.#writePieces(at, from));
  }

  /** Each piece in place, or to new clusters; in turn, so that they follow each other in the file. */
  async #writePieces(at: number, from: readonly Uint8Array[]): Promise<void> {
    const length = totalBytes(from);
    const writes: Promise<unknown>[] = [];
    try {
      for (let done = 0; done < length; ) {
        const place = await this.#place(at + done, length - done);
        if (place) {
          writes.push(this.#writeData(place.host, at + done, slice(from, done, place.length)));
          done += place.length;
        } else {
          const piece = await this.#allocatePiece(at + done, slice(from, done, length - done));
          writes.push(piece.written);
          done += piece.length;
        }
      }
    } finally {
      await Promise.allSettled(writes);
    }
    await Promise.all(writes);
  }

  /** Of a range below one L2 table. */
  async #place(at: number, length: number): Promise<Place | undefined> {
    const { map } = this.parts;
    const offset = map.l2OffsetOf(Math.floor(at / map.geometry.l2SpanBytes));
    if (offset === 0) return undefined;
    return this.#placeIn(map.l2.peek(offset) ?? (await map.l2.get(offset)), at, length);
  }

  /** undefined as well when it takes more than one table in memory to tell. */
  #knownPlace(at: number, length: number): Place | undefined {
    const { map } = this.parts;
    const { l2SpanBytes } = map.geometry;
    const offset = map.l2OffsetOf(Math.floor(at / l2SpanBytes));
    if (offset === 0 || (at % l2SpanBytes) + length > l2SpanBytes) return undefined;
    const table = map.l2.peek(offset);
    return table && this.#placeIn(table, at, length);
  }

  /** Where the beginning of a range can be written in place, and how much of it; undefined: nothing. */
  #placeIn(table: Table, at: number, length: number): Place | undefined {
    const { map, entries } = this.parts;
    const { clusterBytes, extendedL2 } = map.geometry;
    const unit = extendedL2 ? clusterBytes / SUBCLUSTERS : clusterBytes;
    let place: { host: number; length: number } | undefined;
    for (let done = 0; done < length; ) {
      const inCluster = (at + done) % clusterBytes;
      const part = Math.min(length - done, unit - (inCluster % unit));
      const host = isInPlace(map, table, entries.entryOf(at + done), inCluster, part);
      if (host < 0 || (place && place.host + place.length !== host + inCluster)) break;
      place ??= { host: host + inCluster, length: 0 };
      place.length += part;
      done += part;
    }
    return place;
  }

  #writeData(host: number, at: number, from: readonly Uint8Array[]): Promise<unknown> {
    const { data, cipher, allocator, hasDataFile, map } = this.parts;
    const { clusterBytes } = map.geometry;
    const length = totalBytes(from);
    if (!hasDataFile) {
      const first = Math.floor(host / clusterBytes);
      allocator.checkData(first, Math.ceil((host + length) / clusterBytes) - first);
    }
    if (cipher === undefined) return data.write(host, from);
    const sectors = gather(from);
    cipher.encrypt(cipher.usesHostOffset ? host : at, sectors);
    return data.write(host, [sectors]);
  }

  /**
   * Finds place for the clusters at the beginning of a range that cannot be written in place, and starts to write them. `written`
   * resolves when their entries say so.
   */
  async #allocatePiece(
    at: number,
    from: readonly Uint8Array[],
  ): Promise<{ readonly length: number; readonly written: Promise<void> }> {
    const { map, entries, allocator, hasDataFile } = this.parts;
    const { clusterBytes } = map.geometry;
    const first = roundDown(at, clusterBytes);
    const need = await entries.needOf(at, totalBytes(from));
    const wanted = Math.ceil((at + need.length - first) / clusterBytes);
    let target: NewRun;
    if (need.host >= 0) target = { first: need.host / clusterBytes, count: wanted, fresh: false };
    else if (hasDataFile) target = { first: first / clusterBytes, count: wanted, fresh: false };
    else target = await allocator.allocate(wanted);
    const end = Math.min(at + need.length, first + target.count * clusterBytes);
    const isNew = need.host < 0 && !hasDataFile;
    const written = this.#fill(at, slice(from, 0, end - at), target, need.wholeClusters).catch(
      async (error) => {
        if (isNew) await allocator.giveBack(target);
        throw error;
      },
    );
    return { length: end - at, written };
  }

  /** Writes a range together with what surrounds it in its clusters, or subclusters, and then their entries. */
  async #fill(at: number, from: readonly Uint8Array[], target: NewRun, whole: boolean): Promise<void> {
    const { map, reader, entries, cipher, data } = this.parts;
    const { clusterBytes, extendedL2, l2SpanBytes } = map.geometry;
    const end = at + totalBytes(from);
    const unit = extendedL2 && !whole ? clusterBytes / SUBCLUSTERS : clusterBytes;
    const start = roundDown(at, unit);
    const stop = roundUp(end, unit);
    const firstCluster = roundDown(at, clusterBytes);
    const host = target.first * clusterBytes + (start - firstCluster);
    const surrounded = start !== at || stop !== end;
    // Where nothing was ever written, the file reads as zeros without our help.
    const asIs =
      surrounded && target.fresh && !cipher && !data.isDevice && (await reader.isZero(start, stop - start));
    if (!surrounded || asIs) {
      await this.#writeData(host + (at - start), at, from);
    } else {
      const [head, tail] = [new Uint8Array(at - start), new Uint8Array(stop - end)];
      await Promise.all([reader.readPart(start, head), reader.readPart(end, tail)]);
      await this.#writeData(
        host,
        start,
        [head, ...from, tail].filter((buffer) => buffer.length > 0),
      );
    }
    await this.parts.tables.change(Math.floor(at / l2SpanBytes), (table) => {
      entries.link(table, start, stop, target.first * clusterBytes - firstCluster);
    });
  }
}
