/** do_multicall (xen/common/multicall.c): a list of calls; each answer goes into its entry. */
import { MAX_MULTICALL_ENTRIES } from '../../base/limits.js';
import { E2BIG, EFAULT, EINVAL, ENOSYS } from '../abi/errno.js';
import { __HYPERVISOR_iret, __HYPERVISOR_multicall, multicall_entry } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { addressOk } from '../mm/guest-list.js';
import { type Hypercall, HypercallArgs } from './call.js';

/** Makes one call by its number. */
export type Dispatch = (vcpu: Vcpu, number: number, args: HypercallArgs) => number | bigint;

const RESULT = BigInt(multicall_entry.offsetof('result'));
const NO_CALL = 0xffffffff;

function callEntry(vcpu: Vcpu, op: bigint, args: HypercallArgs, dispatch: Dispatch): number | bigint {
  const number = op > 0xffffffffn ? NO_CALL : Number(op);
  if (number === __HYPERVISOR_multicall) return -EINVAL;
  // It would leave the rest of the list behind; the monitor refuses it as well.
  if (number === __HYPERVISOR_iret) return -ENOSYS;
  return dispatch(vcpu, number, args);
}

function callAll(vcpu: Vcpu, list: bigint, count: number, dispatch: Dispatch): number {
  if (!addressOk(list)) return -EFAULT;
  if (count > MAX_MULTICALL_ENTRIES) return -E2BIG;
  const args = new HypercallArgs();
  for (let i = 0; i < count; i++) {
    const at = list + BigInt(i * multicall_entry.size);
    const entry = vcpu.guest.readStruct(multicall_entry, at);
    if (entry === undefined) return -EFAULT;
    args.words.set(entry.args);
    const result = BigInt.asUintN(64, BigInt(callEntry(vcpu, entry.op, args, dispatch)));
    if (!vcpu.guest.writeU64(at + RESULT, result)) return -EFAULT;
  }
  return 0;
}

/** @param dispatch the table that this call is part of */
export function multicall(dispatch: Dispatch): Hypercall {
  return {
    number: __HYPERVISOR_multicall,
    name: 'multicall',
    handler: (vcpu, args) => callAll(vcpu, args.u64(0), args.u32(1), dispatch),
  };
}
