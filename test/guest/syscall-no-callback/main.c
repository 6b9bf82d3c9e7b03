/*
 * Rule: `syscall` in ring 3 without a syscall callback is #UD at the instruction
 * (xen/arch/x86/x86_64/entry.S lstar_enter, XSA-339).
 */
#include "test.h"

const char test_title[] = "System calls without a callback";

extern char event_callback[], failsafe_callback[], syscall_callback[];

STUB(do_syscall, "syscall");

void test_main(void) {
  must("set_callbacks", HYPERVISOR_set_callbacks(event_callback, failsafe_callback, NULL));
  expect_user("syscall", do_syscall, 0, UD, 0);
  must("set_callbacks", HYPERVISOR_set_callbacks(event_callback, failsafe_callback, syscall_callback));
  struct regs r;
  catch_user(do_syscall, 0, &r);
  print("with one again: %s", trap_name(r.vec));
}
