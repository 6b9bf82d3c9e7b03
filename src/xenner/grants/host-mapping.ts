/**
 * Granted frames in a guest's page tables (xen/arch/x86/pv/grant_table.c): an L1 entry is written for the guest, with the
 * references that any other entry takes.
 */
import {
  GNTMAP_application_map,
  GNTMAP_contains_pte,
  GNTMAP_readonly,
  GNTST_general_error,
  GNTST_okay,
} from '../abi/grant-table.js';
import type { Vcpu } from '../domain/vcpu.js';
import { entryMfn, PAGE_ACCESSED_DIRTY, PAGE_PRESENT, PAGE_RW } from '../mm/entry.js';
import { addressOk } from '../mm/guest-list.js';
import { PGT_l1_page_table } from '../monitor/vcpu-area.js';

const PAGE = 4096;
const PAGE_USER = 4;
/** _PAGE_NX, in the upper half of an entry. */
const PAGE_NX_HIGH = 0x80000000;
/** _PAGE_AVAIL holds GNTMAP_guest_avail0 and up. */
const AVAIL_SHIFT = 9;
const AVAIL_MASK = 7;
const GUEST_AVAIL_SHIFT = 16;

interface EntryPlace {
  readonly mfn: number;
  readonly index: number;
}

interface Entry {
  readonly low: number;
  readonly high: number;
}

const EMPTY: Entry = { low: 0, high: 0 };

/** create_grant_pv_mapping. @param address linear, or of the entry itself with GNTMAP_contains_pte. @returns GNTST_* */
export function createHostMapping(vcpu: Vcpu, address: bigint, mfn: number, flags: number): number {
  const place = findEntry(vcpu, address, flags);
  return place !== undefined && write(vcpu, place, grantEntry(mfn, flags)) ? GNTST_okay : GNTST_general_error;
}

/**
 * replace_grant_pv_mapping: takes the mapping away, and moves the entry of `newAddress` to its place unless that is 0.
 * As in Xen an entry that was taken for a move which then fails is lost.
 */
export function replaceHostMapping(
  vcpu: Vcpu,
  address: bigint,
  mfn: number,
  newAddress: bigint,
  flags: number,
): number {
  let entry = EMPTY;
  if (newAddress !== 0n) {
    if ((flags & GNTMAP_contains_pte) !== 0) return GNTST_general_error;
    const source = findEntry(vcpu, newAddress, flags);
    if (source === undefined) return GNTST_general_error;
    entry = read(vcpu, source);
    write(vcpu, source, EMPTY);
  }
  const place = findEntry(vcpu, address, flags);
  if (place === undefined || !maps(read(vcpu, place), grantEntry(mfn, flags))) return GNTST_general_error;
  return write(vcpu, place, entry) ? GNTST_okay : GNTST_general_error;
}

/** grant_to_pte_flags. The kernel's own mappings are supervisor pages here, as it runs in ring 1. */
function grantEntry(mfn: number, flags: number): Entry {
  const user = (flags & GNTMAP_application_map) !== 0 ? PAGE_USER : 0;
  const writable = (flags & GNTMAP_readonly) === 0 ? PAGE_RW : 0;
  const available = ((flags >>> GUEST_AVAIL_SHIFT) & AVAIL_MASK) << AVAIL_SHIFT;
  return {
    low: ((mfn << 12) | PAGE_PRESENT | PAGE_ACCESSED_DIRTY | user | writable | available) >>> 0,
    high: ((mfn >>> 20) | PAGE_NX_HIGH) >>> 0,
  };
}

/** The same frame with the same rights; what else the guest changed meanwhile is its own affair. */
function maps(entry: Entry, wanted: Entry): boolean {
  return (
    entryMfn(entry.low, entry.high) === entryMfn(wanted.low, wanted.high) &&
    ((entry.low ^ wanted.low) & (PAGE_PRESENT | PAGE_RW)) === 0
  );
}

/** The entry, if it stands in a page that is an L1 table now. */
function findEntry(vcpu: Vcpu, address: bigint, flags: number): EntryPlace | undefined {
  let at = -1;
  if ((flags & GNTMAP_contains_pte) === 0) at = addressOk(address) ? vcpu.guest.l1EntryOf(address) : -1;
  else if ((address & 7n) === 0n) at = Number(address);
  const mfn = Math.floor(at / PAGE);
  if (at < 0 || vcpu.domain.pages.typeOf(mfn) !== PGT_l1_page_table) return undefined;
  return { mfn, index: (at % PAGE) / 8 };
}

function read(vcpu: Vcpu, { mfn, index }: EntryPlace): Entry {
  const { frames } = vcpu.domain.pages;
  const at = frames.base(mfn) + index * 2;
  return { low: frames.words(mfn)[at]!, high: frames.words(mfn)[at + 1]! };
}

function write(vcpu: Vcpu, { mfn, index }: EntryPlace, { low, high }: Entry): boolean {
  return vcpu.domain.pages.modEntry(vcpu, PGT_l1_page_table, mfn, index, low, high, false, false) === 0;
}
