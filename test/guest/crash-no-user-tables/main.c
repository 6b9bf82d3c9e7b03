/* Rule: going to ring 3 without user page tables crashes the domain (xen/arch/x86/pv/iret.c do_iret). */
#include "test.h"

const char test_title[] = "Ring 3 without page tables";

STUB(nothing, "");

void test_main(void) {
  must("no user L4", mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0));
  print("Test result: SUCCESS");
  struct regs r;
  catch_user(nothing, 0, &r);
  print("ring 3 came back");
}
