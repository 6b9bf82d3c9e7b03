/* Where every trap arrives: what the monitor does itself, and what becomes a bounce frame on the guest's
 * kernel stack. */
#include "monitor.h"

enum {
  TRAP_divide_error,
  TRAP_debug,
  TRAP_nmi,
  TRAP_int3,
  TRAP_overflow,
  TRAP_bounds,
  TRAP_invalid_op,
  TRAP_no_device,
  TRAP_double_fault,
  TRAP_copro_seg,
  TRAP_invalid_tss,
  TRAP_no_segment,
  TRAP_stack_error,
  TRAP_gp_fault,
  TRAP_page_fault,
  TRAP_alignment_check = 17,
  TRAP_machine_check = 18
};

#define PF_PROTECTED_WRITE 3ul /* present, write, and not from user mode */
#define DR6_DEFAULT 0xffff0ff0ul
/* AC VM RF NT TF DF and IOPL: create_bounce_frame (xen/arch/x86/x86_64/entry.S) and SYSCALL's own mask. */
#define EFLAGS_NOT_FOR_KERNEL 0x67500ul
#define PTWR_CHUNK 64ul
#define INT80_VECTOR 0x80

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
  if (!guest_range_ok(from, size)) return -XEN_EFAULT;
  for (u64 i = 0; i < size; i++) {
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

static void deliver_events(struct vcpu_area *v, struct regs *r) {
  vcpu_info_t *info = vcpu_info(v);
  if (info->evtchn_upcall_pending && !info->evtchn_upcall_mask && v->event_callback)
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
  __asm__ volatile(
      "mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3; mov %4, %%dr7" ::"r"(v->dr[0]),
      "r"(v->dr[1]), "r"(v->dr[2]), "r"(v->dr[3]), "r"(v->dr[7]));
}

/* The LDT is read through the guest's own mapping of it; its descriptor stands beside the TSS in the reserved
 * page. */
static void load_ldt(struct vcpu_area *v) {
  u64 *gdt = (u64 *)(GDT_VA + v->id * BLOCK_SIZE + (SEL_LDT & ~7));
  u64 limit = v->ldt_entries * 8 - 1, base = v->ldt_base;
  if (v->ldt_entries) {
    gdt[0] = (limit & 0xffff) | (base & 0xffffff) << 16 | 0x82ul << 40 | (limit >> 16 & 15) << 48 |
             (base >> 24 & 0xff) << 56;
    gdt[1] = base >> 32;
  }
  __asm__ volatile("lldt %w0" ::"r"(v->ldt_entries ? SEL_LDT : 0) : "memory");
}

static void apply_pending(struct vcpu_area *v) {
  u64 pending = v->pending;
  if (likely(!pending)) return;
  v->pending = 0;
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
  if (pending & PENDING_XCR0)
    __asm__ volatile("xsetbv" ::"c"(0), "a"((u32)v->xcr0), "d"((u32)(v->xcr0 >> 32)) : "memory");
  if (pending & PENDING_SWAPGS) __asm__ volatile("swapgs" ::: "memory");
}

/*
 * ptwr: a kernel's write to an L1 table that it has mapped read-only. Xen emulates the instruction; here the
 * guest executes it itself, with the mapping made writable for that one step, and the entries it changed are
 * checked after.
 */
static int ptwr_begin(struct vcpu_area *v, struct regs *r) {
  u64 address = v->cr2;
  if (!guest_range_ok(address, 8)) return 0;
  u64 *mapping = walk_to_l1(v, address);
  if (!mapping || (*mapping & PF_PROTECTED_WRITE) != 1 || !is_l1_table((*mapping & PTE_ADDRESS) >> 12))
    return 0;
  struct ptwr *p = &v->ptwr;
  p->address = address;
  p->mapping_gpa = (u64)mapping - DIRECT_VA;
  p->chunk_gpa = (*mapping & PTE_ADDRESS) | (address & 0xffful & ~(PTWR_CHUNK - 1));
  p->rflags = r->rflags & (X86_EFLAGS_TF | X86_EFLAGS_IF);
  const u64 *chunk = direct(p->chunk_gpa);
  for (u64 i = 0; i < PTWR_CHUNK / 8; i++)
    p->old[i] = chunk[i];
  v->fault_registers = *r;
  *mapping |= 2;
  invlpg(address);
  r->rflags = (r->rflags & ~X86_EFLAGS_IF) | X86_EFLAGS_TF;
  p->active = 1;
  return 1;
}

static s64 ptwr_commit(struct vcpu_area *v, u64 gpa, u64 old, u64 value) {
  if (DOMAIN->flags & DOMAIN_FAST_PATHS) return l1_entry_written(v, old, value);
  v->hypercall[0] = gpa;
  v->hypercall[1] = old;
  v->hypercall[2] = value;
  exit_to_hypervisor(v, MONITOR_EXIT_PTWR);
  return v->hypercall_result;
}

/* Returns 1 when the trap was only the step's own #DB. */
static int ptwr_finish(struct vcpu_area *v, struct regs *r) {
  struct ptwr *p = &v->ptwr;
  u64 *chunk = direct(p->chunk_gpa);
  u64 *mapping = direct(p->mapping_gpa);
  int stepped = r->vector == TRAP_debug;
  p->active = 0;
  *mapping &= ~2ul;
  invlpg(p->address);
  r->rflags = (r->rflags & ~(X86_EFLAGS_TF | X86_EFLAGS_IF)) | p->rflags;
  for (u64 i = 0; i < PTWR_CHUNK / 8; i++) {
    u64 value = chunk[i];
    if (value == p->old[i]) continue;
    if (ptwr_commit(v, p->chunk_gpa + i * 8, p->old[i], value)) {
      /* Xen refuses to emulate it: the guest sees the fault of its write, with nothing done. */
      chunk[i] = p->old[i];
      *r = v->fault_registers;
      v->cr2 = p->address;
      vcpu_info(v)->arch.cr2 = p->address;
      inject_exception(v, r, TRAP_page_fault, PF_PROTECTED_WRITE);
      return 1;
    }
  }
  return stepped && !(p->rflags & X86_EFLAGS_TF);
}

static void page_fault(struct vcpu_area *v, struct regs *r) {
  if (!v->user && (r->error_code & 0x1f) == PF_PROTECTED_WRITE && ptwr_begin(v, r)) return;
  vcpu_info(v)->arch.cr2 = v->cr2;
  inject_exception(v, r, TRAP_page_fault, (u32)r->error_code);
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

static void exception(struct vcpu_area *v, struct regs *r) {
  switch (r->vector) {
  case TRAP_nmi:
  case TRAP_machine_check:
    return;
  case TRAP_double_fault:
    crash(v, CRASH_DOUBLE_FAULT);
  case TRAP_debug: {
    u64 dr6;
    __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
    __asm__ volatile("mov %0, %%dr6" ::"r"(DR6_DEFAULT));
    v->dr[6] = dr6;
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
    if (software_interrupt(v, r) || (!v->user && emulate_privileged(v, r))) return;
    break;
  case TRAP_page_fault:
    page_fault(v, r);
    return;
  }
  inject_exception(v, r, r->vector, (u32)r->error_code);
}

static void syscall(struct vcpu_area *v, struct regs *r) {
  if (v->user) {
    bounce(v, r, v->syscall_callback, 0, 0, v->syscall_flags & 1);
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
  if (r->vector == TRAP_page_fault) __asm__ volatile("mov %%cr2, %0" : "=r"(v->cr2));
  if (unlikely(v->ptwr.active) && ptwr_finish(v, r)) r->vector = KICK_VECTOR;
  if (r->vector == VECTOR_SYSCALL)
    syscall(v, r);
  else if (r->vector == VECTOR_SYSCALL_COMPAT) {
    /* No guest can register a 32-bit syscall callback: the instruction is undefined. */
    r->rip -= 2;
    inject_exception(v, r, TRAP_invalid_op, 0);
  } else if (r->vector == INT80_VECTOR)
    int80(v, r);
  else if (r->vector < 32)
    exception(v, r);
  if (likely(!v->ptwr.active)) deliver_events(v, r);
  apply_pending(v);
}

extern char iretq_to_guest[];
extern const u32 stub_fixups[], stub_iretqs[];
extern const int ex_table_start[], ex_table_end[];

/* The guest chose what the last iretq loads: its fault is the guest's #GP, taken where iretq would have gone.
 */
static struct regs *iretq_fault(struct vcpu_area *v, struct regs *r) {
  struct regs copy = *r;
  const u64 *frame = (const u64 *)r->rsp;
  struct regs *top = (struct regs *)(((u64)r & ~(BLOCK_SIZE - 1)) + BLOCK_STACK_TOP) - 1;
  copy.rip = frame[0];
  copy.cs = frame[1];
  copy.rflags = frame[2];
  copy.rsp = frame[3];
  copy.ss = frame[4];
  *top = copy;
  v->registers = (u64)top - MONITOR_VA;
  inject_exception(v, top, TRAP_gp_fault, (u32)top->error_code);
  apply_pending(v);
  return top;
}

/* A fault in ring 0. Returns the frame to go on with. */
struct regs *trap_inside(struct regs *r);
struct regs *trap_inside(struct regs *r) {
  struct vcpu_area *v = this_vcpu();
  u64 stub = ((u64)r & ~(BLOCK_SIZE - 1)) + BLOCK_STUB, offset = r->rip - stub;
  if (r->rip == (u64)iretq_to_guest) return iretq_fault(v, r);
  for (const u32 *p = stub_iretqs; *p; p++)
    if (offset == *p) return iretq_fault(v, r);
  for (const u32 *p = stub_fixups; p[1]; p += 3)
    if (offset >= p[0] && offset < p[1]) {
      r->rip = stub + p[2];
      return r;
    }
  for (const int *p = ex_table_start; p < ex_table_end; p += 2)
    if (r->rip == (u64)p + p[0]) {
      r->rip = (u64)(p + 1) + p[1];
      return r;
    }
  v->registers = (u64)r - MONITOR_VA;
  __asm__ volatile("mov %%cr2, %0" : "=r"(v->cr2));
  for (;;)
    exit_to_hypervisor(v, MONITOR_EXIT_PANIC);
}
