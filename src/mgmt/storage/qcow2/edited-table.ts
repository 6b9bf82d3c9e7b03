/** A table of an image that nobody else has open: its bytes, and which of their sectors have to be written. */
import type { ByteStore } from '../storage-file.js';
import { viewOf } from './bytes.js';

const SECTOR_BYTES = 512;

export class EditedTable {
  readonly view: DataView;
  readonly #sectors = new Set<number>();

  constructor(
    readonly offset: number,
    readonly bytes: Uint8Array,
  ) {
    this.view = viewOf(bytes);
  }

  static async read(file: ByteStore, offset: number, length: number): Promise<EditedTable> {
    const bytes = new Uint8Array(length);
    await file.read(offset, [bytes]);
    return new EditedTable(offset, bytes);
  }

  /** Eight bytes, which lie in one sector. */
  setEntry(at: number, hi: number, lo: number): void {
    this.view.setUint32(at, hi);
    this.view.setUint32(at + 4, lo);
    this.touch(at);
  }

  /** The bytes at `at` have changed, not beyond their sector. */
  touch(at: number): void {
    this.#sectors.add(Math.floor(at / SECTOR_BYTES));
  }

  /** Each sector by itself, which is there as a whole or not at all. */
  async save(file: ByteStore): Promise<void> {
    for (const sector of this.#sectors) {
      const at = sector * SECTOR_BYTES;
      await file.write(this.offset + at, [this.bytes.subarray(at, at + SECTOR_BYTES)]);
    }
    this.#sectors.clear();
  }
}
