/* Where every trap arrives: what the monitor does itself, and what becomes a bounce frame on the guest's
 * kernel stack. */
#include "smp.h"

#define PFEC_user_mode 4ul
#define DR6_DEFAULT 0xffff0ff0ul
/* AC VM RF NT TF DF and IOPL: create_bounce_frame (xen/arch/x86/x86_64/entry.S) and SYSCALL's own mask. */
#define EFLAGS_NOT_FOR_KERNEL 0x77500ul
#define SYSCALL_SIZE 2

void crash(struct vcpu_area *v, u64 reason) {
  v->crash_reason = reason;
  for (;;)
    exit_to_hypervisor(v, MONITOR_EXIT_CRASH);
}

void write_cr0_ts(struct vcpu_area *v, u64 ts) {
  u64 cr0;
  v->cr0_ts = ts;
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  if (ts)
    __asm__ volatile("mov %0, %%cr0" ::"r"(cr0 | 8) : "memory");
  else
    __asm__ volatile("clts" ::: "memory");
}

int copy_from_guest(void *to, u64 from, u64 size) {
  u8 *bytes = to, byte;
  u64 i = 0, word;
  if (!guest_range_ok(from, size)) return -XEN_EFAULT;
  for (; i + 8 <= size; i += 8) {
    get_guest(word, from + i, fault);
    __builtin_memcpy(bytes + i, &word, 8);
  }
  for (; i < size; i++) {
    get_guest(byte, from + i, fault);
    bytes[i] = byte;
  }
  return 0;
fault:
  return -XEN_EFAULT;
}

void bounce(struct vcpu_area *v, struct regs *r, u64 handler, int has_error_code, u64 error_code, int mask) {
  vcpu_info_t *info = vcpu_info(v);
  u64 masked = info->evtchn_upcall_mask, user = v->user;
  u64 sp = (user ? v->kernel_sp : r->rsp) & ~15ul;
  u64 frame[8], words = 0;
  if (!handler) crash(v, CRASH_NO_HANDLER);
  frame[words++] = r->rcx;
  frame[words++] = r->r11;
  if (has_error_code) frame[words++] = error_code;
  frame[words++] = r->rip;
  frame[words++] = (user ? r->cs : SEL_SHOWN_KERNEL_CS) | (masked & 1) << 32;
  frame[words++] = (r->rflags & ~(X86_EFLAGS_IF | 0x3000ul)) | (masked ? 0 : X86_EFLAGS_IF);
  frame[words++] = r->rsp;
  frame[words++] = user ? r->ss : v->kernel_ss;
  sp -= words * 8;
  if (!guest_range_ok(sp, words * 8)) crash(v, CRASH_BAD_STACK);
  for (u64 i = 0; i < words; i++)
    put_guest(frame[i], sp + i * 8, bad_stack);
  if (user) {
    v->user = 0;
    v->pending ^= PENDING_SWAPGS;
  }
  if (mask) info->evtchn_upcall_mask = 1;
  v->kernel_ss = SEL_SHOWN_KERNEL_SS;
  r->rsp = sp;
  r->rip = handler;
  r->cs = SEL_KERNEL_CS;
  r->ss = SEL_KERNEL_SS;
  r->rflags = (r->rflags & ~EFLAGS_NOT_FOR_KERNEL) | X86_EFLAGS_IF | 2;
  return;
bad_stack:
  crash(v, CRASH_BAD_STACK);
}

static int has_error_code(unsigned vector) {
  return vector == TRAP_double_fault || (vector >= TRAP_invalid_tss && vector <= TRAP_page_fault) ||
         vector == TRAP_alignment_check;
}

void inject_exception(struct vcpu_area *v, struct regs *r, unsigned vector, u64 error_code) {
  struct trap_handler *handler = &v->traps[vector & 0xff];
  bounce(v, r, handler->address, has_error_code(vector), error_code, handler->flags & 4);
}

void deliver_events(struct vcpu_area *v, struct regs *r) {
  vcpu_info_t *info = vcpu_info(v);
  if (info->evtchn_upcall_pending && !info->evtchn_upcall_mask && v->event_callback &&
      !(v->debug & DEBUG_STOP))
    bounce(v, r, v->event_callback, 0, 0, 1);
}

