/**
 * Page types and their counts: the rules of xen/arch/x86/mm.c that a guest can see. A frame is a page table of one
 * level, a descriptor page, or writable, never two at once; a table is checked whole when it becomes one. The twin is
 * native/monitor/mm.c: both work on the same page_info array and the same tables, and either may run at any time.
 */
import type { Gpa, GuestMemory } from '../../kvm/guest-memory.js';
import { EACCES, EBUSY, EINVAL, EPERM } from '../abi/errno.js';
import {
  DIRECT_SLOT,
  type DomainArea,
  HOLE_FIRST_SLOT,
  HOLE_LAST_SLOT,
  PENDING_CR3,
  PENDING_FLUSH_ALL,
  PGC_shared,
  PGC_xen,
  PGT_count_mask,
  PGT_count_one,
  PGT_l1_page_table,
  PGT_l4_page_table,
  PGT_none,
  PGT_pinned,
  PGT_seg_desc_page,
  PGT_type_mask,
  PGT_writable_page,
  XEN_SLOT,
} from '../monitor/vcpu-area.js';
import { descriptorsAllowed } from './descriptors.js';
import * as pte from './entry.js';
import { FrameTable, FrameWords } from './frame-words.js';

const COUNT_SHIFT = 8;
const MAX_COUNT = PGT_count_mask >>> COUNT_SHIFT;

/** Where the monitor is told to flush: the vCPU that makes the call. */
export interface Pending {
  addPending(bits: number): void;
}

/** What page types need of a domain. */
export interface PageTypesDomain {
  readonly memory: GuestMemory;
  readonly area: DomainArea;
  /** One u64 a frame: see vcpu_area.h. */
  readonly pageInfo: Gpa;
  readonly m2p: Gpa;
  readonly nrPages: number;
  readonly totalPages: number;
}

export class PageTypes {
  readonly nrPages: number;
  readonly totalPages: number;
  readonly #info: FrameTable;
  readonly #m2p: FrameTable;
  readonly frames: FrameWords;
  readonly #flushClock: Uint32Array;
  readonly #staleFlush: number;
  /** Contents of the hole's two slots; taken once, out of the guest's reach. */
  readonly #holeSlots: readonly { index: number; low: number; high: number }[];

