/* smp.c: vCPUs that run at the same time. */
#ifndef XENNER_MONITOR_SMP_H
#define XENNER_MONITOR_SMP_H

#include "monitor.h"

/* Of page types and page tables, between the monitors of all vCPUs and the hypervisor. */
void lock(struct vcpu_area *v);
void unlock(struct vcpu_area *v);

/* Around everything during which this vCPU runs no code, its own monitor's included. */
void go_outside(struct vcpu_area *v);
void come_back(struct vcpu_area *v);

static inline struct vcpu_area *area_of(u64 id) {
  return (struct vcpu_area *)(MONITOR_VA + BLOCK_OFFSET(id) + BLOCK_VCPU_AREA);
}

/* Of two FLUSH_*, what does both. */
static inline u64 both_flushes(u64 a, u64 b) {
  if (a == b || a == FLUSH_NOTHING) return b;
  return b == FLUSH_NOTHING ? a : FLUSH_EVERYTHING;
}
void flush_if_asked(struct vcpu_area *v);
u64 flush_others(struct vcpu_area *v, u64 pending);
/* Interrupts another vCPU, which looks at its events and flushes then. */
void send_kick(u64 id);
/* events.c. Pending: of a port bound to `to`, which may be another vCPU where there is a local APIC. */
int port_is_pending(u64 port);
void set_pending(struct vcpu_area *v, struct vcpu_area *to, u64 port);
/* An event bit was set: some vCPU may wait for it in SCHEDOP_poll. */
void kick_pollers(struct vcpu_area *v);

#endif
