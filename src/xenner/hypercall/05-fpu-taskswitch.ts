/** do_fpu_taskswitch (xen/arch/x86/pv/misc-hypercalls.c): CR0.TS, which only the guest's own kernel looks at. */
import { __HYPERVISOR_fpu_taskswitch } from '../abi/xen.js';
import { PENDING_CR0_TS } from '../monitor/vcpu-area.js';
import type { Hypercall } from './call.js';

export const fpu_taskswitch: Hypercall = {
  number: __HYPERVISOR_fpu_taskswitch,
  name: 'fpu_taskswitch',
  handler: (vcpu, args) => {
    vcpu.area.setLow('cr0_ts', args.s32(0) !== 0 ? 1 : 0);
    vcpu.addPending(PENDING_CR0_TS);
    return 0;
  },
};
