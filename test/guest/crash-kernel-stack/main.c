/*
 * Rule: a trap from ring 3 whose frame cannot be written to the kernel stack crashes the domain
 * (xen/arch/x86/x86_64/entry.S create_bounce_frame).
 */
#include "test.h"

const char test_title[] = "A trap onto a stack that is not there";

STUB(ud, "ud2");

void test_main(void) {
  must("stack_switch", HYPERVISOR_stack_switch(FLAT_KERNEL_SS64, USER_SCRATCH + PAGE_SIZE));
  print("Test result: SUCCESS");
  struct regs r;
  catch_user(ud, 0, &r);
  print("ud2 came back");
}
