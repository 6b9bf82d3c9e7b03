/*
 * A program that does anything: random instructions, registers, flags and selectors in ring 3, with
 * watchpoints and single steps. Whatever it does, its kernel gets a trap or an event, in good order, and goes
 * on. Command line: seed=N cases=N.
 */
#include "fuzz.h"
#include "time.h"
#include <xen/callback.h>

const char test_title[] = "Ring 3 at random";

#define MAX_RESUMES 24
#define GATE_MASKS 4
/* Cases that loop for ever are ended by the timer. */
#define TIMER_NS 300000ul

extern char syscall_callback[];

static uint8_t *code, *data;
static unsigned resumes, events;
/* By vector, callbacks behind them. */
static unsigned long traps[SYSCALL_CALLBACK + 1];
static struct { uint64_t mark; } kernel_gs __attribute__((aligned(64)));
static const uint64_t MARK = 0x6b65726e656c6773;

static ulong any_flags(void) {
  static const ulong some[] = {X86_EFLAGS_TF, X86_EFLAGS_DF, X86_EFLAGS_NT,   X86_EFLAGS_RF,
                               X86_EFLAGS_AC, X86_EFLAGS_ID, X86_EFLAGS_IOPL, 0x1a0000};
  ulong flags = X86_EFLAGS_IF | 2;
  while (one_in(3))
    flags |= some[below(ARRAY_SIZE(some))];
  return one_in(16) ? flags | draw() : flags;
}

static ulong any_number(void) {
  return one_in(3) ? draw() : one_in(2) ? below(64) : 1ul << below(64);
}

static void any_registers(struct regs *r) {
  for (ulong *word = (ulong *)r; word < &r->vec; word++)
    *word = one_in(2) ? any_number() : any_address();
  r->rdi = any_address();
  r->rsi = any_address();
  r->rbx = any_address();
  r->rdx = one_in(2) ? any_selector() : any_number();
  r->rax = one_in(2) ? any_flags() : any_number();
  r->rcx = one_in(2) ? below(4) : any_number();
}

static ulong any_slot(void) {
  return CODE_VA + below(NR_SLOTS) * SLOT;
}

static void any_context(struct regs *r) {
  any_registers(r);
  r->rip = one_in(16) ? any_address() : any_slot();
  r->cs = one_in(3) ? any_selector() | 3 : FLAT_USER_CS64;
  r->ss = one_in(3) ? any_selector() : FLAT_USER_SS64;
  r->rflags = any_flags() | X86_EFLAGS_IF;
  r->rsp = one_in(3) ? any_address() : DATA_VA + PAGE_SIZE - 256;
}

/* What every frame from ring 3 has, and what a kernel relies on at its entry. */
static void check_entry(const struct regs *r) {
  uint64_t mark, flags = read_rflags();
  asm volatile("mov %%gs:0, %0" : "=r"(mark));
  check(mark == MARK, "gs is not the kernel's: %lx", mark);
  check((r->cs & 3) == 3, "cs %x", r->cs);
  check(!(r->rflags & X86_EFLAGS_IOPL), "IOPL in %lx", r->rflags);
  check(!(flags & (X86_EFLAGS_TF | X86_EFLAGS_NT | X86_EFLAGS_AC)), "kernel's flags %lx", flags);
}

static bool resume(struct regs *r) {
  if ((r->cs & 3) != 3) return false;
  check_entry(r);
  traps[r->vec]++;
  if (r->vec == EVENT_UPCALL) {
    events++;
    return false;
  }
  if (resumes++ >= MAX_RESUMES || one_in(12)) return false;
  /* Stepping goes on where it is, most of the time. */
  if (r->vec == DB && !one_in(8)) return true;
  if (one_in(4))
    any_context(r);
  else
    r->rip = any_slot();
  if (one_in(2)) r->rflags &= ~X86_EFLAGS_TF;
  if (one_in(8)) r->rflags |= X86_EFLAGS_RF;
  return true;
}

