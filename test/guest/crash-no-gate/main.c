/*
 * Rule: a trap whose vector has no gate crashes the domain: there is no way to tell the guest.
 * HYPERVISOR_set_trap_table adds to what is there, and a NULL table takes every gate away
 * (xen/arch/x86/pv/callback.c do_set_trap_table, x86_64/entry.S create_bounce_frame).
 */
#include "test.h"

const char test_title[] = "A trap without a gate";

STUB(breakpoint, "int3");

void test_main(void) {
  must("no gates", HYPERVISOR_set_trap_table(NULL));
  set_gate(BP, 3, trap_entry(BP));
  expect_kernel("a gate that is there", breakpoint, 0, BP, 0);
  print("Test result: SUCCESS");
  asm volatile("ud2");
  print("ud2 came back");
}
