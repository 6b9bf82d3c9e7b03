/** ptwr: the guest wrote an L1 entry through a read-only mapping, and the monitor asks whether it may stand. */
import { type Gpa, gpa } from '../../kvm/guest-memory.js';
import { EINVAL } from '../abi/errno.js';
import { PGT_l1_page_table } from '../monitor/vcpu-area.js';
import type { PageTypes } from './page-types.js';

const PAGE = 4096;
const MAX_ADDRESS = 2n ** 52n;

/**
 * Takes the references of `value` and drops those of `old`: 0, or an errno where the monitor puts `old` back and the
 * guest gets its page fault (ptwr_emulated_update, xen/arch/x86/pv/ro-page-fault.c). The monitor is the guest's to
 * break: the three numbers are any.
 */
export function commitL1Write(
  domain: { readonly pages: PageTypes },
  entryAt: bigint,
  old: bigint,
  value: bigint,
): number {
  if (entryAt >= MAX_ADDRESS || (entryAt & 7n) !== 0n) return -EINVAL;
  const at: Gpa = gpa(Number(entryAt));
  const { pages } = domain;
  const mfn = Math.floor(at / PAGE);
  if (mfn >= pages.nrPages || pages.typeOf(mfn) !== PGT_l1_page_table) return -EINVAL;
  const half = (word: bigint, shift: bigint) => Number((word >> shift) & 0xffffffffn);
  return pages.l1EntryWritten(half(old, 0n), half(old, 32n), half(value, 0n), half(value, 32n));
}
