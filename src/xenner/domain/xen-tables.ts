/** What Xen's tables about frames hold when a guest begins. */
import { type Gpa, type GuestMemory, gpa } from '../../kvm/index.js';
import { PAGE, type XenFrames } from '../monitor/frames.js';
import { PGC_shared, PGC_xen } from '../monitor/vcpu-area.js';

const UNMAPPED_M2P = 0xffffffff;
const ENTRY_BYTES = 8;

/** MFN == pfn for the guest's own frames; Xen's have none (INVALID_M2P_ENTRY). */
export function fillM2p(memory: GuestMemory, frames: XenFrames): void {
  for (let page = 0; page < frames.m2pPages; page++) {
    const bytes = memory.bytes(gpa(frames.m2p + page * PAGE), PAGE);
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, PAGE / 4);
    for (let i = 0; i < words.length; i += 2) {
      const mfn = page * (PAGE / ENTRY_BYTES) + i / 2;
      words[i] = mfn < frames.nrPages ? mfn : UNMAPPED_M2P;
      if (mfn >= frames.nrPages) words[i + 1] = UNMAPPED_M2P;
    }
  }
}

/** Page types: of Xen's frames the guest may map those that are shared with it. */
export function markXenFrames(memory: GuestMemory, frames: XenFrames): void {
  const mark = (mfn: number, type: number) => {
    memory.writeU32(gpa(frames.pageInfo + mfn * ENTRY_BYTES), type);
  };
  const share = (address: Gpa, count: number) => {
    for (let i = 0; i < count; i++) mark(address / PAGE + i, PGC_shared);
  };
  for (let mfn = frames.nrPages; mfn < frames.totalPages; mfn++) mark(mfn, PGC_xen);
  share(frames.sharedInfo, 1);
  share(frames.grantFrames, frames.nrGrantFrames);
}
