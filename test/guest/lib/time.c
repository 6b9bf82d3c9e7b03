#include "time.h"

uint64_t system_time(void) {
  volatile vcpu_time_info_t *info = &shared_info->vcpu_info[0].time;
  uint32_t version, mul;
  uint64_t stamp, base;
  int8_t shift;
  do {
    version = info->version;
    asm volatile("" : : : "memory");
    stamp = info->tsc_timestamp;
    base = info->system_time;
    mul = info->tsc_to_system_mul;
    shift = info->tsc_shift;
    asm volatile("" : : : "memory");
  } while ((version & 1) || version != info->version);
  uint64_t delta = rdtsc() - stamp;
  delta = shift >= 0 ? delta << shift : delta >> -shift;
  return base + (uint64_t)(((unsigned __int128)delta * mul) >> 32);
}

unsigned bind_virq(unsigned virq) {
  evtchn_bind_virq_t op = {.virq = virq, .vcpu = 0};
  must("bind_virq", HYPERVISOR_event_channel_op(EVTCHNOP_bind_virq, &op));
  mask_event(op.port, false);
  return op.port;
}

void bind_loopback(unsigned *near, unsigned *far) {
  evtchn_alloc_unbound_t alloc = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
  must("alloc_unbound", HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &alloc));
  evtchn_bind_interdomain_t bind = {.remote_dom = DOMID_SELF, .remote_port = alloc.port};
  must("bind_interdomain", HYPERVISOR_event_channel_op(EVTCHNOP_bind_interdomain, &bind));
  *far = alloc.port;
  *near = bind.local_port;
  mask_event(*near, false);
  mask_event(*far, false);
  clear_event(*near);
}

long send_event(unsigned port) {
  evtchn_send_t op = {.port = port};
  return HYPERVISOR_event_channel_op(EVTCHNOP_send, &op);
}

bool event_pending(unsigned port) {
  return ((volatile ulong *)shared_info->evtchn_pending)[port / 64] >> (port % 64) & 1;
}

void clear_event(unsigned port) {
  __atomic_fetch_and(&shared_info->evtchn_pending[port / 64], ~(1ul << (port % 64)), __ATOMIC_SEQ_CST);
}

void mask_event(unsigned port, bool masked) {
  ulong bit = 1ul << (port % 64);
  if (masked)
    __atomic_fetch_or(&shared_info->evtchn_mask[port / 64], bit, __ATOMIC_SEQ_CST);
  else
    __atomic_fetch_and(&shared_info->evtchn_mask[port / 64], ~bit, __ATOMIC_SEQ_CST);
}

uint8_t *upcall_mask(void) {
  return &shared_info->vcpu_info[0].evtchn_upcall_mask;
}

volatile unsigned upcalls;

void count_upcalls(struct regs *regs) {
  (void)regs;
  vcpu_info_t *vcpu = &shared_info->vcpu_info[0];
  upcalls++;
  vcpu->evtchn_upcall_pending = 0;
  ulong selector = __atomic_exchange_n(&vcpu->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
  for (unsigned i = 0; i < 64; i++)
    if (selector >> i & 1)
      __atomic_fetch_and(&shared_info->evtchn_pending[i], shared_info->evtchn_mask[i], __ATOMIC_SEQ_CST);
}
