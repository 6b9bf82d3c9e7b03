/** do_platform_op (xen/arch/x86/platform_hypercall.c). */
import { __HYPERVISOR_platform_op } from '../abi/xen.js';
import type { Hypercall } from './call.js';
import { refuseControlOp } from './control-call.js';

/** XENPF_INTERFACE_VERSION */
const INTERFACE_VERSION = 0x03000001;
/** sizeof(struct xen_platform_op) */
const OP_BYTES = 136;

export const platform_op: Hypercall = {
  number: __HYPERVISOR_platform_op,
  name: 'platform_op',
  handler: (vcpu, args) => refuseControlOp(vcpu, args.u64(0), OP_BYTES, INTERFACE_VERSION),
};
