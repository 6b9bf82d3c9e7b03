/** Entries of L2 tables, each looked at for what it refers to, and for whether that can be. */
import type { ByteStore } from '../storage-file.js';
import { EditedTable } from './edited-table.js';
import { COMPRESSED_HI, COPIED_HI, INCOMPATIBLE, OFFSET_HI, OFFSET_LO, ZERO_LO } from './format.js';
import type { Header } from './header.js';
import type { References } from './references.js';
import type { L2Use, WalkOptions } from './walk.js';

/** What has to be 0 in an entry that is not compressed; in lower halves ZERO_LO, too, where it means nothing. */
const RESERVED_HI = 0x3f000000;
const RESERVED_LO = 0x000001fe;

/** Of the disk as it is now, in clusters, as QEMU counts them (BlockFragInfo). */
export interface Allocation {
  allocated: number;
  fragmented: number;
  compressed: number;
}

export class L2Walk {
  readonly allocation: Allocation = { allocated: 0, fragmented: 0, compressed: 0 };
  readonly #hasDataFile: boolean;
  readonly #reservedLo: number;
  /** In upper halves of compressed entries, bits of the offset; the others are its length. */
  readonly #compressedOffsetHi: number;

  constructor(
    private readonly file: ByteStore,
    private readonly header: Header,
    private readonly references: References,
    private readonly options: WalkOptions,
  ) {
    this.#hasDataFile = (header.incompatible & INCOMPATIBLE.externalData) !== 0n;
    this.#reservedLo = header.version < 3 || header.extendedL2 ? RESERVED_LO | ZERO_LO : RESERVED_LO;
    this.#compressedOffsetHi = 2 ** (30 - (header.clusterBits - 8));
  }

  async table(use: L2Use): Promise<void> {
    const { clusterBytes, l2EntryBytes, extendedL2 } = this.header;
    const table = await EditedTable.read(this.file, use.offset, clusterBytes);
    const { view } = table;
    let follows = 0;
    for (let at = 0; at < clusterBytes; at += l2EntryBytes) {
      const hi = view.getUint32(at);
      if ((hi | view.getUint32(at + 4)) === 0 && !extendedL2) continue;
      if (hi & COMPRESSED_HI) this.#compressed(table, at, use);
      else follows = this.#standard(table, at, use, follows);
    }
    await table.save(this.file);
  }

  /** Calls `use` for each cluster that a table has, and that is not compressed; those of a data file have no refcounts. */
  async eachCluster(
    offset: number,
    use: (table: EditedTable, at: number, cluster: number) => void,
  ): Promise<void> {
    if (this.#hasDataFile) return;
    const { clusterBytes, l2EntryBytes } = this.header;
    const table = await EditedTable.read(this.file, offset, clusterBytes);
    const { view } = table;
    for (let at = 0; at < clusterBytes; at += l2EntryBytes) {
      const hi = view.getUint32(at);
      const lo = view.getUint32(at + 4);
      if ((hi | lo) === 0 || hi & COMPRESSED_HI) continue;
      const cluster = ((hi & OFFSET_HI) * 2 ** 32 + ((lo & OFFSET_LO) >>> 0)) / clusterBytes;
      if (cluster > 0 && cluster < this.references.clusters) use(table, at, cluster);
    }
    await table.save(this.file);
  }

  #compressed(table: EditedTable, at: number, { times, isActive }: L2Use): void {
    const { extendedL2 } = this.header;
    const hi = table.view.getUint32(at);
    const lo = table.view.getUint32(at + 4);
    if (hi & COPIED_HI) {
      this.#wrong(table, at, 'is compressed, and may not be written in place as it says');
      if (this.options.fix) table.setEntry(at, hi & ~COPIED_HI, lo);
    }
    if (extendedL2 && (table.view.getUint32(at + 8) | table.view.getUint32(at + 12)) !== 0) {
      this.#wrong(table, at, 'is compressed, and has no subclusters as it says');
      if (this.options.fix) table.setEntry(at + 8, 0, 0);
    }
    const offset = (hi & (this.#compressedOffsetHi - 1)) * 2 ** 32 + lo;
    const sectors = Math.floor((hi & ~(COPIED_HI | COMPRESSED_HI)) / this.#compressedOffsetHi) + 1;
    if (this.#hasDataFile || !this.references.addData(offset, sectors * 512 - (offset % 512), times)) {
      this.#drop(table, at, `names compressed data at ${offset}, where none can be`);
      return;
    }
    if (!isActive) return;
    this.allocation.allocated++;
    this.allocation.compressed++;
    this.allocation.fragmented++;
  }

  /** @param follows where the next cluster is if the disk is in order; 0: nobody knows. Answers it for the one behind. */
  #standard(table: EditedTable, at: number, { times, isActive }: L2Use, follows: number): number {
    const { clusterBytes, extendedL2 } = this.header;
    const hi = table.view.getUint32(at);
    const lo = table.view.getUint32(at + 4);
    if ((hi & RESERVED_HI) !== 0 || (lo & this.#reservedLo) !== 0) {
      this.#wrong(table, at, 'has reserved bits set');
      if (this.options.fix) table.setEntry(at, hi & ~RESERVED_HI, lo & ~this.#reservedLo);
    }
    const offset = (hi & OFFSET_HI) * 2 ** 32 + ((lo & OFFSET_LO) >>> 0);
    const isPlaced = offset > 0 || (this.#hasDataFile && (hi & COPIED_HI) !== 0);
    if (extendedL2) this.#checkSubclusters(table, at, isPlaced);
    if (!isPlaced) return follows;
    if (
      offset % clusterBytes !== 0 ||
      !(this.#hasDataFile || this.references.addData(offset, clusterBytes, times))
    ) {
      this.#drop(table, at, `names ${offset}, where no data can be`);
      return follows;
    }
    if (!isActive) return follows;
    this.allocation.allocated++;
    if (follows > 0 && offset !== follows) this.allocation.fragmented++;
    return offset + clusterBytes;
  }

  /** What has no place, or reads as zeros, is not allocated. */
  #checkSubclusters(table: EditedTable, at: number, isPlaced: boolean): void {
    const zero = table.view.getUint32(at + 8);
    const allocated = table.view.getUint32(at + 12);
    if (isPlaced && (zero & allocated) !== 0) {
      this.#wrong(table, at, 'has subclusters that are both data and zeros');
      if (this.options.fix) table.setEntry(at + 8, zero & ~allocated, allocated);
    } else if (!isPlaced && allocated !== 0) {
      this.#wrong(table, at, 'has subclusters without a place');
      if (this.options.fix) table.setEntry(at + 8, zero | allocated, 0);
    }
  }

  #drop(table: EditedTable, at: number, what: string): void {
    this.#wrong(table, at, what);
    if (!this.options.fix) return;
    const { version, extendedL2 } = this.header;
    table.setEntry(at, 0, version >= 3 && !extendedL2 ? ZERO_LO : 0);
    if (extendedL2) table.setEntry(at + 8, 0xffffffff, 0);
  }

  #wrong(table: EditedTable, at: number, what: string): void {
    this.options.report(`ERROR L2 entry ${at / this.header.l2EntryBytes} at ${table.offset} ${what}`);
  }
}
