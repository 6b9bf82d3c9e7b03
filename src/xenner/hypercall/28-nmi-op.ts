/** do_nmi_op (xen/arch/x86/pv/callback.c): what kernels before callback_op use. */
import { EFAULT, ENOSYS } from '../abi/errno.js';
import { XENNMI_register_callback, XENNMI_unregister_callback, xennmi_callback } from '../abi/nmi.js';
import { __HYPERVISOR_nmi_op } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import type { Hypercall } from './call.js';
import { registerNmi, unregisterNmi } from './callbacks.js';

function nmi(vcpu: Vcpu, cmd: number, arg: bigint): number {
  switch (cmd) {
    case XENNMI_register_callback: {
      const op = vcpu.guest.readStruct(xennmi_callback, arg);
      return op === undefined ? -EFAULT : registerNmi(vcpu, op.handler_address);
    }
    case XENNMI_unregister_callback:
      unregisterNmi(vcpu);
      return 0;
    default:
      return -ENOSYS;
  }
}

export const nmi_op: Hypercall = {
  number: __HYPERVISOR_nmi_op,
  name: 'nmi_op',
  handler: (vcpu, args) => nmi(vcpu, args.u32(0), args.u64(1)),
};
