/** Checks on linear addresses that a guest hands over, before anything follows them. */
import { HOLE_END } from '../monitor/vcpu-area.js';

const LOWER_HALF_END = 1n << 47n;
const UPPER_HALF_START = 0xffff800000000000n;

/** is_canonical_address (xen/arch/x86/include/asm/x86_64/page.h) */
export function isCanonical(address: bigint): boolean {
  return address < LOWER_HALF_END || address >= UPPER_HALF_START;
}

/**
 * access_ok (xen/arch/x86/include/asm/x86_64/uaccess.h): canonical, and not in Xen's hole. It looks at the first byte
 * only: what follows is checked as it is copied.
 */
export function accessOk(address: bigint): boolean {
  return address < LOWER_HALF_END || address >= HOLE_END;
}
