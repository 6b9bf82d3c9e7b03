/** do_callback_op (xen/arch/x86/pv/callback.c). */
import * as abi from '../abi/callback.js';
import { EFAULT, EINVAL, ENOSYS } from '../abi/errno.js';
import { __HYPERVISOR_callback_op } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import type { Hypercall } from './call.js';
import { registerCallback, unregisterNmi } from './callbacks.js';

function register(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.callback_register, arg);
  return op === undefined ? -EFAULT : registerCallback(vcpu, op.type, op.flags, op.address);
}

function unregister(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.callback_unregister, arg);
  if (op === undefined) return -EFAULT;
  switch (op.type) {
    case abi.CALLBACKTYPE_event:
    case abi.CALLBACKTYPE_failsafe:
    case abi.CALLBACKTYPE_syscall:
    case abi.CALLBACKTYPE_syscall32:
    case abi.CALLBACKTYPE_sysenter:
      return -EINVAL;
    case abi.CALLBACKTYPE_nmi:
      unregisterNmi(vcpu);
      return 0;
    default:
      return -ENOSYS;
  }
}

function callback(vcpu: Vcpu, cmd: number, arg: bigint): number {
  switch (cmd) {
    case abi.CALLBACKOP_register:
      return register(vcpu, arg);
    case abi.CALLBACKOP_unregister:
      return unregister(vcpu, arg);
    default:
      return -ENOSYS;
  }
}

export const callback_op: Hypercall = {
  number: __HYPERVISOR_callback_op,
  name: 'callback_op',
  handler: (vcpu, args) => callback(vcpu, args.s32(0), args.u64(1)),
};
