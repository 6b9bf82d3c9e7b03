/** Page-table entries as two 32-bit halves, and what Xen allows in them (xen/arch/x86/mm.c). */

export const PAGE_PRESENT = 1;
export const PAGE_RW = 2;
export const PAGE_PSE = 0x80;
export const PAGE_ACCESSED_DIRTY = 0x60;
/** PWT, PCD and PAT: cache attributes of an L1 entry. */
export const PAGE_CACHE_ATTRS = 0x98;
/** base_disallow_mask: PWT, PCD, PSE and GLOBAL. */
export const TABLE_DISALLOWED = 0x198;
export const NR_ENTRIES = 512;

const ADDRESS_HIGH = 0xfffff;
/** Without FASTPATH_FLAG_WHITELIST: an entry that keeps these keeps its references. */
const REFERENCE_LOW = ~0xf64;
/** A frame number that no guest has. */
const NO_FRAME = 0x7fffffff;
/** Frames that fit below 2^28 (1 TiB) are told apart; that is beyond any guest. */
const FAR_HIGH = 0xfff00;

export function entryMfn(low: number, high: number): number {
  return (high & FAR_HIGH) === 0 ? ((high & 0xff) << 20) | (low >>> 12) : NO_FRAME;
}

/** The frame number that marks no frame at all: PADDR_MASK >> PAGE_SHIFT. */
export function isInvalidMfn(low: number, high: number): boolean {
  return (high & ADDRESS_HIGH) === ADDRESS_HIGH && low >>> 12 === ADDRESS_HIGH;
}

/** Whether two present entries hold the same references. */
export function sameReference(low: number, high: number, otherLow: number, otherHigh: number): boolean {
  return ((low ^ otherLow) & REFERENCE_LOW) === 0 && ((high ^ otherHigh) & ADDRESS_HIGH) === 0;
}
