/** do_event_channel_op (xen/common/event_channel.c). */
import type { CStruct, Encodable } from '../../base/layout.js';
import { EFAULT, ENOSYS } from '../abi/errno.js';
import * as abi from '../abi/event-channel.js';
import { __HYPERVISOR_event_channel_op } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import type { EventChannels } from '../event-channels.js';
import type { Hypercall } from './call.js';

type Operation = (vcpu: Vcpu, arg: bigint) => number;

/** A call that only reads its argument. */
function input<T extends object>(
  layout: CStruct<T>,
  act: (events: EventChannels, op: T) => number,
): Operation {
  return (vcpu, arg) => {
    const op = vcpu.guest.readStruct(layout, arg);
    return op === undefined ? -EFAULT : act(vcpu.domain.events, op);
  };
}

/** The same where the structure is one port: the calls that guests make most often. */
function onPort(act: (events: EventChannels, port: number) => number): Operation {
  return (vcpu, arg) => {
    const port = vcpu.guest.readU32(arg);
    return port === undefined ? -EFAULT : act(vcpu.domain.events, port);
  };
}

/**
 * A call that yields a port. As in Xen the binding stays if the answer cannot be written: the guest has the port
 * without knowing its number.
 */
function binding<T extends object>(
  layout: CStruct<T>,
  act: (events: EventChannels, op: T) => number,
  answer: (port: number) => Encodable<T>,
): Operation {
  return (vcpu, arg) => {
    const op = vcpu.guest.readStruct(layout, arg);
    if (op === undefined) return -EFAULT;
    const port = act(vcpu.domain.events, op);
    if (port < 0) return port;
    return vcpu.guest.writeStruct(layout, arg, answer(port)) ? 0 : -EFAULT;
  };
}

function status(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.evtchn_status, arg);
  if (op === undefined) return -EFAULT;
  const answer = vcpu.domain.events.status(op.dom, op.port);
  if (typeof answer === 'number') return answer;
  return vcpu.guest.writeStruct(abi.evtchn_status, arg, answer) ? 0 : -EFAULT;
}

/** Without those of the FIFO ABI (11 to 13): guests fall back to two levels on -ENOSYS. */
const operations = new Map<number, Operation>([
  [
    abi.EVTCHNOP_bind_interdomain,
    binding(
      abi.evtchn_bind_interdomain,
      (events, op) => events.bindInterdomain(op.remote_dom, op.remote_port),
      (local_port) => ({ local_port }),
    ),
  ],
  [
    abi.EVTCHNOP_bind_virq,
    binding(
      abi.evtchn_bind_virq,
      (events, op) => events.bindVirq(op.virq, op.vcpu),
      (port) => ({ port }),
    ),
  ],
  [abi.EVTCHNOP_bind_pirq, input(abi.evtchn_bind_pirq, (events, op) => events.bindPirq(op.pirq))],
  [abi.EVTCHNOP_close, onPort((events, port) => events.close(port))],
  [abi.EVTCHNOP_send, onPort((events, port) => events.send(port))],
  [abi.EVTCHNOP_status, status],
  [
    abi.EVTCHNOP_alloc_unbound,
    binding(
      abi.evtchn_alloc_unbound,
      (events, op) => events.allocUnbound(op.dom, op.remote_dom),
      (port) => ({ port }),
    ),
  ],
  [
    abi.EVTCHNOP_bind_ipi,
    binding(
      abi.evtchn_bind_ipi,
      (events, op) => events.bindIpi(op.vcpu),
      (port) => ({ port }),
    ),
  ],
  [abi.EVTCHNOP_bind_vcpu, input(abi.evtchn_bind_vcpu, (events, op) => events.bindVcpu(op.port, op.vcpu))],
  [abi.EVTCHNOP_unmask, onPort((events, port) => events.unmask(port))],
  [abi.EVTCHNOP_reset, input(abi.evtchn_reset, (events, op) => events.reset(op.dom))],
]);

/** @param arg guest linear address of the operation's structure */
export function eventChannelOp(vcpu: Vcpu, cmd: number, arg: bigint): number {
  const operation = operations.get(cmd);
  const result = operation === undefined ? -ENOSYS : operation(vcpu, arg);
  const { log } = vcpu.domain;
  if (log.traces('evtchn')) log.trace('evtchn', 'event_channel_op', { vcpu: vcpu.id, cmd, result });
  return result;
}

export const event_channel_op: Hypercall = {
  number: __HYPERVISOR_event_channel_op,
  name: 'event_channel_op',
  handler: (vcpu, args) => eventChannelOp(vcpu, args.s32(0), args.u64(1)),
};
