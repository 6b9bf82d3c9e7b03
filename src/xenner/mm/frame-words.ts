/** Guest memory as 32-bit words without an object or a BigInt for each access: page tables, and tables with a u64 a frame. */
import { type Gpa, type GuestMemory, gpa, VIEW_BYTES } from '../../kvm/guest-memory.js';

const PAGE = 4096;
const WORDS_PER_PAGE = PAGE / 4;
const FRAMES_PER_VIEW = VIEW_BYTES / PAGE;
const VIEW_SHIFT = Math.log2(FRAMES_PER_VIEW);

/**
 * The frames below `count`, by GiB: the words of frame `mfn` are `words(mfn)[base(mfn) ..]`. The caller has checked the
 * frame's number.
 */
export class FrameWords {
  readonly #words: Uint32Array[] = [];
  readonly #entries: BigUint64Array[] = [];
  /** Joins two halves for one 64-bit store. */
  readonly #pair = new Uint32Array(2);
  readonly #joined = new BigUint64Array(this.#pair.buffer);

  constructor(memory: GuestMemory, count: number) {
    for (let start = 0; start < count; start += FRAMES_PER_VIEW) {
      const bytes = memory.bytes(gpa(start * PAGE), Math.min(FRAMES_PER_VIEW, count - start) * PAGE);
      this.#words.push(new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4));
      this.#entries.push(new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8));
    }
  }

  words(mfn: number): Uint32Array {
    return this.#words[mfn >>> VIEW_SHIFT]!;
  }

  base(mfn: number): number {
    return (mfn & (FRAMES_PER_VIEW - 1)) * WORDS_PER_PAGE;
  }

  /** One store, as a CPU that walks the table has to see it. */
  storeEntry(mfn: number, index: number, low: number, high: number): void {
    this.#pair[0] = low;
    this.#pair[1] = high;
    this.#entries[mfn >>> VIEW_SHIFT]![this.base(mfn) / 2 + index] = this.#joined[0]!;
  }

  /** The same, but with `kept` bits of what is replaced: a CPU may set A or D in it at any time. */
  storeEntryKeeping(mfn: number, index: number, low: number, high: number, kept: number): void {
    const entries = this.#entries[mfn >>> VIEW_SHIFT]!;
    const at = this.base(mfn) / 2 + index;
    this.#pair[0] = low;
    this.#pair[1] = high;
    const value = this.#joined[0]!;
    for (let old = entries[at]!; ; ) {
      const found = Atomics.compareExchange(entries, at, old, value | (old & BigInt(kept)));
      if (found === old) return;
      old = found;
    }
  }

  /** The page's 4096 bytes as words. */
  page(mfn: number): Uint32Array {
    return this.words(mfn).subarray(this.base(mfn), this.base(mfn) + WORDS_PER_PAGE);
  }
}

/** A table of one u64 a frame; it may lie across the end of one of GuestMemory's views. */
export class FrameTable {
  readonly #first: Uint32Array;
  readonly #second: Uint32Array;
  readonly #split: number;

  constructor(memory: GuestMemory, at: Gpa, count: number) {
    const left = (VIEW_BYTES - (at % VIEW_BYTES)) / 8;
    this.#split = Math.min(count, left);
    const view = (start: Gpa, frames: number) => {
      const bytes = memory.bytes(start, frames * 8);
      return new Uint32Array(bytes.buffer, bytes.byteOffset, frames * 2);
    };
    this.#first = view(at, this.#split);
    this.#second =
      this.#split < count ? view(gpa(at + this.#split * 8), count - this.#split) : new Uint32Array(0);
  }

  low(mfn: number): number {
    return mfn < this.#split ? this.#first[mfn * 2]! : this.#second[(mfn - this.#split) * 2]!;
  }

  high(mfn: number): number {
    return mfn < this.#split ? this.#first[mfn * 2 + 1]! : this.#second[(mfn - this.#split) * 2 + 1]!;
  }

  setLow(mfn: number, value: number): void {
    if (mfn < this.#split) this.#first[mfn * 2] = value;
    else this.#second[(mfn - this.#split) * 2] = value;
  }

  setHigh(mfn: number, value: number): void {
    if (mfn < this.#split) this.#first[mfn * 2 + 1] = value;
    else this.#second[(mfn - this.#split) * 2 + 1] = value;
  }
}
