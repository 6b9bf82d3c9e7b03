/* Rule: HYPERVISOR_iret with a stack that cannot be read crashes the domain (xen/arch/x86/pv/iret.c do_iret).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_iret without a frame";

void test_main(void) {
  print("Test result: SUCCESS");
  asm volatile("mov %0, %%rsp; syscall"
               :
               : "r"(USER_SCRATCH), "a"(__HYPERVISOR_iret)
               : "rcx", "r11", "memory");
  __builtin_unreachable();
}
