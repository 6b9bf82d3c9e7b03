/** do_event_channel_op_compat (xen/arch/x86/compat.c): the call as it was before Xen 3.0.2. */
import { EFAULT, ENOSYS } from '../abi/errno.js';
import { EVTCHNOP_unmask, evtchn_op } from '../abi/event-channel.js';
import { __HYPERVISOR_event_channel_op_compat } from '../abi/xen.js';
import { eventChannelOp } from './32-event-channel-op.js';
import type { Hypercall } from './call.js';

const ARGUMENT = BigInt(evtchn_op.offsetof('u'));

export const event_channel_op_compat: Hypercall = {
  number: __HYPERVISOR_event_channel_op_compat,
  name: 'event_channel_op_compat',
  handler: (vcpu, args) => {
    const at = args.u64(0);
    // The whole union must be readable, however small the operation's part of it.
    const op = vcpu.guest.readStruct(evtchn_op, at);
    if (op === undefined) return -EFAULT;
    return op.cmd > EVTCHNOP_unmask ? -ENOSYS : eventChannelOp(vcpu, op.cmd, at + ARGUMENT);
  },
};
