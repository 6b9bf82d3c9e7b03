/*
 * System time, and what a vCPU is to be interrupted for at a time: its one-shot timer, and the time-out of a
 * poll. Where there is a local APIC its timer sees to them; otherwise the hypervisor does.
 */
#include "smp.h"

/* pvclock: ns since boot, from the same four numbers that the guest reads in its vcpu_time_info. */
u64 system_time(void) {
  struct domain_area *d = DOMAIN;
  u64 version, result;
  do {
    version = *(volatile u64 *)&d->tsc_version;
    u64 delta = rdtsc() - d->tsc_timestamp;
    delta = d->tsc_shift < 0 ? delta >> -d->tsc_shift : delta << d->tsc_shift;
    result = d->system_time + (u64)((unsigned __int128)delta * d->tsc_to_system_mul >> 32);
  } while ((version & 1) || version != *(volatile u64 *)&d->tsc_version);
  return result;
}

/* The TSC when that is the system time, or a little earlier; never 0, which would disarm the timer. */
static u64 tsc_at(u64 time) {
  struct domain_area *d = DOMAIN;
  u64 delta = time - d->system_time, quotient, remainder;
  u64 mul = d->tsc_to_system_mul;
  /* In the past; or so far ahead that the division would overflow. */
  if ((s64)delta <= 0) return 1;
  if (delta >> 32 >= mul) delta = mul << 31;
  __asm__("divq %4" : "=a"(quotient), "=d"(remainder) : "a"(delta << 32), "d"(delta >> 32), "r"(mul));
  return d->tsc_timestamp + (d->tsc_shift < 0 ? quotient << -d->tsc_shift : quotient >> d->tsc_shift) + 1;
}

static u64 earlier(u64 a, u64 b) {
  return a && (!b || a < b) ? a : b;
}

static void arm(struct vcpu_area *v, u64 deadline) {
  /* One that comes too early looks again, so that moving a deadline later costs nothing. */
  if (!deadline || (v->timer_armed && v->timer_armed <= deadline)) return;
  if (DOMAIN->flags & DOMAIN_LAPIC) {
    v->timer_armed = deadline;
    wrmsr(MSR_TSC_DEADLINE, tsc_at(deadline));
  } else
    exit_to_hypervisor(v, MONITOR_EXIT_TIMER);
}

void timers_changed(struct vcpu_area *v) {
  arm(v, earlier(v->timer_deadline, v->poll_timeout));
}

void timer_interrupt(struct vcpu_area *v) {
  u64 now = system_time();
  v->timer_armed = 0;
  if (v->timer_deadline && now >= v->timer_deadline) {
    v->timer_deadline = 0;
    if (v->timer_port && v->timer_port < NR_PORTS) set_pending(v, v, v->timer_port);
  }
  /*
   * A time-out that has passed is the waiter's to see. Armed again, its interrupt would come before the next
   * instruction, and so for ever.
   */
  arm(v, earlier(v->timer_deadline, now >= v->poll_timeout ? 0 : v->poll_timeout));
}
