/* Handlers of every trap and callback, and the catch that most tests are made of. */
#include "test.h"

extern char trap_stubs[], event_callback[], syscall_callback[], failsafe_callback[], nmi_callback[];
extern ulong catch_rsp;
bool catch_kernel_asm(void (*fn)(ulong), ulong arg);
void catch_iret_asm(const struct regs *context, ulong vgcf);
void catch_return(void) __attribute__((noreturn));
void user_return(void);

ulong trap_cr2, trap_frame_top, failsafe_selectors[4];
bool (*trap_hook)(struct regs *regs);
void (*upcall_hook)(struct regs *regs);
static struct regs *catching;
bool (*catch_hook)(struct regs *regs);

bool trap_has_error_code(ulong vec) {
  return vec == DF || (vec >= TS && vec <= PF) || vec == AC || vec == 21 || vec == 29 || vec == 30;
}

const char *trap_name(ulong vec) {
  static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "09",
                                      "#TS", "#NP", "#SS", "#GP", "#PF", "15",  "#MF", "#AC", "#MC", "#XM"};
  static const char *const entries[] = {"upcall", "syscall", "failsafe", "sysenter", "syscall32", "nmi"};
  static char other[16];
  if (vec < ARRAY_SIZE(names)) return names[vec];
  if (vec >= EVENT_UPCALL && vec < EVENT_UPCALL + ARRAY_SIZE(entries)) return entries[vec - EVENT_UPCALL];
  if (vec == NO_TRAP) return "none";
  format(other, sizeof(other), "int %lx", vec);
  return other;
}

static void dump(const struct regs *r) {
  print("trap %s[%lx] at %lx cs %x mask %u rflags %lx rsp %lx ss %lx cr2 %lx", trap_name(r->vec), r->err,
        r->rip, r->cs, r->saved_upcall_mask, r->rflags, r->rsp, r->ss, trap_cr2);
  print("rax %lx rbx %lx rcx %lx rdx %lx rsi %lx rdi %lx rbp %lx r8 %lx", r->rax, r->rbx, r->rcx, r->rdx,
        r->rsi, r->rdi, r->rbp, r->r8);
}

void trap_c(struct regs *regs) {
  /* Before shared_info is mapped there is nothing to read, and nobody who asks. */
  if (shared_info) trap_cr2 = shared_info->vcpu_info[0].arch.cr2;
  trap_frame_top = (ulong)(regs + 1);
  if (catching && catch_hook && catch_hook(regs)) return;
  if (catching) {
    *catching = *regs;
    catching = NULL;
    catch_return();
  }
  if (regs->vec == EVENT_UPCALL && upcall_hook) {
    upcall_hook(regs);
    return;
  }
  if (trap_hook && trap_hook(regs)) return;
  dump(regs);
  error("unexpected trap");
}

bool catch_kernel(void (*fn)(ulong), ulong arg, struct regs *regs) {
  vcpu_info_t *vcpu = &shared_info->vcpu_info[0];
  uint8_t mask = vcpu->evtchn_upcall_mask;
  catching = regs;
  bool trapped = catch_kernel_asm(fn, arg);
  catching = NULL;
  vcpu->evtchn_upcall_mask = mask;
  return trapped;
}

void catch_iret(const struct regs *context, ulong vgcf, struct regs *regs) {
  vcpu_info_t *vcpu = &shared_info->vcpu_info[0];
  uint8_t mask = vcpu->evtchn_upcall_mask;
  catching = regs;
  catch_iret_asm(context, vgcf);
  vcpu->evtchn_upcall_mask = mask;
}

void set_user_return(void) {
  extern uint8_t user_stack_page[];
  ulong *top = (ulong *)(user_stack_page + PAGE_SIZE);
  top[-1] = user_address((void *)user_return);
}

void catch_user(void (*fn)(ulong), ulong arg, struct regs *regs) {
  set_user_return();
  struct regs context = {.rip = user_address((void *)fn),
                         .cs = FLAT_USER_CS64,
                         .rflags = X86_EFLAGS_IF | 2,
                         .rsp = USER_STACK_TOP - 8,
                         .ss = FLAT_USER_SS64,
                         .rdi = arg};
  catch_iret(&context, 0, regs);
}

void catch_user_hooked(void (*fn)(ulong), ulong arg, bool (*hook)(struct regs *), struct regs *regs) {
  catch_hook = hook;
  catch_user(fn, arg, regs);
  catch_hook = NULL;
}

ulong trap_entry(unsigned vec) {
  return (ulong)trap_stubs + 16ul * vec;
}

void set_gate(unsigned vec, unsigned flags, ulong address) {
  trap_info_t table[2] = {{(uint8_t)vec, (uint8_t)flags, FLAT_KERNEL_CS64, address}};
  /* An address of 0 ends the table, so taking a gate away needs the whole table (traps_init) without it. */
  must("set_trap_table", HYPERVISOR_set_trap_table(table));
}

void traps_init(void) {
  static trap_info_t table[257];
  for (unsigned vec = 0; vec < 256; vec++) {
    unsigned user = vec == BP || vec == OF || vec == RETURN_VECTOR;
    table[vec] = (trap_info_t){(uint8_t)vec, user ? 3 : 0, FLAT_KERNEL_CS64, trap_entry(vec)};
  }
  must("set_trap_table", HYPERVISOR_set_trap_table(table));
  must("set_callbacks", HYPERVISOR_set_callbacks(event_callback, failsafe_callback, syscall_callback));
  must("stack_switch", HYPERVISOR_stack_switch(FLAT_KERNEL_SS64, trap_stack_end));
}
