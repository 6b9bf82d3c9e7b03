/** do_vcpu_op (xen/common/domain.c) and arch_do_vcpu_op (xen/arch/x86/domain.c). */
import { EFAULT, EINVAL, ENOENT, ENOSYS } from '../abi/errno.js';
import { SHUTDOWN_poweroff } from '../abi/sched.js';
import * as abi from '../abi/vcpu.js';
import { __HYPERVISOR_vcpu_op } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import type { Hypercall } from './call.js';
import { raiseNmi } from './nmi.js';
import { registerRunstateArea, registerTimeArea, registerVcpuInfo } from './vcpu-areas.js';
import { initialise } from './vcpu-context.js';

const MIN_PERIOD_NS = 1_000_000n;
/** STIME_DELTA_MAX */
const MAX_PERIOD_NS = (1n << 62n) - 1n;
const SIGN = 1n << 63n;

/** One operation: `current` makes the call, `vcpu` is what it is about. */
type Operation = (vcpu: Vcpu, arg: bigint, current: Vcpu) => number;

function up(vcpu: Vcpu): number {
  if (!vcpu.initialised) return -EINVAL;
  vcpu.online = true;
  return 0;
}

/** The last one to go down takes the domain with it. */
function down(vcpu: Vcpu): number {
  const others = vcpu.domain.vcpus.some((other) => other !== vcpu && other.online);
  if (others) vcpu.online = false;
  else vcpu.domain.shutdown(SHUTDOWN_poweroff);
  return 0;
}

function getRunstate(vcpu: Vcpu, arg: bigint, current: Vcpu): number {
  const info = vcpu.runstate.infoAt(vcpu.domain.systemTime());
  return current.guest.writeStruct(abi.vcpu_runstate_info, arg, info) ? 0 : -EFAULT;
}

function setPeriodicTimer(vcpu: Vcpu, arg: bigint, current: Vcpu): number {
  const op = current.guest.readStruct(abi.vcpu_set_periodic_timer, arg);
  if (op === undefined) return -EFAULT;
  if (op.period_ns < MIN_PERIOD_NS || op.period_ns > MAX_PERIOD_NS) return -EINVAL;
  vcpu.periodNs = Number(op.period_ns);
  return 0;
}

function stopPeriodicTimer(vcpu: Vcpu): number {
  vcpu.periodNs = 0;
  return 0;
}

function setSingleshotTimer(vcpu: Vcpu, arg: bigint, current: Vcpu): number {
  if (vcpu !== current) return -EINVAL;
  const op = vcpu.guest.readStruct(abi.vcpu_set_singleshot_timer, arg);
  if (op === undefined) return -EFAULT;
  // VCPU_SSHOTTMR_future is ignored: real Xen 4.17 answers no -ETIME.
  const timeout = op.timeout_abs_ns;
  // 0, and a time that wrapped, are in the past: it fires at once. Here 0 would stop it.
  vcpu.setTimer(timeout === 0n || (timeout & SIGN) !== 0n ? 1 : Number(timeout));
  return 0;
}

function stopSingleshotTimer(vcpu: Vcpu, _arg: bigint, current: Vcpu): number {
  if (vcpu !== current) return -EINVAL;
  vcpu.setTimer(0);
  return 0;
}

function sendNmi(vcpu: Vcpu, arg: bigint, current: Vcpu): number {
  if (arg !== 0n) return -EINVAL;
  raiseNmi(vcpu, current);
  return 0;
}

const operations = new Map<number, Operation>([
  [abi.VCPUOP_initialise, initialise],
  [abi.VCPUOP_up, up],
  [abi.VCPUOP_down, down],
  [abi.VCPUOP_is_up, (vcpu) => (vcpu.online ? 1 : 0)],
  [abi.VCPUOP_get_runstate_info, getRunstate],
  [abi.VCPUOP_register_runstate_memory_area, registerRunstateArea],
  [abi.VCPUOP_set_periodic_timer, setPeriodicTimer],
  [abi.VCPUOP_stop_periodic_timer, stopPeriodicTimer],
  [abi.VCPUOP_set_singleshot_timer, setSingleshotTimer],
  [abi.VCPUOP_stop_singleshot_timer, stopSingleshotTimer],
  [abi.VCPUOP_register_vcpu_info, registerVcpuInfo],
  [abi.VCPUOP_send_nmi, sendNmi],
  // Only a hardware domain whose vCPUs are pinned may know where they run.
  [abi.VCPUOP_get_physid, () => -EINVAL],
  [abi.VCPUOP_register_vcpu_time_memory_area, registerTimeArea],
]);

export const vcpu_op: Hypercall = {
  number: __HYPERVISOR_vcpu_op,
  name: 'vcpu_op',
  handler: (current, args) => {
    // At once, whatever the operation: Linux asks for all the vCPUs that it could have.
    const vcpu = current.domain.vcpus[args.u32(1)];
    if (vcpu === undefined) return -ENOENT;
    return operations.get(args.s32(0))?.(vcpu, args.u64(2), current) ?? -ENOSYS;
  },
};
