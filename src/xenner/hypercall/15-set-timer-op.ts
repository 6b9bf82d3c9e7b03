/** do_set_timer_op (xen/common/sched/core.c): the vCPU's one-shot timer. */
import { __HYPERVISOR_set_timer_op } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import type { Hypercall } from './call.js';

/** About 13 days. */
const HUGE_NS = 2 ** 50;
const NS_FOR_HUGE = 100_000_000;

/**
 * Old kernels set a time far away, or a wrapped one, both when they have work to do and when they have none: Xen's
 * middle way is an event in 100 ms.
 */
function setTimer(vcpu: Vcpu, timeout: bigint): number {
  const now = vcpu.domain.systemTime();
  if (timeout === 0n) vcpu.setTimer(0);
  else if (timeout < 0n || Number(timeout) - now >= HUGE_NS) vcpu.setTimer(now + NS_FOR_HUGE);
  else vcpu.setTimer(Number(timeout));
  return 0;
}

export const set_timer_op: Hypercall = {
  number: __HYPERVISOR_set_timer_op,
  name: 'set_timer_op',
  handler: (vcpu, args) => setTimer(vcpu, BigInt.asIntN(64, args.u64(0))),
};
