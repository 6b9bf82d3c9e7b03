/** do_sched_op_compat (xen/arch/x86/compat.c): the call as it was before Xen 3.0.1. */
import { ENOSYS } from '../abi/errno.js';
import { SCHEDOP_block, SCHEDOP_shutdown, SCHEDOP_yield } from '../abi/sched.js';
import { __HYPERVISOR_sched_op_compat } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { block, shutdown } from './29-sched-op.js';
import type { Hypercall } from './call.js';

function sched(vcpu: Vcpu, cmd: number, arg: number): number {
  switch (cmd) {
    case SCHEDOP_yield:
      return 0;
    case SCHEDOP_block:
      return block(vcpu);
    case SCHEDOP_shutdown:
      // The reason itself, where sched_op has a pointer.
      return shutdown(vcpu, arg);
    default:
      return -ENOSYS;
  }
}

export const sched_op_compat: Hypercall = {
  number: __HYPERVISOR_sched_op_compat,
  name: 'sched_op_compat',
  handler: (vcpu, args) => sched(vcpu, args.s32(0), args.u32(1)),
};
