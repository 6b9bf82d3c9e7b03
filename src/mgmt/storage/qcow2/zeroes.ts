/** Discards and zeros: ranges of a disk that need no data. */
import type { BlockImage } from '../../../xenner/backend/block/block-image.js';
import { zeroRange } from '../raw-image.js';
import { roundDown, roundUp } from './bytes.js';
import { SUBCLUSTERS } from './format.js';
import type { Table } from './table.js';
import type { Span, Writer, WriterParts } from './writer.js';

const ZEROS = new Uint8Array(256 * 1024);

export class Zeroes {
  constructor(
    private readonly writer: Writer,
    private readonly parts: WriterParts,
    private readonly backing: BlockImage | undefined,
    /** The data file is a disk of its own: it has to have the zeros, too. */
    private readonly isRawData: boolean,
  ) {}

  /** Whole clusters; what is only a part of one stays. */
  async discard(offset: number, length: number): Promise<void> {
    await this.writer.throttle();
    const { clusterBytes, version } = this.parts.map.geometry;
    const start = roundUp(offset, clusterBytes);
    const end = roundDown(offset + length, clusterBytes);
    // Version 2 has no way to say that a cluster is zeros, whatever lies below.
    if (version < 3 && this.backing !== undefined) return;
    for (const span of this.writer.spans(start, end - start)) {
      if (this.parts.map.l2OffsetOf(span.l1Index) === 0) continue;
      await this.writer.locked(span.at, span.length, async () => {
        await this.#eachEntry(span, (table, entry, at) => this.#discardOne(table, entry, at));
        if (this.parts.hasDataFile) await zeroRange(this.parts.data, span.at, span.length, true);
      });
    }
  }

  /** What is below is to be seen again, in all clusters. */
  async uncover(offset: number, length: number): Promise<void> {
    for (const span of this.writer.spans(offset, length)) {
      await this.writer.throttle();
      if (this.parts.map.l2OffsetOf(span.l1Index) === 0) continue;
      await this.writer.locked(span.at, span.length, () =>
        this.#eachEntry(span, (table, entry) => this.#uncoverOne(table, entry)),
      );
    }
  }

  async zero(offset: number, length: number, mayUnmap: boolean): Promise<void> {
    await this.writer.throttle();
    const { clusterBytes, extendedL2, version } = this.parts.map.geometry;
    if (version < 3) return this.#writeZeros(offset, length);
    const unit = extendedL2 ? clusterBytes / SUBCLUSTERS : clusterBytes;
    const end = offset + length;
    const start = Math.min(end, roundUp(offset, unit));
    const stop = Math.max(start, roundDown(end, unit));
    await this.#writeZeros(offset, start - offset);
    for (const span of this.writer.spans(start, stop - start)) await this.#zeroSpan(span, mayUnmap);
    await this.#writeZeros(stop, end - stop);
  }

  async #zeroSpan(span: Span, mayUnmap: boolean): Promise<void> {
    const { parts } = this;
    const rest: [number, number][] = [];
    await this.writer.locked(span.at, span.length, async () => {
      if (await parts.reader.isZero(span.at, span.length)) return;
      await this.#eachEntry(span, (table, entry, at, end) => {
        if (!this.#zeroOne(table, entry, at, end, mayUnmap)) rest.push([at, end - at]);
      });
      if (this.isRawData) await zeroRange(parts.data, span.at, span.length, mayUnmap);
    });
    for (const [at, length] of rest) await this.#writeZeros(at, length);
  }

  /** Calls `edit` for each entry of a span whose clusters are locked, with the part of its cluster that is in the span. */
  async #eachEntry(
    span: Span,
    edit: (table: Table, entry: number, at: number, end: number) => void,
  ): Promise<void> {
    const { tables, entries, map } = this.parts;
    const { clusterBytes } = map.geometry;
    const stop = span.at + span.length;
    await tables.change(span.l1Index, (table) => {
      for (let at = span.at; at < stop; ) {
        const end = Math.min(stop, roundDown(at, clusterBytes) + clusterBytes);
        edit(table, entries.entryOf(at), at, end);
        at = end;
      }
    });
  }

  #discardOne(table: Table, entry: number, at: number): void {
    const { map, entries } = this.parts;
    const isUsed = map.isCompressed(table, entry) || map.standard(table, entry).host >= 0;
    if (isUsed) entries.unlink(table, entry, at < (this.backing?.sizeBytes ?? 0));
  }

  #uncoverOne(table: Table, entry: number): void {
    const { entries, map } = this.parts;
    const bytes = table.bytes.subarray(entry, entry + map.geometry.l2EntryBytes);
    if (bytes.some((byte) => byte !== 0)) entries.unlink(table, entry, false);
  }

  /** False: the entry cannot say it. */
  #zeroOne(table: Table, entry: number, at: number, end: number, mayUnmap: boolean): boolean {
    const { map, entries } = this.parts;
    const { clusterBytes } = map.geometry;
    const isWhole = end - at === clusterBytes;
    const isCompressed = map.isCompressed(table, entry);
    const { host, copied } = isCompressed ? { host: -1, copied: false } : map.standard(table, entry);
    const isOwn = host >= 0 && copied;
    if (isWhole && (isCompressed || (host >= 0 && (!isOwn || mayUnmap)))) {
      entries.unlink(table, entry, true);
      return true;
    }
    // Of a cluster that a snapshot has as well, the other subclusters would have to be copied.
    if (isCompressed || (host >= 0 && !isOwn)) return false;
    entries.markZero(table, entry, at % clusterBytes, (at % clusterBytes) + (end - at));
    return true;
  }

  async #writeZeros(offset: number, length: number): Promise<void> {
    for (let done = 0; done < length; done += ZEROS.length) {
      const part = Math.min(ZEROS.length, length - done);
      if (await this.parts.reader.isZero(offset + done, part)) continue;
      await this.writer.write(offset + done, [ZEROS.subarray(0, part)]);
    }
  }
}