static void any_watchpoints(void) {
  ulong dr7 = 0;
  for (unsigned i = 0; i < 4; i++) {
    if (!one_in(3)) continue;
    ulong address = any_address(), kind = below(4);
    /* Not on the kernel's memory: its own trap handlers would meet them for ever. */
    if (address >> 47 || HYPERVISOR_set_debugreg((int)i, address)) continue;
    if (kind == 2) kind = 3;
    dr7 |= 1ul << (2 * i) | kind << (16 + 4 * i) | (kind ? below(4) : 0) << (18 + 4 * i);
  }
  HYPERVISOR_set_debugreg(7, dr7);
}

static void one_case(void) {
  struct regs context = {0}, r;
  for (unsigned i = 0; i < 64; i++)
    write_slot(code + below(NR_SLOTS) * SLOT);
  for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
    ((uint64_t *)data)[i] = one_in(2) ? any_address() : any_selector();
  any_context(&context);
  physdev_set_iopl_t iopl = {.iopl = one_in(8) ? 3 : 1};
  must("set_iopl", HYPERVISOR_physdev_op(PHYSDEVOP_set_iopl, &iopl));
  must("fpu_taskswitch", HYPERVISOR_fpu_taskswitch(one_in(4)));
  if (one_in(8)) HYPERVISOR_set_segment_base(SEGBASE_GS_USER_SEL, any_selector());
  if (one_in(4)) any_watchpoints();
  resumes = 0;
  must("set_timer_op", HYPERVISOR_set_timer_op(system_time() + TIMER_NS));
  catch_hook = resume;
  catch_iret(&context, one_in(4) ? VGCF_in_syscall : 0, &r);
  catch_hook = NULL;
  must("DR7", HYPERVISOR_set_debugreg(7, 0));
  must("set_timer_op", HYPERVISOR_set_timer_op(0));
  shared_info->vcpu_info[0].evtchn_upcall_pending = 0;
  shared_info->vcpu_info[0].evtchn_pending_sel = 0;
}

/* Events stay away while the kernel runs. Ring 3 may use some gates, of those that never push an error code.
 */
static void open_gates(void) {
  for (unsigned vec = 0; vec < 256; vec++) {
    bool open = vec == BP || vec == OF || vec == RETURN_VECTOR || (one_in(16) && !trap_has_error_code(vec));
    set_gate(vec, (open ? 3 : 0) | GATE_MASKS, trap_entry(vec));
  }
  callback_register_t op = {
      .type = CALLBACKTYPE_syscall, .flags = CALLBACKF_mask_events, .address = (ulong)syscall_callback};
  must("syscall", HYPERVISOR_callback_op(CALLBACKOP_register, &op));
}

void test_main(void) {
  ulong cases = setting("cases=", 2000), seed = setting("seed=", 1);
  seed_draws(seed);
  code = page_alloc();
  for (unsigned i = 1; i < CODE_PAGES; i++)
    check(page_alloc() == code + i * PAGE_SIZE, "the pages of code lie apart");
  data = page_alloc();
  for (unsigned i = 0; i < CODE_PAGES; i++)
    must("map",
         set_l1e(CODE_VA + i * PAGE_SIZE, ((uint64_t)mfn_of(code + i * PAGE_SIZE) << PAGE_SHIFT) | PTE_USER));
  must("map", set_l1e(DATA_VA, ((uint64_t)mfn_of(data) << PAGE_SHIFT) | PTE_USER));
  kernel_gs.mark = MARK;
  must("GS_KERNEL", HYPERVISOR_set_segment_base(SEGBASE_GS_KERNEL, (ulong)&kernel_gs));
  must("stop_periodic", HYPERVISOR_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL));
  unsigned port = bind_virq(VIRQ_TIMER);
  open_gates();
  install_tables();
  for (unsigned i = 0; i < NR_SLOTS; i++)
    write_slot(code + i * SLOT);
  for (ulong i = 0; i < cases; i++) {
    one_case();
    clear_event(port);
  }
  ulong kinds = 0, all = 0;
  for (unsigned i = 0; i < ARRAY_SIZE(traps); i++) {
    kinds += traps[i] != 0;
    all += traps[i];
  }
  print("%lu cases: %lu traps of %lu kinds, %u ended by the timer", cases, all, kinds, events);
}
