/** do_sysctl (xen/common/sysctl.c). */
import { __HYPERVISOR_sysctl } from '../abi/xen.js';
import type { Hypercall } from './call.js';
import { refuseControlOp } from './control-call.js';

/** XEN_SYSCTL_INTERFACE_VERSION */
const INTERFACE_VERSION = 0x15;
/** sizeof(struct xen_sysctl) */
const OP_BYTES = 136;

export const sysctl: Hypercall = {
  number: __HYPERVISOR_sysctl,
  name: 'sysctl',
  handler: (vcpu, args) => refuseControlOp(vcpu, args.u64(0), OP_BYTES, INTERFACE_VERSION),
};
