/** What the operations that move frames share. */
import { gpa } from '../../../kvm/guest-memory.js';
import type { Domain } from '../../domain/domain-state.js';
import { PAGE } from '../../monitor/frames.js';

/** CONFIG_DOMU_MAX_ORDER: the largest extent of a domU is 2 MiB. */
export const MAX_ORDER = 9;
export const XEN_PFN_BYTES = 8;
export const M2P_ENTRY_BYTES = 8;
const PAGE_SHIFT = 12;
const ADDRESS_BITS_MASK = 0xff;
const INVALID_M2P_ENTRY = (1n << 64n) - 1n;

/** XENMEMF_address_bits: the first frame that is too high, or undefined for a limit that no frame is below. */
export function addressEnd(memFlags: number): number | undefined {
  const bits = memFlags & ADDRESS_BITS_MASK;
  if (bits === 0) return Infinity;
  return bits <= PAGE_SHIFT ? undefined : 2 ** (bits - PAGE_SHIFT);
}

/** `count` of the guest's frames are `gpfn` and the following ones to it; undefined: none of its own any more. */
export function setM2p({ memory, m2p }: Domain, mfn: number, count: number, gpfn: bigint | undefined): void {
  for (let i = 0; i < count; i++) {
    const entry = gpfn === undefined ? INVALID_M2P_ENTRY : BigInt.asUintN(64, gpfn + BigInt(i));
    memory.writeU64(gpa(m2p + (mfn + i) * M2P_ENTRY_BYTES), entry);
  }
}

/**
 * Frames that went to the host, or came back from it: what was in them is gone, and they take no memory until they are touched.
 * In both directions, as a back end, or a CPU with a stale TLB, may have written to one that was nobody's.
 */
export function discardFrames(domain: Domain, mfns: readonly number[]): void {
  const sorted = Uint32Array.from(mfns).sort();
  for (let i = 0; i < sorted.length; ) {
    const first = i;
    do i++;
    while (i < sorted.length && sorted[i]! <= sorted[i - 1]! + 1);
    const bytes = (sorted[i - 1]! + 1 - sorted[first]!) * PAGE;
    domain.memory.discard(gpa(sorted[first]! * PAGE), bytes);
    domain.codeWritten(gpa(sorted[first]! * PAGE), bytes);
  }
}
