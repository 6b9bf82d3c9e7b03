/** do_set_segment_base (xen/arch/x86/pv/misc-hypercalls.c). */
import { SEGBASE_FS, SEGBASE_GS_KERNEL, SEGBASE_GS_USER, SEGBASE_GS_USER_SEL } from '../abi/arch-x86.js';
import { EINVAL } from '../abi/errno.js';
import { __HYPERVISOR_set_segment_base } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import * as monitor from '../monitor/vcpu-area.js';
import { isCanonical } from './addresses.js';
import type { Hypercall } from './call.js';

const BASES = {
  [SEGBASE_FS]: ['fs_base', monitor.PENDING_FS_BASE],
  [SEGBASE_GS_USER]: ['gs_base_user', monitor.PENDING_GS_BASE_USER],
  [SEGBASE_GS_KERNEL]: ['gs_base_kernel', monitor.PENDING_GS_BASE_KERNEL],
} as const;

function setBase(vcpu: Vcpu, which: number, base: bigint): number {
  switch (which) {
    case SEGBASE_FS:
    case SEGBASE_GS_USER:
    case SEGBASE_GS_KERNEL: {
      if (!isCanonical(base)) return -EINVAL;
      const [register, pending] = BASES[which];
      vcpu.area.set(register, base);
      vcpu.addPending(pending);
      return 0;
    }
    case SEGBASE_GS_USER_SEL:
      // A selector that cannot be loaded becomes null, without an error: the monitor's part.
      vcpu.area.set('gs_selector', base & 0xffffn);
      vcpu.addPending(monitor.PENDING_GS_SELECTOR);
      return 0;
    default:
      return -EINVAL;
  }
}

export const set_segment_base: Hypercall = {
  number: __HYPERVISOR_set_segment_base,
  name: 'set_segment_base',
  handler: (vcpu, args) => setBase(vcpu, args.u32(0), args.u64(1)),
};
