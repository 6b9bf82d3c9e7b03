/* Breakpoints and watchpoints of DR0..3; bpt_helper.c sets them up and raises
 * the #DB. */
#include "engine.h"

#include "hw/core/tcg-cpu-ops.h"

int cpu_breakpoint_insert(CPUState *cs, vaddr pc, int flags, CPUBreakpoint **breakpoint) {
  CPUBreakpoint *new = g_new(CPUBreakpoint, 1);
  *new = (CPUBreakpoint){.pc = pc, .flags = flags};
  QTAILQ_INSERT_TAIL(&cs->breakpoints, new, entry);
  jumps_forget(softcpu_of(cs)); /* translated code would go past it */
  *breakpoint = new;
  return 0;
}

void cpu_breakpoint_remove_by_ref(CPUState *cs, CPUBreakpoint *breakpoint) {
  QTAILQ_REMOVE(&cs->breakpoints, breakpoint, entry);
  g_free(breakpoint);
}

void cpu_breakpoint_remove_all(CPUState *cs, int mask) {
  CPUBreakpoint *breakpoint, *next;
  QTAILQ_FOREACH_SAFE(breakpoint, &cs->breakpoints, entry, next)
  cpu_breakpoint_remove_by_ref(cs, breakpoint);
}

int cpu_watchpoint_insert(CPUState *cs, vaddr address, vaddr len, int flags, CPUWatchpoint **watchpoint) {
  if (!len || (address + len - 1) < address) return -EINVAL;
  CPUWatchpoint *new = g_new(CPUWatchpoint, 1);
  *new = (CPUWatchpoint){.vaddr = address, .len = len, .flags = flags};
  QTAILQ_INSERT_TAIL(&cs->watchpoints, new, entry);
  *watchpoint = new;
  tlb_flush_page(cs, address);
  if ((address ^ (address + len - 1)) & TARGET_PAGE_MASK) tlb_flush_page(cs, address + len - 1);
  return 0;
}

void cpu_watchpoint_remove_by_ref(CPUState *cs, CPUWatchpoint *watchpoint) {
  QTAILQ_REMOVE(&cs->watchpoints, watchpoint, entry);
  tlb_flush_page(cs, watchpoint->vaddr);
  g_free(watchpoint);
}

void cpu_watchpoint_remove_all(CPUState *cs, int mask) {
  CPUWatchpoint *watchpoint, *next;
  QTAILQ_FOREACH_SAFE(watchpoint, &cs->watchpoints, entry, next)
  cpu_watchpoint_remove_by_ref(cs, watchpoint);
}

static bool overlaps(const CPUWatchpoint *watchpoint, vaddr address, vaddr len) {
  return address <= watchpoint->vaddr + watchpoint->len - 1 && watchpoint->vaddr <= address + len - 1;
}

int cpu_watchpoint_address_matches(CPUState *cs, vaddr address, vaddr len) {
  CPUWatchpoint *watchpoint;
  int flags = 0;
  QTAILQ_FOREACH(watchpoint, &cs->watchpoints, entry) {
    if (overlaps(watchpoint, address, len)) flags |= watchpoint->flags;
  }
  return flags;
}

/* An access to a page with a watchpoint. A data breakpoint is a trap (Intel SDM
 * vol. 3, 17.2.4): the access is done anew, alone in a block, and the exception
 * comes after it. */
void cpu_check_watchpoint(CPUState *cs, vaddr address, vaddr len, MemTxAttrs attrs, int flags, uintptr_t ra) {
  CPUWatchpoint *watchpoint;
  if (cs->watchpoint_hit) {
    /* The access done anew: the exception is due once the instruction has
     * completed. */
    cs->interrupt_request |= CPU_INTERRUPT_DEBUG;
    cs->icount_decr_ptr->u16.high = 0xffff;
    return;
  }
  QTAILQ_FOREACH(watchpoint, &cs->watchpoints, entry) {
    watchpoint->flags &= ~BP_WATCHPOINT_HIT;
    if (!overlaps(watchpoint, address, len) || !(watchpoint->flags & flags)) continue;
    watchpoint->flags |= flags == BP_MEM_READ ? BP_WATCHPOINT_HIT_READ : BP_WATCHPOINT_HIT_WRITE;
    cs->watchpoint_hit = watchpoint;
  }
  if (!cs->watchpoint_hit) return;
  cpu_restore_state(cs, ra);
  cs->cflags_next_tb = 1 | CF_NOIRQ | cs->tcg_cflags;
  cpu_loop_exit_noexc(cs);
}
