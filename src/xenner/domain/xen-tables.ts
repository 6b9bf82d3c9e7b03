/** What Xen's tables about frames hold when a guest begins. */
import { type GuestMemory, gpa } from '../../kvm/index.js';
import { PAGE, type XenFrames } from '../monitor/frames.js';
import { PGC_shared, PGC_xen } from '../monitor/vcpu-area.js';

const ENTRY_BYTES = 8;
/** INVALID_M2P_ENTRY */
const UNMAPPED_M2P = 0xffffffffffffffffn;

/** MFN == pfn for the guest's own frames; Xen's have none. */
export function fillM2p(memory: GuestMemory, { m2p, m2pPages, nrPages }: XenFrames): void {
  memory.fillEntries(m2p, nrPages, 0n, 1n);
  const rest = (m2pPages * PAGE) / ENTRY_BYTES - nrPages;
  memory.fillEntries(gpa(m2p + nrPages * ENTRY_BYTES), rest, UNMAPPED_M2P);
}

/** Page types: of Xen's frames the guest may map those that are shared with it. */
export function markXenFrames(memory: GuestMemory, frames: XenFrames): void {
  const mark = (mfn: number, count: number, type: number) => {
    memory.fillEntries(gpa(frames.pageInfo + mfn * ENTRY_BYTES), count, BigInt(type));
  };
  mark(frames.nrPages, frames.totalPages - frames.nrPages, PGC_xen);
  mark(frames.sharedInfo / PAGE, 1, PGC_shared);
  mark(frames.grantFrames / PAGE, frames.nrGrantFrames, PGC_shared);
}
