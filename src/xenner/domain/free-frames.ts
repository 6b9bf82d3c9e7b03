/**
 * Frames that a guest gave up (memory_op) and may get back. They stay the guest's in page_info's eyes as Xen's do: a
 * frame given up while something refers to it goes on as it is, and is given to nobody before the last reference is
 * gone; one that nothing refers to can no longer be mapped.
 */
import type { Gpa, GuestMemory } from '../../kvm/guest-memory.js';
import { FrameTable } from '../mm/frame-words.js';
import { PGC_shared, PGC_xen, PGT_count_mask } from '../monitor/vcpu-area.js';
import type { Json, Saved } from '../save/saved.js';

const BITS = 32;

/** What free frames need of a domain. */
export interface FreeFramesDomain {
  readonly memory: GuestMemory;
  /** One u64 a frame: see vcpu_area.h. */
  readonly pageInfo: Gpa;
  readonly nrPages: number;
}

export class FreeFrames {
  readonly #info: FrameTable;
  readonly #nrPages: number;
  /** A bit a frame. */
  readonly #free: Uint32Array;
  #count = 0;

  /** @param counted is told of each change */
  constructor(
    domain: FreeFramesDomain,
    private readonly counted: (count: number) => void = () => {},
  ) {
    this.#info = new FrameTable(domain.memory, domain.pageInfo);
    this.#nrPages = domain.nrPages;
    this.#free = new Uint32Array(Math.ceil(domain.nrPages / BITS));
  }

  get count(): number {
    return this.#count;
  }

  /** Whether nothing refers to a frame of the guest's (mappings that cannot write are not counted). */
  isUnused(mfn: number): boolean {
    return mfn < this.#nrPages && (this.#info.low(mfn) & (PGT_count_mask | PGC_xen | PGC_shared)) === 0;
  }

  /** False for what is not the guest's to give, or given up already. */
  give(mfn: number): boolean {
    if (!(mfn < this.#nrPages) || this.#isFree(mfn)) return false;
    this.#free[mfn >>> 5]! |= 1 << (mfn & 31);
    this.#setCount(this.#count + 1);
    if (this.isUnused(mfn)) this.#info.setLow(mfn, (this.#info.low(mfn) | PGC_xen) >>> 0);
    return true;
  }

  /**
   * Takes 2^order frames in a row, aligned as the buddy allocator's are: the lowest at or above `from` and below `end`.
   * @returns the first one, or -1
   */
  take(order: number, from = 0, end = this.#nrPages): number {
    const size = 2 ** order;
    const last = Math.min(end, this.#nrPages) - size;
    let mfn = Math.ceil(from / size) * size;
    while (mfn <= last) {
      if (this.#free[mfn >>> 5] === 0) {
        mfn = Math.ceil(((mfn >>> 5) + 1) * (BITS / size)) * size;
        continue;
      }
      if (this.#isRun(mfn, size)) {
        for (let i = 0; i < size; i++) this.takeBack(mfn + i);
        return mfn;
      }
      mfn += size;
    }
    return -1;
  }

  /** One frame that was given up. */
  takeBack(mfn: number): void {
    this.#free[mfn >>> 5]! &= ~(1 << (mfn & 31));
    this.#setCount(this.#count - 1);
    this.#info.setLow(mfn, (this.#info.low(mfn) & ~PGC_xen) >>> 0);
  }

  /** For a save file. */
  save(): Json {
    return this.#count === 0 ? '' : Buffer.from(this.#free.buffer).toString('base64');
  }

  /** Of a domain that was just made. @throws XennerError ESAVE_DAMAGED */
  restore(saved: Saved): void {
    const bytes = saved.bytes(this.#free.byteLength);
    if (bytes.length === 0) return;
    new Uint8Array(this.#free.buffer).set(bytes);
    for (let mfn = 0; mfn < this.#free.length * BITS; mfn++) {
      if (!this.#isFree(mfn)) continue;
      if (mfn >= this.#nrPages) throw saved.wrong("a bit for each of the guest's frames");
      this.#setCount(this.#count + 1);
    }
  }

  #setCount(count: number): void {
    this.#count = count;
    this.counted(count);
  }

  #isFree(mfn: number): boolean {
    return (this.#free[mfn >>> 5]! & (1 << (mfn & 31))) !== 0;
  }

  #isRun(mfn: number, size: number): boolean {
    for (let i = 0; i < size; i++) {
      if (!this.#isFree(mfn + i) || (this.#info.low(mfn + i) & PGT_count_mask) !== 0) return false;
    }
    return true;
  }
}
