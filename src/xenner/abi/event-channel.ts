/** xen/include/public/event_channel.h. */
import { array, cstruct, group, pad, u8, u16, u32, u64, union } from '../../base/layout.js';

const HEADER = 'event_channel.h';

export const EVTCHNOP_bind_interdomain = 0;
export const EVTCHNOP_bind_virq = 1;
export const EVTCHNOP_bind_pirq = 2;
export const EVTCHNOP_close = 3;
export const EVTCHNOP_send = 4;
export const EVTCHNOP_status = 5;
export const EVTCHNOP_alloc_unbound = 6;
export const EVTCHNOP_bind_ipi = 7;
export const EVTCHNOP_bind_vcpu = 8;
export const EVTCHNOP_unmask = 9;
export const EVTCHNOP_reset = 10;
export const EVTCHNOP_init_control = 11;
export const EVTCHNOP_expand_array = 12;
export const EVTCHNOP_set_priority = 13;

/* evtchn_port_t is u32, domid_t is u16. */
export const evtchn_alloc_unbound = cstruct('struct evtchn_alloc_unbound', HEADER, 8, {
  dom: u16,
  remote_dom: u16,
  port: u32,
});
export const evtchn_bind_interdomain = cstruct('struct evtchn_bind_interdomain', HEADER, 12, {
  remote_dom: u16,
  _pad: pad(2),
  remote_port: u32,
  local_port: u32,
});
export const evtchn_bind_virq = cstruct('struct evtchn_bind_virq', HEADER, 12, {
  virq: u32,
  vcpu: u32,
  port: u32,
});
export const evtchn_bind_pirq = cstruct('struct evtchn_bind_pirq', HEADER, 12, {
  pirq: u32,
  flags: u32,
  port: u32,
});
export const BIND_PIRQ__WILL_SHARE = 1;
export const evtchn_bind_ipi = cstruct('struct evtchn_bind_ipi', HEADER, 8, { vcpu: u32, port: u32 });
export const evtchn_close = cstruct('struct evtchn_close', HEADER, 4, { port: u32 });
export const evtchn_send = cstruct('struct evtchn_send', HEADER, 4, { port: u32 });

export const EVTCHNSTAT_closed = 0;
export const EVTCHNSTAT_unbound = 1;
export const EVTCHNSTAT_interdomain = 2;
export const EVTCHNSTAT_pirq = 3;
export const EVTCHNSTAT_virq = 4;
export const EVTCHNSTAT_ipi = 5;
export const evtchn_status = cstruct('struct evtchn_status', HEADER, 24, {
  dom: u16,
  _pad: pad(2),
  port: u32,
  status: u32,
  vcpu: u32,
  u: union({
    unbound: group({ dom: u16 }),
    interdomain: group({ dom: u16, _pad: pad(2), port: u32 }),
    pirq: u32,
    virq: u32,
  }),
});
export const evtchn_bind_vcpu = cstruct('struct evtchn_bind_vcpu', HEADER, 8, { port: u32, vcpu: u32 });
export const evtchn_unmask = cstruct('struct evtchn_unmask', HEADER, 4, { port: u32 });
export const evtchn_reset = cstruct('struct evtchn_reset', HEADER, 2, { dom: u16 });
export const evtchn_init_control = cstruct('struct evtchn_init_control', HEADER, 24, {
  control_gfn: u64,
  offset: u32,
  vcpu: u32,
  link_bits: u8,
  _pad: pad(7),
});
export const evtchn_expand_array = cstruct('struct evtchn_expand_array', HEADER, 8, { array_gfn: u64 });
export const evtchn_set_priority = cstruct('struct evtchn_set_priority', HEADER, 8, {
  port: u32,
  priority: u32,
});

/** Argument of event_channel_op_compat. */
export const evtchn_op = cstruct('struct evtchn_op', HEADER, 28, {
  cmd: u32,
  u: union({
    alloc_unbound: evtchn_alloc_unbound,
    bind_interdomain: evtchn_bind_interdomain,
    bind_virq: evtchn_bind_virq,
    bind_pirq: evtchn_bind_pirq,
    bind_ipi: evtchn_bind_ipi,
    close: evtchn_close,
    send: evtchn_send,
    status: evtchn_status,
    bind_vcpu: evtchn_bind_vcpu,
    unmask: evtchn_unmask,
  }),
});

/** Ports of the two-level ABI. */
export const EVTCHN_2L_NR_CHANNELS = 4096;

export const EVTCHN_FIFO_PRIORITY_MAX = 0;
export const EVTCHN_FIFO_PRIORITY_DEFAULT = 7;
export const EVTCHN_FIFO_PRIORITY_MIN = 15;
export const EVTCHN_FIFO_PENDING = 31;
export const EVTCHN_FIFO_MASKED = 30;
export const EVTCHN_FIFO_LINKED = 29;
export const EVTCHN_FIFO_BUSY = 28;
export const EVTCHN_FIFO_LINK_BITS = 17;
export const EVTCHN_FIFO_MAX_QUEUES = EVTCHN_FIFO_PRIORITY_MIN + 1;
export const EVTCHN_FIFO_LINK_MASK = (1 << EVTCHN_FIFO_LINK_BITS) - 1;
export const EVTCHN_FIFO_NR_CHANNELS = 1 << EVTCHN_FIFO_LINK_BITS;
export const evtchn_fifo_control_block = cstruct('struct evtchn_fifo_control_block', HEADER, 72, {
  ready: u32,
  _rsvd: pad(4),
  head: array(u32, EVTCHN_FIFO_MAX_QUEUES),
});
