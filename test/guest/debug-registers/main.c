/*
 * Rule: HYPERVISOR_set_debugreg keeps DR0-3 (guest addresses only), DR6 and DR7 (reserved bits forced,
 * general detect refused); get_debugreg gives them back, DR4 and 5 as 6 and 7 while CR4.DE is clear
 * (xen/arch/x86/pv/misc-hypercalls.c, traps.c set_debugreg).
 */
#include "test.h"

const char test_title[] = "Debug registers";

static void set_and_get(const char *name, unsigned reg, ulong value) {
  long rc = HYPERVISOR_set_debugreg(reg, value);
  if (rc)
    print("%s: %s", name, errno_name(rc));
  else
    print("%s: reads %lx", name, (ulong)HYPERVISOR_get_debugreg(reg));
}

STUB(step, "pushfq; orl $0x100, (%rsp); popfq; nop; nop");
STUB(icebp, ".byte 0xf1");

void test_main(void) {
  set_and_get("DR0, user address", 0, 0x400123);
  set_and_get("DR1, kernel address", 1, 0xffffffff80100000);
  set_and_get("DR2, 0", 2, 0);
  set_and_get("DR3, top of the lower half", 3, 0x00007fffffffffff);
  set_and_get("DR0, Xen's hole", 0, 0xffff830000000000);
  set_and_get("DR0, M2P", 0, 0xffff800000000000);
  set_and_get("DR0, not canonical", 0, 0x0000900000000000);
  set_and_get("DR4", 4, 0);
  set_and_get("DR5", 5, 0);
  set_and_get("DR6, 0", 6, 0);
  set_and_get("DR6, ones", 6, 0xffffffff);
  set_and_get("DR6, more than 32 bits", 6, 0x100000000);
  set_and_get("DR7, 0", 7, 0);
  set_and_get("DR7, reserved bits", 7, 0xd000);
  set_and_get("DR7, general detect", 7, 0x2000);
  set_and_get("DR7, more than 32 bits", 7, 0x100000000);
  set_and_get("DR7, I/O breakpoint without CR4.DE", 7, 0x20001);
  set_and_get("DR8", 8, 0);
  say_rc("get DR8", HYPERVISOR_get_debugreg(8));
  set_and_get("DR7, 0", 7, 0);

  /* What a #DB leaves in DR6 for the guest. */
  must("DR6", HYPERVISOR_set_debugreg(6, 0));
  expect_kernel("single step", step, 0, DB, 0);
  expect_hex("DR6", (ulong)HYPERVISOR_get_debugreg(6), 0xffff4ff0);
  expect_user("single step", step, 0, DB, 0);
  expect_hex("DR6, BS", (ulong)HYPERVISOR_get_debugreg(6) & 0x4000, 0x4000);
  must("DR6", HYPERVISOR_set_debugreg(6, 0));
  expect_kernel("icebp", icebp, 0, DB, 0);
  expect_hex("DR6", (ulong)HYPERVISOR_get_debugreg(6), 0xffff0ff0);
  /* The instructions mean the same. */
  ulong value;
  asm volatile("mov %1, %%db0; mov %%db0, %0" : "=r"(value) : "r"(0x400456ul));
  expect_hex("mov to and from dr0", value, 0x400456);
  expect_hex("get_debugreg", (ulong)HYPERVISOR_get_debugreg(0), 0x400456);
}
