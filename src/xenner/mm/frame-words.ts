/** Guest memory as 32-bit words without an object or a BigInt for each access: page tables, and tables with a u64 a frame. */
import { type Gpa, type GuestMemory, gpa, VIEW_BYTES } from '../../kvm/guest-memory.js';

const PAGE = 4096;
const WORDS_PER_PAGE = PAGE / 4;
const FRAMES_PER_VIEW = VIEW_BYTES / PAGE;
const VIEW_SHIFT = Math.log2(FRAMES_PER_VIEW);

/** Frames, by view of guest memory: the words of frame `mfn` are `words(mfn)[base(mfn) ..]`. The caller has checked its number. */
export class FrameWords {
  /** Joins two halves for one 64-bit store. */
  readonly #pair = new Uint32Array(2);
  readonly #joined = new BigUint64Array(this.#pair.buffer);

  constructor(private readonly memory: GuestMemory) {}

  words(mfn: number): Uint32Array {
    return this.memory.view(mfn >>> VIEW_SHIFT).u32;
  }

  base(mfn: number): number {
    return (mfn & (FRAMES_PER_VIEW - 1)) * WORDS_PER_PAGE;
  }

  /** One store, as a CPU that walks the table has to see it. */
  storeEntry(mfn: number, index: number, low: number, high: number): void {
    this.#pair[0] = low;
    this.#pair[1] = high;
    this.memory.view(mfn >>> VIEW_SHIFT).u64[this.base(mfn) / 2 + index] = this.#joined[0]!;
  }

  /** The same, but with `kept` bits of what is replaced: a CPU may set A or D in it at any time. */
  storeEntryKeeping(mfn: number, index: number, low: number, high: number, kept: number): void {
    const entries = this.memory.view(mfn >>> VIEW_SHIFT).u64;
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

const WORDS_PER_VIEW = VIEW_BYTES / 4;
const WORD_SHIFT = Math.log2(WORDS_PER_VIEW);

/** A table of one u64 a frame; it may lie across the ends of GuestMemory's views. */
export class FrameTable {
  readonly #firstView: number;
  /** In words, what lies before it in the first of them. */
  readonly #first: number;

  constructor(
    private readonly memory: GuestMemory,
    private readonly at: Gpa,
  ) {
    this.#firstView = Math.floor(at / VIEW_BYTES);
    this.#first = (at % VIEW_BYTES) / 4;
  }

  low(mfn: number): number {
    return this.#read(this.#first + mfn * 2);
  }

  high(mfn: number): number {
    return this.#read(this.#first + mfn * 2 + 1);
  }

  setLow(mfn: number, value: number): void {
    this.#write(this.#first + mfn * 2, value);
  }

  setHigh(mfn: number, value: number): void {
    this.#write(this.#first + mfn * 2 + 1, value);
  }

  /** Low halves of `count` frames; the high ones become 0. */
  fill(mfn: number, count: number, low: number): void {
    this.memory.fillEntries(gpa(this.at + mfn * 8), count, BigInt(low));
  }

  #read(word: number): number {
    return this.#view(word)[word & (WORDS_PER_VIEW - 1)]!;
  }

  #write(word: number, value: number): void {
    this.#view(word)[word & (WORDS_PER_VIEW - 1)] = value;
  }

  #view(word: number): Uint32Array {
    return this.memory.view(this.#firstView + (word >>> WORD_SHIFT)).u32;
  }
}
