/* A vCPU with nothing to do: it halts in ring 0 until it has an event, and keeps account of its time. */
#include "smp.h"
#include <xen/vcpu.h>

#define NR_STATES 4

/* vcpu_runstate_change (xen/common/sched/core.c) */
static void runstate_change(struct vcpu_area *v, u64 state) {
  struct runstate *r = &v->runstate;
  u64 now = system_time();
  r->time[r->state % NR_STATES] += now - r->entry_time;
  r->state = state;
  r->entry_time = now;
}

/* update_runstate_area: an address that cannot be written is no error. */
static void show_runstate(struct vcpu_area *v) {
  struct runstate *r = &v->runstate;
  u64 at = v->runstate_area;
  if (!at || !guest_range_ok(at, sizeof(struct vcpu_runstate_info))) return;
  if (DOMAIN->vm_assist >> VMASST_TYPE_runstate_update_flag & 1)
    put_guest(r->entry_time | XEN_RUNSTATE_UPDATE, at + 8, fault);
  put_guest((u32)r->state, at, fault);
  for (int i = 0; i < NR_STATES; i++)
    put_guest(r->time[i], at + 16 + i * 8, fault);
  put_guest(r->entry_time, at + 8, fault);
fault:
  return;
}

static int may_wake_up(struct vcpu_area *v) {
  if (unlikely(*(volatile u64 *)&v->nmi)) return 1;
  vcpu_info_t *info = vcpu_info(v);
  u8 pending = *(volatile u8 *)&info->evtchn_upcall_pending;
  if (!v->polling) return pending;
  if (pending && !info->evtchn_upcall_mask) return 1;
  for (u64 i = 0; i < v->poll_count && i < MAX_POLL_PORTS; i++)
    if (port_is_pending(v->poll_ports[i])) return 1;
  return v->poll_timeout && system_time() >= v->poll_timeout;
}

/*
 * SCHEDOP_block, and _poll once the hypervisor has filled in poll_*. Interrupts are let in by STI only when
 * HLT has begun, so none is lost between the look and the sleep.
 */
void vcpu_sleep(struct vcpu_area *v) {
  /* Whoever sets an event bit looks at `polling` after that. */
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (!may_wake_up(v)) {
    runstate_change(v, RUNSTATE_blocked);
    do {
      timers_changed(v);
      go_outside(v);
      __asm__ volatile("sti; hlt; cli" ::: "memory");
      come_back(v);
      if (unlikely(v->debug)) debug_asleep(v);
      if (unlikely(v->rest)) exit_to_hypervisor(v, MONITOR_EXIT_REST);
    } while (!may_wake_up(v));
    runstate_change(v, RUNSTATE_running);
    show_runstate(v);
  }
  v->polling = 0;
  v->poll_timeout = 0;
}
