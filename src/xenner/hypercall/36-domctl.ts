/** do_domctl (xen/common/domctl.c). */
import { EPERM, ESRCH } from '../abi/errno.js';
import { __HYPERVISOR_domctl } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { HOST_DOMID } from '../event-channels.js';
import type { Hypercall } from './call.js';
import { readControlOp } from './control-call.js';

/** XEN_DOMCTL_INTERFACE_VERSION */
const INTERFACE_VERSION = 0x15;
/** sizeof(struct xen_domctl): cmd, interface_version, domain, then a union. */
const OP_BYTES = 144;
const DOMAIN_AT = 8;
const XEN_DOMCTL_createdomain = 1;

function refuse(vcpu: Vcpu, arg: bigint): number {
  const op = readControlOp(vcpu, arg, OP_BYTES, INTERFACE_VERSION);
  if (typeof op === 'number') return op;
  if (op.getUint32(0, true) === XEN_DOMCTL_createdomain) return -EPERM;
  // rcu_lock_domain_by_id comes before privilege, and does not know DOMID_SELF.
  const domid = op.getUint16(DOMAIN_AT, true);
  return domid === vcpu.domain.domid || domid === HOST_DOMID ? -EPERM : -ESRCH;
}

export const domctl: Hypercall = {
  number: __HYPERVISOR_domctl,
  name: 'domctl',
  handler: (vcpu, args) => refuse(vcpu, args.u64(0)),
};
