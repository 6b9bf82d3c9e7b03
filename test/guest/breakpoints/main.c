/*
 * Rule: breakpoints set by HYPERVISOR_set_debugreg fire in guest kernel and user: before an instruction,
 * after a data access; DR6 says which (xen/arch/x86/traps.c do_debug).
 */
#include "test.h"

const char test_title[] = "Hardware breakpoints";

STUB(two_nops, "nop; nop");
STUB(store, "movl $1, (%rdi); nop");
STUB(load, "mov (%rdi), %eax; nop");

static void hit(const char *mode, const char *name, bool trapped, const struct regs *r, ulong start) {
  if (trapped && r->vec == DB)
    print("%s, %s: #DB +%ld, DR6 %lx", mode, name, (long)(r->rip - start),
          (ulong)HYPERVISOR_get_debugreg(6) & 0xf);
  else
    print("%s, %s: %s", mode, name, trapped ? trap_name(r->vec) : "none");
}

static void both(const char *name, void (*fn)(ulong), ulong arg, ulong kernel_dr0, ulong user_dr0,
                 ulong dr7) {
  struct regs r = {.vec = NO_TRAP};
  must("DR6", HYPERVISOR_set_debugreg(6, 0));
  must("DR0", HYPERVISOR_set_debugreg(0, kernel_dr0));
  must("DR7", HYPERVISOR_set_debugreg(7, dr7));
  bool trapped = catch_kernel(fn, arg, &r);
  must("DR7", HYPERVISOR_set_debugreg(7, 0));
  hit("kernel", name, trapped, &r, (ulong)fn);
  must("DR6", HYPERVISOR_set_debugreg(6, 0));
  must("DR0", HYPERVISOR_set_debugreg(0, user_dr0));
  must("DR7", HYPERVISOR_set_debugreg(7, dr7));
  catch_user(fn, arg, &r);
  must("DR7", HYPERVISOR_set_debugreg(7, 0));
  hit("user", name, true, &r, user_address((void *)fn));
}

void test_main(void) {
  uint64_t *page = page_alloc();
  must("map", set_l1e(USER_SCRATCH, ((uint64_t)mfn_of(page) << PAGE_SHIFT) | PTE_USER));
  ulong kernel = (ulong)two_nops + 1, user = user_address((void *)two_nops) + 1;
  both("execute", two_nops, 0, kernel, user, 0x00001);
  both("execute, off", two_nops, 0, kernel, user, 0);
  both("write of 4, store", store, USER_SCRATCH, USER_SCRATCH, USER_SCRATCH, 0xd0001);
  both("write of 4, load", load, USER_SCRATCH, USER_SCRATCH, USER_SCRATCH, 0xd0001);
  both("write of 4, store beside", store, USER_SCRATCH + 4, USER_SCRATCH, USER_SCRATCH, 0xd0001);
  both("access of 4, load", load, USER_SCRATCH, USER_SCRATCH, USER_SCRATCH, 0xf0001);
  both("write of 8, store inside", store, USER_SCRATCH + 4, USER_SCRATCH, USER_SCRATCH, 0x90001);
}
