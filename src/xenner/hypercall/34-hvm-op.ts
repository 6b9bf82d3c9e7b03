/** do_hvm_op (xen/arch/x86/hvm/hvm.c): there is no HVM domain to use it on. */
import { EFAULT, EINVAL, ENOSYS, ESRCH } from '../abi/errno.js';
import { __HYPERVISOR_hvm_op } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { HOST_DOMID } from '../event-channels.js';
import type { Hypercall } from './call.js';
import { isSelf } from './memory/domain-of.js';

const HVMOP_set_param = 0n;
const HVMOP_get_param = 1n;
const HVMOP_flush_tlbs = 5n;
/** sizeof(struct xen_hvm_param): domid, padding, index, value. */
const PARAM_BYTES = 16;
const PARAM_INDEX_AT = 4;
const HVM_NR_PARAMS = 39;

function param(vcpu: Vcpu, arg: bigint): number {
  const bytes = vcpu.guest.read(arg, PARAM_BYTES);
  if (bytes === undefined) return -EFAULT;
  const view = new DataView(bytes.buffer);
  if (view.getUint32(PARAM_INDEX_AT, true) >= HVM_NR_PARAMS) return -EINVAL;
  const domid = view.getUint16(0, true);
  return isSelf(vcpu.domain, domid) || domid === HOST_DOMID ? -EINVAL : -ESRCH;
}

function hvm(vcpu: Vcpu, op: bigint, arg: bigint): number {
  switch (op) {
    case HVMOP_set_param:
    case HVMOP_get_param:
      return param(vcpu, arg);
    case HVMOP_flush_tlbs:
      return -EINVAL;
    default:
      return -ENOSYS;
  }
}

export const hvm_op: Hypercall = {
  number: __HYPERVISOR_hvm_op,
  name: 'hvm_op',
  handler: (vcpu, args) => hvm(vcpu, args.u64(0), args.u64(1)),
};
