/**
 * Where the blocks of a dynamic image are, and which of their sectors they have. What is new is on the disk after commit(): data
 * first, then what points to it, so that a crash in between leaves an image as it was.
 */
import { MAX_VHD_BITMAPS } from '../../../base/limits.js';
import { damaged, refused } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { FOOTER_BYTES, type Footer, type Header, SECTOR_BYTES, UNUSED } from './format.js';

export interface Block {
  /** Of its data; its bitmap lies before. */
  readonly dataOffset: number;
  /** A bit a sector, from the highest; clear: the parent has it, or it is zeros. */
  readonly bitmap: Uint8Array;
}

export class BlockTable {
  readonly blockBytes: number;
  readonly #bitmapBytes: number;
  /** As on the disk. */
  readonly #table: Buffer;
  readonly #blocks = new Map<number, Promise<Block>>();
  readonly #added = new Map<number, Block>();
  #changed = new Map<number, Block>();
  /** Of the commit that is under way. */
  #writing = new Map<number, Block>();
  /** Where the footer goes, and the next block. */
  #end: number;
  #committing: Promise<void> = Promise.resolve();

  private constructor(
    private readonly file: ByteStore,
    private readonly footer: Footer,
    private readonly header: Header,
    table: Buffer,
  ) {
    this.blockBytes = header.blockBytes;
    const bits = header.blockBytes / SECTOR_BYTES;
    this.#bitmapBytes = Math.ceil(Math.ceil(bits / 8) / SECTOR_BYTES) * SECTOR_BYTES;
    this.#table = table;
    this.#end = this.#endOfBlocks();
  }

  /** @throws XennerError EIMAGE_DAMAGED */
  static async open(file: ByteStore, footer: Footer, header: Header): Promise<BlockTable> {
    const bytes = Math.ceil((header.blocks * 4) / SECTOR_BYTES) * SECTOR_BYTES;
    if (header.tableOffset + bytes > file.sizeBytes) throw damaged(file.path, 'its table is behind its end');
    const table = Buffer.alloc(bytes);
    await file.read(header.tableOffset, [table]);
    const opened = new BlockTable(file, footer, header, table);
    if (!file.readOnly) await opened.#tidy();
    return opened;
  }

  /** Nothing may lie behind the footer: new blocks would show it. */
  async #tidy(): Promise<void> {
    const { file } = this;
    if (file.isDevice || file.sizeBytes === this.#end + FOOTER_BYTES) return;
    await file.truncate(this.#end);
    await file.write(this.#end, [this.footer.bytes]);
    await file.sync();
  }

  #endOfBlocks(): number {
    const { header, file } = this;
    let end = header.tableOffset + this.#table.length;
    for (const { offset, length } of header.locators) {
      if (length > 0) end = Math.max(end, Math.ceil((offset + length) / SECTOR_BYTES) * SECTOR_BYTES);
    }
    const block = this.#bitmapBytes + header.blockBytes;
    for (let i = 0; i < header.blocks; i++) {
      const sector = this.#table.readUInt32BE(i * 4);
      if (sector !== UNUSED) end = Math.max(end, sector * SECTOR_BYTES + block);
    }
    if (end > file.sizeBytes) throw damaged(file.path, 'it ends before its last block');
    return end;
  }

  /** @returns undefined for a block that the image does not have */
  async find(index: number): Promise<Block | undefined> {
    const known = this.#added.get(index) ?? this.#changed.get(index) ?? this.#writing.get(index);
    if (known !== undefined) return known;
    const loading = this.#blocks.get(index);
    if (loading !== undefined) return loading;
    const sector = this.#table.readUInt32BE(index * 4);
    if (sector === UNUSED) return undefined;
    const offset = sector * SECTOR_BYTES;
    const loaded = this.#load(offset);
    if (this.#blocks.size >= MAX_VHD_BITMAPS) this.#blocks.delete(this.#blocks.keys().next().value!);
    this.#blocks.set(index, loaded);
    return loaded;
  }

  async #load(offset: number): Promise<Block> {
    const bitmap = new Uint8Array(this.#bitmapBytes);
    await this.file.read(offset, [bitmap]);
    return { dataOffset: offset + this.#bitmapBytes, bitmap };
  }

  /** Made by another writer meanwhile. */
  added(index: number): Block | undefined {
    return this.#added.get(index);
  }

  /** A new block behind the others: of zeros where there is no parent. At once, so that no two writers make one. */
  add(index: number): Block {
    const isFull = this.footer.type === 'dynamic';
    const bitmap = new Uint8Array(this.#bitmapBytes).fill(isFull ? 0xff : 0);
    const block = { dataOffset: this.#end + this.#bitmapBytes, bitmap };
    this.#end = block.dataOffset + this.blockBytes;
    this.#added.set(index, block);
    return block;
  }

  /** The block has these sectors, now that their data is written. */
  async mark(index: number, first: number, count: number): Promise<void> {
    // Looked up again: it may have been dropped and read anew meanwhile.
    const block = await this.find(index);
    if (block === undefined) throw refused('EIO', `${this.file.path}: a block is gone`);
    let isNew = false;
    for (let i = first; i < first + count; i++) {
      const bit = 0x80 >> (i & 7);
      isNew ||= (block.bitmap[i >> 3]! & bit) === 0;
      block.bitmap[i >> 3]! |= bit;
    }
    if (isNew && !this.#added.has(index)) this.#changed.set(index, block);
  }

  /** One after the other. */
  commit(): Promise<void> {
    const committed = this.#committing.then(() => this.#commit());
    this.#committing = committed.catch(() => {});
    return committed;
  }

  async #commit(): Promise<void> {
    const added = new Map(this.#added);
    this.#writing = this.#changed;
    this.#changed = new Map();
    try {
      await this.#write(added, this.#writing);
      // Bits that were set meanwhile are written by the next commit.
      for (const [index, block] of added) {
        this.#added.delete(index);
        this.#changed.set(index, block);
      }
    } catch (error) {
      this.#changed = new Map([...this.#writing, ...this.#changed]);
      throw error;
    } finally {
      this.#writing = new Map();
    }
  }

  async #write(added: ReadonlyMap<number, Block>, changed: ReadonlyMap<number, Block>): Promise<void> {
    const { file } = this;
    if (added.size > 0) {
      await file.write(this.#end, [this.footer.bytes]);
      for (const { dataOffset, bitmap } of added.values())
        await file.write(dataOffset - this.#bitmapBytes, [bitmap.slice()]);
    }
    await file.sync();
    if (added.size + changed.size === 0) return;
    for (const { dataOffset, bitmap } of changed.values())
      await file.write(dataOffset - this.#bitmapBytes, [bitmap.slice()]);
    const sectors = new Set<number>();
    for (const [index, { dataOffset }] of added) {
      this.#table.writeUInt32BE((dataOffset - this.#bitmapBytes) / SECTOR_BYTES, index * 4);
      sectors.add(Math.floor((index * 4) / SECTOR_BYTES));
    }
    for (const sector of sectors) {
      const at = sector * SECTOR_BYTES;
      await file.write(this.header.tableOffset + at, [this.#table.subarray(at, at + SECTOR_BYTES)]);
    }
    await file.sync();
  }
}
