/** do_dm_op (xen/arch/x86/hvm/dm.c): for device models, which HVM domains have. */
import { E2BIG, EFAULT, EINVAL, EPERM, ESRCH } from '../abi/errno.js';
import { __HYPERVISOR_dm_op } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { HOST_DOMID } from '../event-channels.js';
import type { Hypercall } from './call.js';
import { isSelf } from './memory/domain-of.js';

/** struct dmop_args has room for so many struct xen_dm_op_buf. */
const MAX_BUFFERS = 3;
const BUFFER_BYTES = 16;

function deviceModel(vcpu: Vcpu, domid: number, nrBuffers: number, buffers: bigint): number {
  if (nrBuffers > MAX_BUFFERS) return -E2BIG;
  if (vcpu.guest.read(buffers, nrBuffers * BUFFER_BYTES) === undefined) return -EFAULT;
  if (isSelf(vcpu.domain, domid)) return -EPERM;
  return domid === HOST_DOMID ? -EINVAL : -ESRCH;
}

export const dm_op: Hypercall = {
  number: __HYPERVISOR_dm_op,
  name: 'dm_op',
  handler: (vcpu, args) => deviceModel(vcpu, args.u32(0) & 0xffff, args.u32(1), args.u64(2)),
};
