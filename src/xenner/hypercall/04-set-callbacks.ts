/** do_set_callbacks (xen/arch/x86/pv/callback.c): what kernels before callback_op use. */
import { CALLBACKTYPE_event, CALLBACKTYPE_failsafe, CALLBACKTYPE_syscall } from '../abi/callback.js';
import { __HYPERVISOR_set_callbacks } from '../abi/xen.js';
import type { Hypercall } from './call.js';
import { registerCallback } from './callbacks.js';

export const set_callbacks: Hypercall = {
  number: __HYPERVISOR_set_callbacks,
  name: 'set_callbacks',
  handler: (vcpu, args) => {
    // A bad address leaves its callback as it was and is not reported.
    registerCallback(vcpu, CALLBACKTYPE_event, 0, args.u64(0));
    registerCallback(vcpu, CALLBACKTYPE_failsafe, 0, args.u64(1));
    registerCallback(vcpu, CALLBACKTYPE_syscall, 0, args.u64(2));
    return 0;
  },
};
