/** Which segment descriptors a guest may have (check_descriptor, xen/arch/x86/x86_64/mm.c). */
import { NR_ENTRIES } from './entry.js';

const SEGMENT_P = 1 << 15;
const SEGMENT_DPL = 3 << 13;
const SEGMENT_S = 1 << 12;
const SEGMENT_TYPE = 0xf << 8;
const TYPE_CALL_GATE = 0xc << 8;
/** Of a 64-bit call gate's second word. */
const GATE_RESERVED = 0xff;
/** A 64-bit guest kernel on Xen runs in ring 3: GUEST_KERNEL_RPL. It loads these in ring 1 here, which 3 allows as well. */
const GUEST_KERNEL_RPL = 3;
const FLAT_KERNEL_CS = 0xe033;
/** Entries that are the guest's; Xen's own follow (FIRST_RESERVED_GDT_ENTRY). */
export const FIRST_RESERVED_GDT_ENTRY = 14 * NR_ENTRIES;

/** guest_gate_selector_okay */
function gateSelectorAllowed(selector: number): boolean {
  return selector >>> 3 < FIRST_RESERVED_GDT_ENTRY || selector === FLAT_KERNEL_CS || (selector & 4) !== 0;
}

/** Checks the descriptor in words[at] and words[at + 1], and raises its DPL as Xen does. */
export function descriptorAllowed(words: Uint32Array, at: number): boolean {
  const low = words[at]!;
  const high = words[at + 1]!;
  // One that is not present only faults.
  if ((high & SEGMENT_P) === 0) return true;
  const dpl = Math.max((high >>> 13) & 3, GUEST_KERNEL_RPL);
  const raised = (high & ~SEGMENT_DPL) | (dpl << 13);
  if ((high & SEGMENT_S) !== 0) {
    if (raised !== (high | 0)) words[at + 1] = raised;
    return true;
  }
  const type = high & SEGMENT_TYPE;
  // The second half of a call gate.
  if (type === 0) return true;
  const selector = low >>> 16;
  if (type !== TYPE_CALL_GATE || !gateSelectorAllowed(selector) || (high & GATE_RESERVED) !== 0) return false;
  // No ring may go through it directly; its own DPL is kept in the selector's RPL, as Xen keeps it.
  words[at] = (low & 0xffff) | (((selector & ~3) | dpl) << 16);
  words[at + 1] = high & ~SEGMENT_DPL;
  return true;
}

/** validate_segdesc_page: a page of descriptors, each of them fixed up. */
export function descriptorsAllowed(page: Uint32Array): boolean {
  for (let i = 0; i < NR_ENTRIES; i++) if (!descriptorAllowed(page, i * 2)) return false;
  return true;
}