static void load_gs_selector(struct vcpu_area *v) {
  /* The user's GS is the inactive one while the kernel runs (do_set_segment_base, SEGBASE_GS_USER_SEL). */
  __asm__ volatile("swapgs" ::: "memory");
  __asm__ goto("1: mov %w0, %%gs\n" EX_TABLE("1b", "bad")::"r"(v->gs_selector) : "memory" : bad);
  __asm__ volatile("swapgs" ::: "memory");
  return;
bad:
  __asm__ volatile("mov %w0, %%gs; swapgs" ::"r"(0) : "memory");
}

static void load_debugregs(struct vcpu_area *v) {
  u64 debugger = v->debug_dr[4], dr7 = debugger ? debugger : v->dr[7];
  const u64 *dr = debugger ? v->debug_dr : v->dr;
  __asm__ volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3; mov %4, %%dr7" ::"r"(dr[0]),
                   "r"(dr[1]), "r"(dr[2]), "r"(dr[3]), "r"(dr7));
}

void apply_pending(struct vcpu_area *v) {
  if (unlikely(v->flush_requests != v->flush_done)) flush_if_asked(v);
  if (likely(!v->pending)) return;
  /* At once: the hypervisor may stop the vCPU between any two instructions, and add to it. */
  u64 pending = __atomic_exchange_n(&v->pending, 0, __ATOMIC_SEQ_CST);
  if (unlikely(pending & (PENDING_FLUSH_ALL | PENDING_FLUSH_OTHERS))) pending |= flush_others(v, pending);
  if (pending & PENDING_CR3)
    flush_tlb(v);
  else if (pending & PENDING_INVLPG)
    invlpg(v->invlpg_address);
  if (pending & PENDING_FS_BASE) wrmsr(MSR_FS_BASE, v->fs_base);
  if (pending & PENDING_GS_BASE_KERNEL) wrmsr(MSR_GS_BASE, v->gs_base_kernel);
  if (pending & PENDING_GS_BASE_USER) wrmsr(MSR_KERNEL_GS_BASE, v->gs_base_user);
  if (pending & PENDING_LDT) load_ldt(v);
  if (pending & PENDING_GS_SELECTOR) load_gs_selector(v);
  if (pending & PENDING_CR0_TS) write_cr0_ts(v, v->cr0_ts);
  if (pending & PENDING_DEBUGREGS) load_debugregs(v);
  if (pending & PENDING_TIMER) timers_changed(v);
  if (pending & PENDING_XCR0)
    __asm__ volatile("xsetbv" ::"c"(0), "a"((u32)v->xcr0), "d"((u32)(v->xcr0 >> 32)) : "memory");
  if (pending & PENDING_SWAPGS) __asm__ volatile("swapgs" ::: "memory");
}

void inject_page_fault(struct vcpu_area *v, struct regs *r, u64 address, u64 error_code) {
  vcpu_info(v)->arch.cr2 = address;
  /* The CPU reads descriptors as a supervisor, whoever made it. */
  inject_exception(v, r, TRAP_page_fault, (error_code & ~PFEC_user_mode) | (v->user ? PFEC_user_mode : 0));
}

static void page_fault(struct vcpu_area *v, struct regs *r) {
  u64 error_code = (u32)r->error_code;
  if (!v->user) {
    if ((error_code & 0x1f) == PF_PROTECTED_WRITE && ptwr_begin(v, r)) return;
    if (unlikely(error_code & PFEC_user_mode) && leave_ring3(r)) return;
  }
  if (likely(!is_ldt_fault(v, v->cr2, error_code)))
    inject_page_fault(v, r, v->cr2, error_code);
  else if (!map_ldt(v, v->cr2))
    inject_ldt_fault(v, r, v->cr2, error_code);
}

/* permit_softint (xen/arch/x86/include/asm/traps.h): int n through the guest's own table and its DPLs. */
static int software_interrupt(struct vcpu_area *v, struct regs *r) {
  if ((r->error_code & 7) != 2) return 0;
  unsigned vector = (r->error_code >> 3) & 0xff;
  if ((v->traps[vector].flags & 3u) < (v->user ? 3u : 1u)) return 0;
  r->rip += 2;
  struct trap_handler *handler = &v->traps[vector];
  bounce(v, r, handler->address, 0, 0, handler->flags & 4);
  return 1;
}

