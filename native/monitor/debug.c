/*
 * A debugger's hold on a vCPU (src/xenner/gdb). The guest stops asleep, or on its way back from a trap: its
 * registers are in the frame then, and on the way back nothing is left to be done for it. A step is one
 * instruction with TF set; whatever trap ends it comes here.
 */
#include "monitor.h"

extern const char stub[], stub_slow[];

static void set_syscall_entry(struct vcpu_area *v, const char *entry) {
  u64 block = (u64)v & ~(BLOCK_SIZE - 1);
  wrmsr(MSR_LSTAR, block + BLOCK_STUB + (entry - stub));
}

static int is_interrupt(u64 vector) {
  return vector >= FIRST_INTERRUPT && vector < 256 && vector != INT80_VECTOR;
}

static int is_stepped(const struct vcpu_area *v) {
  return v->debug_steps != v->debug_steps_done;
}

/* A trap in the guest, before anybody looks at its registers. */
void debug_enter(struct vcpu_area *v, struct regs *r) {
  /* An interrupt comes before the instruction, which is still to be stepped. */
  if (!is_stepped(v) || is_interrupt(r->vector)) return;
  v->debug_steps_done = v->debug_steps;
  set_syscall_entry(v, stub);
  if (r->vector == VECTOR_SYSCALL || r->vector == VECTOR_SYSCALL_COMPAT) r->r11 &= ~v->debug_tf;
  r->rflags &= ~v->debug_tf;
}

/* #DB: 0 if it is none of the guest's, else what it may know of DR6. */
int debug_trap(struct vcpu_area *v, u64 *dr6) {
  v->hypercall[0] = *dr6;
  exit_to_hypervisor(v, MONITOR_EXIT_DEBUG_TRAP);
  *dr6 = v->hypercall[0];
  return v->hypercall_result != 0;
}

static void stop(struct vcpu_area *v, u64 asleep) {
  v->hypercall[0] = asleep;
  exit_to_hypervisor(v, MONITOR_EXIT_DEBUG);
}

/* Woken up: maybe only to stand still. */
void debug_asleep(struct vcpu_area *v) {
  if (v->debug & DEBUG_STOP) stop(v, 1);
}

/* The guest is about to go on. The frame may be another one after each stop. */
void debug_leave(struct vcpu_area *v, struct regs *r) {
  /* A write through ptwr is one instruction to the debugger. */
  if (v->ptwr.active) return;
  while ((v->debug & DEBUG_STOP) && !is_stepped(v)) {
    stop(v, 0);
    deliver_events(v, r);
    apply_pending(v);
  }
  if (is_stepped(v)) set_syscall_entry(v, stub_slow);
}
