/** do_stack_switch (xen/arch/x86/pv/misc-hypercalls.c). */
import { __HYPERVISOR_stack_switch } from '../abi/xen.js';
import type { Hypercall } from './call.js';

export const stack_switch: Hypercall = {
  number: __HYPERVISOR_stack_switch,
  name: 'stack_switch',
  handler: (vcpu, args) => {
    // The monitor enters the kernel with a stack segment of its own, whatever the first argument asks for.
    vcpu.area.set('kernel_sp', args.u64(1));
    return 0;
  },
};
