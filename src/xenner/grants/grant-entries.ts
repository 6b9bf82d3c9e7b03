/**
 * Grant entries, version 1, as they lie in frames that the guest writes: everything read here is hostile, and flags and
 * domid change together by compare-exchange (xen/common/grant_table.c).
 */
import { type Gpa, type GuestMemory, gpa } from '../../kvm/guest-memory.js';
import {
  GNTST_general_error,
  GNTST_okay,
  GTF_permit_access,
  GTF_reading,
  GTF_readonly,
  GTF_sub_page,
  GTF_type_mask,
  GTF_writing,
  grant_entry_v1,
} from '../abi/grant-table.js';

const PAGE = 4096;
export const ENTRIES_PER_FRAME = PAGE / grant_entry_v1.size;
/** A guest may change an entry faster than we exchange it: after so many tries it is misbehaving. */
const MAX_RETRIES = 4;
const FRAME = grant_entry_v1.offsetof('frame');

/** Where a domain's grant frames are: all that it can ever have, in one piece. */
export interface GrantFrames {
  readonly firstMfn: number;
  readonly count: number;
}

/** How an entry is to be used. */
export interface GrantUse {
  readonly write: boolean;
  /** To map it, not to copy: never a part of a page. */
  readonly map: boolean;
}

/** References are below `frames.count * ENTRIES_PER_FRAME`: the caller has checked. */
export class GrantEntries {
  constructor(
    private readonly memory: GuestMemory,
    private readonly frames: GrantFrames,
  ) {}

  /**
   * _set_status_v1: sets GTF_reading, and GTF_writing to write, if the entry permits the use. What an entry in use grants,
   * and to whom, was decided when it was taken into use.
   * @param domid who is to use it
   * @returns GNTST_*
   */
  acquire(ref: number, domid: number, use: GrantUse, inUse: boolean): number {
    const at = this.#at(ref);
    const mask = use.map ? GTF_type_mask | GTF_sub_page : GTF_type_mask;
    let word = this.memory.atomicLoad32(at);
    for (let retries = 0; retries <= MAX_RETRIES; retries++) {
      const flags = word & 0xffff;
      if (!inUse && ((flags & mask) !== GTF_permit_access || word >>> 16 !== domid)) break;
      if (use.write && (flags & GTF_readonly) !== 0) break;
      const wanted = word | GTF_reading | (use.write ? GTF_writing : 0);
      const found = this.memory.compareExchange32(at, word, wanted);
      if (found === word) return GNTST_okay;
      word = found;
    }
    return GNTST_general_error;
  }

  /** Clears GTF_reading, GTF_writing or both. */
  release(ref: number, flags: number): void {
    this.memory.atomicAnd32(this.#at(ref), ~flags);
  }

  frame(ref: number): number {
    return this.memory.readU32(gpa(this.#at(ref) + FRAME));
  }

  flags(ref: number): number {
    return this.memory.atomicLoad32(this.#at(ref)) & 0xffff;
  }

  domid(ref: number): number {
    return this.memory.atomicLoad32(this.#at(ref)) >>> 16;
  }

  /** Makes an entry for the guest, as the toolstack does for the reserved ones (xc_dom_gnttab_seed). */
  seed(ref: number, domid: number, mfn: number): void {
    this.memory.writeU32(gpa(this.#at(ref) + FRAME), mfn);
    this.memory.atomicStore32(this.#at(ref), (domid << 16) | GTF_permit_access);
  }

  swap(a: number, b: number): void {
    const first = this.memory.readU64(this.#at(a));
    this.memory.writeU64(this.#at(a), this.memory.readU64(this.#at(b)));
    this.memory.writeU64(this.#at(b), first);
  }

  /** A frame that the guest gets starts empty, whatever it wrote there before. */
  clearFrame(index: number): void {
    this.memory.fill(gpa((this.frames.firstMfn + index) * PAGE), PAGE, 0);
  }

  #at(ref: number): Gpa {
    return gpa(this.frames.firstMfn * PAGE + ref * grant_entry_v1.size);
  }
}