/* int 0x80 has a gate of its own (int80_direct_trap): the guest's DPL does not matter, but there must be a
 * handler. */
static void int80(struct vcpu_area *v, struct regs *r) {
  struct trap_handler *handler = &v->traps[INT80_VECTOR];
  if (handler->address) {
    bounce(v, r, handler->address, 0, 0, handler->flags & 4);
  } else {
    r->rip -= 2;
    inject_exception(v, r, TRAP_gp_fault, INT80_VECTOR << 3 | 2);
  }
}

static u64 take_dr6(void) {
  u64 dr6;
  __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
  __asm__ volatile("mov %0, %%dr6" ::"r"(DR6_DEFAULT));
  return dr6;
}

static void exception(struct vcpu_area *v, struct regs *r) {
  switch (r->vector) {
  case TRAP_nmi:
  case TRAP_machine_check:
    return;
  case TRAP_double_fault:
    crash(v, CRASH_DOUBLE_FAULT);
  case TRAP_debug: {
    /* do_debug: the guest's DR6 collects, as a real one does. */
    u64 dr6 = take_dr6();
    if (unlikely(v->debug & DEBUG_TRAPS) && !debug_trap(v, &dr6)) return;
    v->dr[6] = (v->dr[6] | (dr6 & ~DR6_DEFAULT)) & (dr6 | ~DR6_DEFAULT);
    break;
  }
  case TRAP_invalid_op:
    if (emulate_forced_cpuid(v, r)) return;
    break;
  case TRAP_no_device: {
    u64 wanted = v->cr0_ts;
    write_cr0_ts(v, 0);
    if (!wanted) return;
    break;
  }
  case TRAP_gp_fault:
    if (software_interrupt(v, r)) return;
    if (!r->error_code && emulate_privileged(v, r)) return;
    if (!v->user && emulate_ring3(v, r)) return;
    break;
  case TRAP_page_fault:
    page_fault(v, r);
    return;
  }
  inject_exception(v, r, r->vector, (u32)r->error_code);
}

/* From outside; the guest's own INT n are faults. */
static void interrupt(struct vcpu_area *v, u64 vector) {
  if (!(DOMAIN->flags & DOMAIN_LAPIC)) return;
  wrmsr(MSR_X2APIC_EOI, 0);
  if (vector == TIMER_VECTOR) timer_interrupt(v);
}

static void undefined_syscall(struct vcpu_area *v, struct regs *r) {
  r->rip -= SYSCALL_SIZE;
  inject_exception(v, r, TRAP_invalid_op, 0);
}

static void syscall(struct vcpu_area *v, struct regs *r) {
  if (v->user && v->syscall_callback) {
    bounce(v, r, v->syscall_callback, 0, 0, v->syscall_flags & 1);
    return;
  }
  if (v->user) {
    /* lstar_enter since XSA-339 */
    undefined_syscall(v, r);
    return;
  }
  r->cs = SEL_KERNEL_CS;
  r->ss = SEL_KERNEL_SS;
  hypercall(v, r);
}

void trap_entry(struct regs *r);
void trap_entry(struct regs *r) {
  struct vcpu_area *v = this_vcpu();
  v->registers = (u64)r - MONITOR_VA;
  if (r->vector == TRAP_page_fault) v->cr2 = read_cr2();
  if (unlikely(v->debug)) debug_enter(v, r);
  if (unlikely(v->ptwr.active) && ptwr_finish(v, r)) r->vector = VECTOR_NONE;
  if (r->vector == VECTOR_SYSCALL)
    syscall(v, r);
  else if (r->vector == VECTOR_SYSCALL_COMPAT) {
    /* No guest can register a 32-bit syscall callback. */
    undefined_syscall(v, r);
  } else if (r->vector == INT80_VECTOR)
    int80(v, r);
  else if (r->vector < 32)
    exception(v, r);
  else if (r->vector != VECTOR_NONE)
    interrupt(v, r->vector);
  if (likely(!v->ptwr.active)) {
    deliver_events(v, r);
    if (unlikely(v->nmi)) exit_to_hypervisor(v, MONITOR_EXIT_NMI);
  }
  apply_pending(v);
  if (unlikely(v->debug)) debug_leave(v, r);
  if (unlikely(v->rest)) exit_to_hypervisor(v, MONITOR_EXIT_REST);
}