  constructor(domain: PageTypesDomain) {
    this.nrPages = domain.nrPages;
    this.totalPages = domain.totalPages;
    this.#info = new FrameTable(domain.memory, domain.pageInfo);
    this.#m2p = new FrameTable(domain.memory, domain.m2p);
    this.frames = new FrameWords(domain.memory);
    this.#flushClock = domain.area.halves('flush_clock');
    this.#staleFlush = domain.area.low('nr_vcpus') > 1 ? PENDING_FLUSH_ALL : PENDING_CR3;
    const slot = (index: number, entry: bigint) => ({
      index,
      low: Number(entry & 0xffffffffn),
      high: Number(entry >> 32n),
    });
    this.#holeSlots = [
      slot(XEN_SLOT, domain.area.get('xen_l4_entry')),
      slot(DIRECT_SLOT, domain.area.get('direct_l4_entry')),
    ];
  }

  /**
   * The first tables as the domain builder made them: what validating and pinning the L4 and vCPU 0's reference to it would come to.
   * @param tables the L4 first
   * @param writable frames that they map writable, once
   */
  adoptInitialTables(
    tables: readonly { level: number; pfn: number }[],
    writable: readonly { pfn: number; pages: number }[],
  ): void {
    for (const { pfn, pages } of writable) this.#info.fill(pfn, pages, PGT_writable_page | PGT_count_one);
    for (const { level, pfn } of tables) this.#info.setLow(pfn, level | PGT_count_one);
    const l4 = tables[0]!.pfn;
    this.#info.setLow(l4, PGT_l4_page_table | PGT_pinned | (2 * PGT_count_one));
    this.#fillHole(l4);
  }

  /** PGT_* with a reference, otherwise PGT_none; PGT_none too for frames that are not the guest's. */
  typeOf(mfn: number): number {
    if (!this.isOwned(mfn)) return PGT_none;
    const info = this.#info.low(mfn);
    return (info & PGT_count_mask) === 0 ? PGT_none : info & PGT_type_mask;
  }

  /** The guest's RAM, and what Xen shares with it. */
  isOwned(mfn: number): boolean {
    return mfn < this.totalPages && (this.#info.low(mfn) & PGC_xen) === 0;
  }

  isPinned(mfn: number): boolean {
    return (this.#info.low(mfn) & PGT_pinned) !== 0;
  }

  /** A table that something besides its own pin refers to: a CPU may have cached what it held. */
  isInUse(mfn: number): boolean {
    return this.#info.low(mfn) >>> COUNT_SHIFT > (this.isPinned(mfn) ? 1 : 0);
  }

  /** MMU_MACHPHYS_UPDATE (set_gpfn_from_mfn). */
  setM2p(mfn: number, low: number, high: number): number {
    if (mfn >= this.nrPages || (this.#info.low(mfn) & PGC_xen) !== 0) return -EINVAL;
    this.#m2p.setLow(mfn, low);
    this.#m2p.setHigh(mfn, high);
    return 0;
  }

  /** get_page_and_type: a reference to a frame as a table, a descriptor page or a writable page. */
  getPageType(v: Pending, mfn: number, type: number): number {
    if (type === PGT_writable_page) return this.isOwned(mfn) ? this.#getWritable(mfn) : -EINVAL;
    if (mfn >= this.nrPages) return -EINVAL;
    const info = this.#info.low(mfn);
    if ((info & (PGC_xen | PGC_shared)) !== 0) return -EINVAL;
    if ((info & PGT_count_mask) !== 0) {
      if ((info & PGT_type_mask) !== type || info >>> COUNT_SHIFT === MAX_COUNT) return -EINVAL;
      this.#info.setLow(mfn, info + PGT_count_one);
      return 0;
    }
    // A stale writable translation must not outlive the change of type (get_page_type's flush).
    if (this.#info.high(mfn) === this.#flushClock[0]) v.addPending(this.#staleFlush);
    this.#info.setLow(mfn, ((info & ~PGT_type_mask) | type) + PGT_count_one);
    this.#info.setHigh(mfn, 0);
    const error = this.#validate(v, mfn, type);
    if (error !== 0) this.#forget(mfn);
    return error;
  }

  putPageType(v: Pending, mfn: number, type: number): void {
    if (type === PGT_writable_page) {
      if (this.isOwned(mfn)) this.#putWritable(mfn);
    } else this.#putType(v, mfn, type, false);
  }

  pin(v: Pending, mfn: number, type: number): number {
    const error = this.getPageType(v, mfn, type);
    if (error !== 0) return error;
    const info = this.#info.low(mfn);
    if ((info & PGT_pinned) !== 0) {
      this.putPageType(v, mfn, type);
      return -EINVAL;
    }
    this.#info.setLow(mfn, info | PGT_pinned);
    return 0;
  }

  unpin(v: Pending, mfn: number): number {
    if (mfn >= this.nrPages) return -EINVAL;
    const info = this.#info.low(mfn);
    if ((info & PGT_pinned) === 0) return -EINVAL;
    this.#info.setLow(mfn, info & ~PGT_pinned);
    this.#putType(v, mfn, info & PGT_type_mask, false);
    return 0;
  }

  /**
   * mod_l1_entry .. mod_l4_entry on a frame that has this type. `preserveAd` keeps the A and D bits of the old entry
   * (MMU_PT_UPDATE_PRESERVE_AD); `foreign` is for DOMID_IO, which owns no RAM.
   */
  modEntry(
    v: Pending,
    level: number,
    mfn: number,
    index: number,
    low: number,
    high: number,
    preserveAd: boolean,
    foreign: boolean,
  ): number {
    if (isHoleSlot(level, index)) return -EINVAL;
    const words = this.frames.words(mfn);
    const at = this.frames.base(mfn) + index * 2;
    const oldLow = words[at]!;
    const oldHigh = words[at + 1]!;
    const present = (low & pte.PAGE_PRESENT) !== 0;
    if (present && level !== PGT_l1_page_table && (low & pte.TABLE_DISALLOWED) !== 0) return -EINVAL;
    if (present && pte.sameReference(low, high, oldLow, oldHigh)) {
      this.#store(mfn, index, low, high, preserveAd);
      return 0;
    }
    if (present) {
      const error = this.#getEntry(v, mfn, level, low, high, foreign);
      if (error !== 0) return error;
    }
    this.#store(mfn, index, low, high, preserveAd);
    this.#putEntry(v, mfn, level, oldLow, oldHigh, false);
    return 0;
  }

  /** The guest wrote an L1 entry itself (ptwr): takes the new entry's references and drops the old one's. */
  l1EntryWritten(oldLow: number, oldHigh: number, low: number, high: number): number {
    if ((low & pte.PAGE_PRESENT) !== 0) {
      const error = this.#getL1(low, high, false);
      if (error !== 0) return error;
    }
    if ((oldLow & pte.PAGE_PRESENT) !== 0) this.#putL1(oldLow, oldHigh);
    return 0;
  }

  #store(mfn: number, index: number, low: number, high: number, preserveAd: boolean): void {
    if (preserveAd) this.frames.storeEntryKeeping(mfn, index, low, high, pte.PAGE_ACCESSED_DIRTY);
    else this.frames.storeEntry(mfn, index, low, high);
  }

  #getWritable(mfn: number): number {
    const info = this.#info.low(mfn);
    const count = info >>> COUNT_SHIFT;
    if (count !== 0 && (info & PGT_type_mask) !== PGT_writable_page) return -EBUSY;
    if (count === MAX_COUNT) return -EBUSY;
    this.#info.setLow(mfn, ((info & ~PGT_type_mask) | PGT_writable_page) + PGT_count_one);
    return 0;
  }

  #putWritable(mfn: number): void {
    const info = this.#info.low(mfn);
    if ((info & PGT_count_mask) === 0 || (info & PGT_type_mask) !== PGT_writable_page) return;
    const left = info - PGT_count_one;
    if ((left & PGT_count_mask) !== 0) {
      this.#info.setLow(mfn, left);
      return;
    }
    this.#info.setLow(mfn, left & ~PGT_type_mask);
    this.#info.setHigh(mfn, this.#flushClock[0]!);
  }

  /** get_page_from_l1e: a writable mapping is a reference to a writable page. */
  #getL1(low: number, high: number, foreign: boolean): number {
    const mfn = pte.entryMfn(low, high);
    if (mfn >= this.totalPages) return pte.isInvalidMfn(low, high) ? -EINVAL : -EPERM;
    if (foreign) return -EBUSY;
    const info = this.#info.low(mfn);
    if ((info & (PGC_xen | PGC_shared)) !== 0) {
      if ((info & PGC_xen) !== 0) return -EBUSY;
      return (low & pte.PAGE_CACHE_ATTRS) !== 0 ? -EACCES : 0;
    }
    return (low & pte.PAGE_RW) !== 0 ? this.#getWritable(mfn) : 0;
  }

  #putL1(low: number, high: number): void {
    const mfn = pte.entryMfn(low, high);
    if ((low & pte.PAGE_RW) === 0 || mfn >= this.totalPages) return;
    if ((this.#info.low(mfn) & (PGC_xen | PGC_shared)) === 0) this.#putWritable(mfn);
  }

  /** get_page_from_l1e .. get_page_from_l4e, for a present entry of the table in `mfn`. */
  #getEntry(v: Pending, mfn: number, level: number, low: number, high: number, foreign: boolean): number {
    if (level === PGT_l1_page_table) return this.#getL1(low, high, foreign);
    if ((low & pte.TABLE_DISALLOWED) !== 0) return -EINVAL;
    const target = pte.entryMfn(low, high);
    const error = this.getPageType(v, target, level - 1);
    return error === -EINVAL && this.#getLinear(mfn, level, target, low) ? 0 : error;
  }

  /**
   * get_linear_pagetable: an entry may refer read-only to a table of its own level, so that the tables show up in the
   * address space. A table that holds such entries cannot itself be referred to so: page_info's upper half counts its
   * entries, or below zero its users (linear_pt_count).
   */
  #getLinear(mfn: number, level: number, target: number, low: number): boolean {
    if ((low & pte.PAGE_RW) !== 0) return false;
    if (target === mfn) return true;
    if (target >= this.nrPages || this.typeOf(target) !== level) return false;
    const entries = this.#info.high(mfn) | 0;
    const uses = this.#info.high(target) | 0;
    const info = this.#info.low(target);
    if (entries < 0 || uses > 0 || info >>> COUNT_SHIFT === MAX_COUNT) return false;
    this.#info.setHigh(mfn, entries + 1);
    this.#info.setHigh(target, uses - 1);
    this.#info.setLow(target, info + PGT_count_one);
    return true;
  }

  /** put_page_from_l1e .. put_page_from_l4e. `linear`: already below a linear entry, which can hold no other. */
  #putEntry(v: Pending, mfn: number, level: number, low: number, high: number, linear: boolean): void {
    if ((low & pte.PAGE_PRESENT) === 0) return;
    if (level === PGT_l1_page_table) {
      this.#putL1(low, high);
      return;
    }
    const target = pte.entryMfn(low, high);
    if (target === mfn) return;
    if (this.typeOf(target) !== level) {
      this.#putType(v, target, level - 1, linear);
    } else if (!linear && target < this.nrPages) {
      this.#info.setHigh(target, this.#info.high(target) + 1);
      this.#info.setHigh(mfn, this.#info.high(mfn) - 1);
      this.#putType(v, target, level, true);
    }
  }

  #putType(v: Pending, mfn: number, type: number, linear: boolean): void {
    if (mfn >= this.nrPages) return;
    const info = this.#info.low(mfn);
    if ((info & PGT_count_mask) === 0 || (info & PGT_type_mask) !== type) return;
    this.#info.setLow(mfn, info - PGT_count_one);
    if (((info - PGT_count_one) & PGT_count_mask) !== 0) return;
    this.#putEntries(v, mfn, type, pte.NR_ENTRIES, linear);
    this.#forget(mfn);
  }

  #putEntries(v: Pending, mfn: number, type: number, end: number, linear: boolean): void {
    if (type < PGT_l1_page_table || type > PGT_l4_page_table) return;
    const words = this.frames.words(mfn);
    const base = this.frames.base(mfn);
    for (let i = 0; i < end; i++) {
      const low = words[base + i * 2]!;
      if ((low & pte.PAGE_PRESENT) !== 0 && !isHoleSlot(type, i))
        this.#putEntry(v, mfn, type, low, words[base + i * 2 + 1]!, linear);
    }
  }

  /** No type, no count, no stamp. */
  #forget(mfn: number): void {
    this.#info.setLow(mfn, this.#info.low(mfn) & ~(PGT_type_mask | PGT_count_mask));
    this.#info.setHigh(mfn, 0);
  }

  /** alloc_l1_table .. alloc_l4_table and alloc_segdesc_page: all entries, or none. */
  #validate(v: Pending, mfn: number, type: number): number {
    if (type === PGT_seg_desc_page) return descriptorsAllowed(this.frames.page(mfn)) ? 0 : -EINVAL;
    const words = this.frames.words(mfn);
    const base = this.frames.base(mfn);
    for (let i = 0; i < pte.NR_ENTRIES; i++) {
      const low = words[base + i * 2]!;
      if ((low & pte.PAGE_PRESENT) === 0 || isHoleSlot(type, i)) continue;
      const error = this.#getEntry(v, mfn, type, low, words[base + i * 2 + 1]!, false);
      if (error !== 0) {
        this.#putEntries(v, mfn, type, i, false);
        return error;
      }
    }
    if (type === PGT_l4_page_table) this.#fillHole(mfn);
    return 0;
  }

  /** init_xen_l4_slots: whatever the guest had there is overwritten. */
  #fillHole(mfn: number): void {
    for (let slot = HOLE_FIRST_SLOT; slot <= HOLE_LAST_SLOT; slot++) this.frames.storeEntry(mfn, slot, 0, 0);
    for (const slot of this.#holeSlots) this.frames.storeEntry(mfn, slot.index, slot.low, slot.high);
  }
}

function isHoleSlot(level: number, index: number): boolean {
  return level === PGT_l4_page_table && index >= HOLE_FIRST_SLOT && index <= HOLE_LAST_SLOT;
}
