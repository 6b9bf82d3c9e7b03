/** do_physdev_op_compat (xen/arch/x86/compat.c): the call as it was before Xen 3.0.2. */
import { EFAULT } from '../abi/errno.js';
import { physdev_op } from '../abi/physdev.js';
import { __HYPERVISOR_physdev_op_compat } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { callPhysdevOp } from './33-physdev-op.js';
import type { Hypercall } from './call.js';

const ARGUMENT = BigInt(physdev_op.offsetof('u'));

function physdev(vcpu: Vcpu, arg: bigint): number {
  // The whole union must be readable, however small the operation's part of it.
  const op = vcpu.guest.readStruct(physdev_op, arg);
  return op === undefined ? -EFAULT : callPhysdevOp(vcpu, op.cmd, arg + ARGUMENT);
}

export const physdev_op_compat: Hypercall = {
  number: __HYPERVISOR_physdev_op_compat,
  name: 'physdev_op_compat',
  handler: (vcpu, args) => physdev(vcpu, args.u64(0)),
};