extern char iretq_to_guest[];
extern const u32 stub_fixups[], stub_iretqs[];
extern const int ex_table_start[], ex_table_end[];

static struct regs *main_stack(struct vcpu_area *v) {
  return (struct regs *)(((u64)v & ~(BLOCK_SIZE - 1)) + BLOCK_STACK_TOP) - 1;
}

/*
 * Interrupts and some traps have a stack of their own, as they may come before SYSCALL's code has left the
 * user's (#DB: a `mov ss` with a watchpoint right before it). Out of the guest they go on where every trap
 * does: what is done for them may meet a watchpoint again.
 */
struct regs *to_main_stack(const struct regs *r);
struct regs *to_main_stack(const struct regs *r) {
  struct regs *top = main_stack(this_vcpu());
  *top = *r;
  return top;
}

/*
 * The guest chose what the last iretq loads: its fault is the guest's (handle_exception by _ASM_PRE_EXTABLE
 * in xen/arch/x86/x86_64/entry.S), taken where iretq would have gone.
 */
static struct regs *iretq_fault(struct vcpu_area *v, struct regs *r) {
  struct regs copy = *r, *top = main_stack(v);
  const u64 *frame = (const u64 *)r->rsp;
  copy.rip = frame[0];
  copy.cs = frame[1];
  copy.rflags = frame[2];
  copy.rsp = frame[3];
  copy.ss = frame[4];
  *top = copy;
  v->registers = (u64)top - MONITOR_VA;
  if (unlikely(v->debug)) debug_enter(v, top);
  if (top->vector == TRAP_page_fault)
    inject_ldt_fault(v, top, read_cr2(), (u32)top->error_code);
  else
    inject_exception(v, top, top->vector, (u32)top->error_code);
  apply_pending(v);
  if (unlikely(v->debug)) debug_leave(v, top);
  return top;
}

static int is_iretq(u64 rip, u64 stub_offset) {
  if (rip == (u64)iretq_to_guest) return 1;
  for (const u32 *p = stub_iretqs; *p; p++)
    if (stub_offset == *p) return 1;
  return 0;
}

/* Traps in ring 0 that change nothing: a watchpoint on what the monitor reads or writes for the guest
 * (do_debug ignores it as well), an NMI, an LDT page that is now mapped. */
static int is_harmless(struct vcpu_area *v, struct regs *r) {
  switch (r->vector) {
  case TRAP_debug:
    take_dr6();
    return 1;
  case TRAP_nmi:
    return 1;
  case TRAP_page_fault:
    return is_ldt_fault(v, read_cr2(), r->error_code) && map_ldt(v, read_cr2());
  default:
    return 0;
  }
}

static int fix_up_stub(struct regs *r, u64 stub) {
  u64 offset = r->rip - stub;
  for (const u32 *p = stub_fixups; p[1]; p += 3)
    if (offset >= p[0] && offset < p[1]) {
      r->rip = stub + p[2];
      r->rflags &= ~X86_EFLAGS_IF;
      return 1;
    }
  return 0;
}

/* A trap in ring 0. Returns the frame to go on with. */
struct regs *trap_inside(struct regs *r);
struct regs *trap_inside(struct regs *r) {
  struct vcpu_area *v = this_vcpu();
  u64 stub = ((u64)v & ~(BLOCK_SIZE - 1)) + BLOCK_STUB;
  if (r->vector >= FIRST_INTERRUPT) {
    /* In the stub, whose C code looks for what it is about; or it ends HLT: vcpu_sleep(). */
    interrupt(v, r->vector);
    fix_up_stub(r, stub);
    return r;
  }
  if (is_harmless(v, r)) return r;
  if (is_iretq(r->rip, r->rip - stub)) return iretq_fault(v, r);
  if (fix_up_stub(r, stub)) return r;
  for (const int *p = ex_table_start; p < ex_table_end; p += 2)
    if (r->rip == (u64)p + p[0]) {
      r->rip = (u64)(p + 1) + p[1];
      return r;
    }
  v->registers = (u64)r - MONITOR_VA;
  v->cr2 = read_cr2();
  for (;;)
    exit_to_hypervisor(v, MONITOR_EXIT_PANIC);
}
