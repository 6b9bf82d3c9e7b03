/** Checks on linear addresses that a guest hands over, before anything follows them. */

const LOWER_HALF_END = 1n << 47n;
const UPPER_HALF_START = 0xffff800000000000n;

/** is_canonical_address (xen/arch/x86/include/asm/x86_64/page.h) */
export function isCanonical(address: bigint): boolean {
  return address < LOWER_HALF_END || address >= UPPER_HALF_START;
}
