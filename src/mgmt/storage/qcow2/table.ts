/** Tables of an image in memory, as they are in the file: which parts of them have changed, and which tables are kept. */
import { damaged } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';
import { viewOf } from './bytes.js';

/** What is written at once when a byte of it changes. */
const PAGE_BYTES = 4096;
/** Tables that are looked at for one to give up. */
const EVICTION_TRIES = 64;

/** A copy of changed bytes, on their way to the file. */
export interface Piece {
  readonly table: Table;
  readonly at: number;
  readonly bytes: Uint8Array;
}

export class Table {
  readonly view: DataView;
  readonly #changed: Uint8Array;
  #changedPages = 0;
  /** Pieces that are being written: until they are, the file does not have what this has. */
  #leaving = 0;

  /** @param dirty holds the tables of this kind that have changes */
  constructor(
    readonly offset: number,
    readonly bytes: Uint8Array,
    private readonly dirty: Set<Table>,
  ) {
    this.view = viewOf(bytes);
    this.#changed = new Uint8Array(Math.ceil(bytes.length / PAGE_BYTES));
  }

  /** The bytes at `at` have changed, not beyond a multiple of 16. */
  touch(at: number): void {
    const page = Math.floor(at / PAGE_BYTES);
    if (this.#changed[page]) return;
    this.#changed[page] = 1;
    if (this.#changedPages++ === 0) this.dirty.add(this);
  }

  touchAll(): void {
    for (let at = 0; at < this.bytes.length; at += PAGE_BYTES) this.touch(at);
  }

  get isClean(): boolean {
    return this.#changedPages === 0 && this.#leaving === 0;
  }

  /** Copies of what has changed, which counts as written from now on; each has to be given to settle(). */
  take(): Piece[] {
    const pieces: Piece[] = [];
    for (let page = 0; page < this.#changed.length; page++) {
      if (!this.#changed[page]) continue;
      const first = page;
      while (this.#changed[page]) this.#changed[page++] = 0;
      const at = first * PAGE_BYTES;
      pieces.push({ table: this, at, bytes: this.bytes.slice(at, page * PAGE_BYTES) });
    }
    this.#leaving += pieces.length;
    this.#changedPages = 0;
    this.dirty.delete(this);
    return pieces;
  }

  settle(piece: Piece, written: boolean): void {
    this.#leaving--;
    if (written) return;
    for (let at = piece.at; at < piece.at + piece.bytes.length; at += PAGE_BYTES) this.touch(at);
  }
}

/** The tables of one kind, each of them a cluster. The least recently used go first; those with changes stay. */
export class TableCache {
  readonly #tables = new Map<number, Table>();
  readonly #loading = new Map<number, Promise<Table>>();
  readonly dirty = new Set<Table>();
  readonly #capacity: number;
  #latest: Table | undefined;

  constructor(
    private readonly file: ByteStore,
    private readonly name: string,
    private readonly tableBytes: number,
    capacityBytes: number,
  ) {
    this.#capacity = Math.max(8, Math.floor(capacityBytes / tableBytes));
  }

  /** The table, when it is in memory. */
  peek(offset: number): Table | undefined {
    if (this.#latest?.offset === offset) return this.#latest;
    const table = this.#tables.get(offset);
    if (table === undefined) return undefined;
    this.#tables.delete(offset);
    this.#tables.set(offset, table);
    this.#latest = table;
    return table;
  }

  /** For reading: to change a table, peek() and do it before anything else can happen. */
  get(offset: number): Promise<Table> {
    const known = this.peek(offset);
    if (known) return Promise.resolve(known);
    let loading = this.#loading.get(offset);
    if (loading === undefined) {
      loading = this.#load(offset).finally(() => this.#loading.delete(offset));
      this.#loading.set(offset, loading);
    }
    return loading;
  }

  /** A table that is not in the file yet. */
  add(offset: number, bytes: Uint8Array): Table {
    const table = new Table(offset, bytes, this.dirty);
    table.touchAll();
    this.#keep(table);
    return table;
  }

  /** Its place is somebody else's from now on. */
  drop(offset: number): void {
    const table = this.#tables.get(offset);
    if (table) this.dirty.delete(table);
    if (this.#latest === table) this.#latest = undefined;
    this.#tables.delete(offset);
  }

  get isFull(): boolean {
    return this.dirty.size >= this.#capacity / 2;
  }

  async #load(offset: number): Promise<Table> {
    if (offset >= this.file.sizeBytes || offset % this.tableBytes !== 0 || offset === 0)
      throw damaged(this.file.path, `${this.name} at ${offset} cannot be`);
    const bytes = new Uint8Array(this.tableBytes);
    await this.file.read(offset, [bytes]);
    const table = new Table(offset, bytes, this.dirty);
    this.#keep(table);
    return table;
  }

  #keep(table: Table): void {
    let tries = EVICTION_TRIES;
    for (const [offset, old] of this.#tables) {
      if (this.#tables.size < this.#capacity || tries-- === 0) break;
      if (old.isClean) this.drop(offset);
    }
    this.#tables.set(table.offset, table);
    this.#latest = table;
  }
}
