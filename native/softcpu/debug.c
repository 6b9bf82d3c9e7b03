/* Breakpoints and watchpoints of DR0..3, which bpt_helper.c sets up, and a debugger's. */
#include "engine.h"

#include "hw/core/tcg-cpu-ops.h"
#include "target/i386/tcg/helper-tcg.h"

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

static int compare(const void *a, const void *b) {
  uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
  return first < second ? -1 : first > second;
}

bool softcpu_set_breakpoints(softcpu *cpu, const uint64_t *addresses, size_t count) {
  if (count > SOFTCPU_MAX_BREAKPOINTS) return false;
  uint64_t *copy = g_new(uint64_t, count + 1);
  memcpy(copy, addresses, count * sizeof(*copy));
  qsort(copy, count, sizeof(*copy), compare);
  free(cpu->breakpoints);
  cpu->breakpoints = copy;
  cpu->breakpoint_count = count;
  softcpu_enter(cpu);
  jumps_forget(cpu);
  return true;
}

static size_t first_breakpoint_from(const struct softcpu *cpu, uint64_t address) {
  size_t low = 0, high = cpu->breakpoint_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (cpu->breakpoints[middle] < address)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool in_same_page(uint64_t a, uint64_t b) {
  return !((a ^ b) & TARGET_PAGE_MASK);
}

static G_NORETURN void raise_breakpoint(CPUX86State *env, uint64_t reasons) {
  env->dr[6] = (env->dr[6] & ~0xfull) | reasons;
  raise_exception(env, EXCP01_DB);
}

static bool check_debuggers(struct softcpu *cpu, uint64_t pc) {
  CPUX86State *env = &cpu->x86.env;
  if (!(env->hflags & HF_CPL_MASK)) return false;
  size_t i = first_breakpoint_from(cpu, pc & TARGET_PAGE_MASK);
  if (i == cpu->breakpoint_count || !in_same_page(cpu->breakpoints[i], pc)) return false;
  i = first_breakpoint_from(cpu, pc);
  if (i < cpu->breakpoint_count && cpu->breakpoints[i] == pc && !(env->eflags & RF_MASK))
    raise_breakpoint(env, SOFTCPU_DR6_BREAKPOINT);
  return true;
}

/* Not breakpoint_handler(), which compares EIP: in a segment with a base, or with
 * bits above 32, it would find nothing, and the breakpoint be met for ever. */
static bool check_guests(struct softcpu *cpu, uint64_t pc) {
  CPUX86State *env = &cpu->x86.env;
  CPUBreakpoint *breakpoint;
  uint64_t reasons = 0;
  bool near = false, here = false;
  QTAILQ_FOREACH(breakpoint, &softcpu_cs(cpu)->breakpoints, entry) {
    near |= in_same_page(breakpoint->pc, pc);
    here |= breakpoint->pc == pc;
  }
  if (!here || env->eflags & RF_MASK) return near;
  for (int i = 0; i < DR7_MAX_BP; i++)
    if (!(env->dr[7] >> (DR7_TYPE_SHIFT + 4 * i) & 3) && env->dr[i] == pc) reasons |= 1 << i;
  raise_breakpoint(env, reasons);
}

/* Raises #DB if the instruction at this linear address has a breakpoint. True: one is in its page. */
bool debug_check_breakpoints(struct softcpu *cpu, uint64_t pc) {
  bool near = check_guests(cpu, pc);
  return check_debuggers(cpu, pc) || near;
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
