/* Event channels: bits that the monitor sets itself, and EVTCHNOP_send where it is no more than that. */
#include "smp.h"
#include <xen/event_channel.h>

#define BITS_PER_WORD 64

static u64 test_and_set(xen_ulong_t *word, u64 bit) {
  return __atomic_fetch_or(word, 1ul << bit, __ATOMIC_SEQ_CST) >> bit & 1;
}

int port_is_pending(u64 port) {
  shared_info_t *shared = (shared_info_t *)DOMAIN->shared_info;
  u64 word = port % NR_PORTS / BITS_PER_WORD;
  return *(volatile u64 *)&shared->evtchn_pending[word] >> port % BITS_PER_WORD & 1;
}

/* evtchn_2l_set_pending (xen/common/event_2l.c), of a port that is bound to `to`. */
void set_pending(struct vcpu_area *v, struct vcpu_area *to, u64 port) {
  shared_info_t *shared = (shared_info_t *)DOMAIN->shared_info;
  vcpu_info_t *info = vcpu_info(to);
  u64 word = port / BITS_PER_WORD, bit = port % BITS_PER_WORD;
  if (test_and_set(&shared->evtchn_pending[word], bit)) return;
  if (!(*(volatile u64 *)&shared->evtchn_mask[word] >> bit & 1) &&
      !test_and_set(&info->evtchn_pending_sel, word)) {
    __atomic_store_n(&info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST);
    if (to != v) send_kick(to->id);
  }
  kick_pollers(v);
}

/* The hypervisor keeps a byte for each port: what it is bound to, of what matters here. */
s64 fast_event_channel_op(struct vcpu_area *v, const u64 *args) {
  u32 port;
  if ((u32)args[0] != EVTCHNOP_send || !guest_range_ok(args[1], sizeof port)) return LEAVE_TO_HYPERVISOR;
  get_guest(port, args[1], fault);
  if (port >= NR_PORTS) return LEAVE_TO_HYPERVISOR;
  u8 kind = ((const volatile u8 *)DOMAIN->ports)[port];
  if (kind & PORT_IPI) {
    struct vcpu_area *to = area_of(kind & (MAX_VCPUS - 1));
    if (to != v && !(DOMAIN->flags & DOMAIN_LAPIC)) return LEAVE_TO_HYPERVISOR;
    set_pending(v, to, port);
    return 0;
  }
  if (!(kind & PORT_BELL)) return LEAVE_TO_HYPERVISOR;
  __asm__ volatile("outl %0, %w1" ::"a"(port), "Nd"(BELL_PORT) : "memory");
  return 0;
fault:
  return LEAVE_TO_HYPERVISOR;
}
