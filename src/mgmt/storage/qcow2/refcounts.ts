/** How often each cluster of the file is used: refcount table and refcount blocks. */
import { MAX_QCOW2_TABLE_CACHE_BYTES } from '../../../base/limits.js';
import { damaged } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { setU64, u64At } from './bytes.js';
import type { Geometry } from './header.js';
import { Table, TableCache } from './table.js';

export class Refcounts {
  /** Offsets of blocks; one without an offset would be all zeros. */
  table: Table;
  readonly tableDirty = new Set<Table>();
  readonly blocks: TableCache;

  constructor(
    private readonly file: ByteStore,
    private readonly geometry: Geometry,
    tableOffset: number,
    tableBytes: Uint8Array,
  ) {
    this.table = new Table(tableOffset, tableBytes, this.tableDirty);
    this.blocks = new TableCache(
      file,
      'a refcount block',
      geometry.clusterBytes,
      MAX_QCOW2_TABLE_CACHE_BYTES,
    );
  }

  /** How many blocks the table has room for. */
  get capacity(): number {
    return this.table.bytes.length / 8;
  }

  /** Where a block is; 0: there is none. */
  blockOffset(index: number): number {
    if (index >= this.capacity) return 0;
    const offset = u64At(this.table.view, index * 8);
    if (offset % this.geometry.clusterBytes === 0) return offset;
    throw damaged(this.file.path, `a refcount block at ${offset}`);
  }

  /** A block that is not in the file yet. */
  addBlock(index: number, offset: number): void {
    setU64(this.table.view, index * 8, offset);
    this.table.touch(index * 8);
    this.blocks.add(offset, new Uint8Array(this.geometry.clusterBytes));
  }

  /** Calls `use` when the block that has the cluster's refcount is in memory; what it does at once, nobody comes between. */
  async with<T>(cluster: number, use: () => T): Promise<T> {
    const offset = this.blockOffset(this.blockOf(cluster));
    while (offset !== 0 && this.blocks.peek(offset) === undefined) await this.blocks.get(offset);
    return use();
  }

  blockOf(cluster: number): number {
    return Math.floor(cluster / this.geometry.refcountsPerBlock);
  }

  /** Its block must be in memory: see with(). */
  get(cluster: number): number {
    const block = this.#blockOf(cluster);
    if (block === undefined) return 0;
    const { refcountOrder, refcountsPerBlock } = this.geometry;
    const index = cluster % refcountsPerBlock;
    return readRefcount(block, refcountOrder, index);
  }

  /** Its block must exist and be in memory. */
  set(cluster: number, refcount: number): void {
    const block = this.#blockOf(cluster);
    if (block === undefined) throw damaged(this.file.path, `cluster ${cluster} has no refcount`);
    const { refcountOrder, refcountsPerBlock } = this.geometry;
    const index = cluster % refcountsPerBlock;
    writeRefcount(block, refcountOrder, index, refcount);
    block.touch(Math.floor((index * 2 ** refcountOrder) / 8));
  }

  #blockOf(cluster: number): Table | undefined {
    const offset = this.blockOffset(this.blockOf(cluster));
    if (offset === 0) return undefined;
    const block = this.blocks.peek(offset);
    if (block === undefined) throw new Error(`the refcount block at ${offset} is not in memory`);
    return block;
  }
}

/** @param order widths of 1, 2 and 4 bits fill a byte from its least significant bit on */
export function readRefcount({ view }: { readonly view: DataView }, order: number, index: number): number {
  if (order === 4) return view.getUint16(index * 2);
  if (order === 6) return u64At(view, index * 8);
  if (order === 5) return view.getUint32(index * 4);
  if (order === 3) return view.getUint8(index);
  const bit = index << order;
  return (view.getUint8(bit >> 3) >> (bit & 7)) & ((1 << (1 << order)) - 1);
}

export function writeRefcount(
  { view }: { readonly view: DataView },
  order: number,
  index: number,
  refcount: number,
): void {
  if (order === 4) view.setUint16(index * 2, refcount);
  else if (order === 6) setU64(view, index * 8, refcount);
  else if (order === 5) view.setUint32(index * 4, refcount);
  else if (order === 3) view.setUint8(index, refcount);
  else {
    const bit = index << order;
    const mask = ((1 << (1 << order)) - 1) << (bit & 7);
    view.setUint8(bit >> 3, (view.getUint8(bit >> 3) & ~mask) | (refcount << (bit & 7)));
  }
}
