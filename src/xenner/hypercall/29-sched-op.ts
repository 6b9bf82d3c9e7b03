/** do_sched_op (xen/common/sched/core.c). */
import { gpa } from '../../kvm/guest-memory.js';
import { EFAULT, EINVAL, ENOSYS, EPERM, ESRCH } from '../abi/errno.js';
import * as abi from '../abi/sched.js';
import { __HYPERVISOR_sched_op, vcpu_info } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { HOST_DOMID } from '../event-channels.js';
import { addressOk } from '../mm/guest-list.js';
import { MAX_POLL_PORTS } from '../monitor/vcpu-area.js';
import type { Hypercall } from './call.js';

const UPCALL_MASK = vcpu_info.offsetof('evtchn_upcall_mask');
const PORT_BYTES = 4;
const SIGN = 1n << 63n;

/** vcpu_block_enable_events */
export function block(vcpu: Vcpu): number {
  const { events, memory } = vcpu.domain;
  memory.writeU8(gpa(vcpu.vcpuInfo + UPCALL_MASK), 0);
  if (!events.isUpcallPending(vcpu.id)) vcpu.block();
  return 0;
}

/** domain_shutdown: whatever a domain gives as the reason. */
export function shutdown({ domain }: Vcpu, reason: number): number {
  domain.shutdown(domain.shutdownCode ?? reason & 0xff);
  return 0;
}

/** The ports that a guest polls, an errno, or undefined where there is no reason to wait. */
function portsToPoll(vcpu: Vcpu, at: bigint, count: number): number[] | number | undefined {
  const { events } = vcpu.domain;
  const ports: number[] = [];
  for (let i = 0; i < count; i++) {
    const port = vcpu.guest.readU32(at + BigInt(i * PORT_BYTES));
    if (port === undefined) return -EFAULT;
    if (!events.isValidPort(port)) return -EINVAL;
    if (events.isPending(port)) return undefined;
    ports.push(port);
  }
  return ports;
}

function poll(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.sched_poll, arg);
  if (op === undefined) return -EFAULT;
  if (op.nr_ports > MAX_POLL_PORTS) return -EINVAL;
  if (!addressOk(op.ports)) return -EFAULT;
  if (vcpu.domain.events.isUpcallDeliverable(vcpu.id)) return 0;
  const ports = portsToPoll(vcpu, op.ports, op.nr_ports);
  if (ports === undefined) return 0;
  if (typeof ports === 'number') return ports;
  // A time that wrapped is in the past.
  vcpu.poll(ports, (op.timeout & SIGN) === 0n ? Number(op.timeout) : 1);
  return 0;
}

/** For domains that control others: there is none to control but the caller, which has SCHEDOP_shutdown. */
function remoteShutdown(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.sched_remote_shutdown, arg);
  if (op === undefined) return -EFAULT;
  return op.domain_id === vcpu.domain.domid || op.domain_id === HOST_DOMID ? -EPERM : -ESRCH;
}

function shutdownWith(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.sched_shutdown, arg);
  return op === undefined ? -EFAULT : shutdown(vcpu, op.reason);
}

/** What the next shutdown will report, whatever it says then. The first one counts. */
function shutdownCode(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.sched_shutdown, arg);
  if (op === undefined) return -EFAULT;
  vcpu.domain.shutdownCode ??= op.reason & 0xff;
  return 0;
}

function watchdog(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.sched_watchdog, arg);
  return op === undefined ? -EFAULT : vcpu.domain.watchdogs.set(op.id, op.timeout, vcpu.domain.systemTime());
}

function sched(vcpu: Vcpu, cmd: number, arg: bigint): number {
  switch (cmd) {
    case abi.SCHEDOP_yield:
      return 0;
    case abi.SCHEDOP_block:
      return block(vcpu);
    case abi.SCHEDOP_shutdown:
      return shutdownWith(vcpu, arg);
    case abi.SCHEDOP_poll:
      return poll(vcpu, arg);
    case abi.SCHEDOP_remote_shutdown:
      return remoteShutdown(vcpu, arg);
    case abi.SCHEDOP_shutdown_code:
      return shutdownCode(vcpu, arg);
    case abi.SCHEDOP_watchdog:
      return watchdog(vcpu, arg);
    case abi.SCHEDOP_pin_override:
      return -EPERM;
    default:
      return -ENOSYS;
  }
}

export const sched_op: Hypercall = {
  number: __HYPERVISOR_sched_op,
  name: 'sched_op',
  handler: (vcpu, args) => sched(vcpu, args.s32(0), args.u64(1)),
};
