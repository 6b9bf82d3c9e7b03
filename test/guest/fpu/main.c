/*
 * Rule: HYPERVISOR_fpu_taskswitch sets or clears the guest's CR0.TS; with it the first FPU instruction gets
 * #NM in either mode and finds TS clear afterwards. FPU state survives hypercalls, traps and ring 3
 * (xen/arch/x86/pv/misc-hypercalls.c do_fpu_taskswitch, traps.c do_device_not_available).
 */
#include "test.h"

const char test_title[] = "FPU and TS";

STUB(x87, "fnop");
STUB(sse, "movaps %xmm0, %xmm0");
STUB(mmx, "movq %mm0, %mm0");
STUB(wait_only, "fwait");
STUB(integer, "nop");
STUB(user_state, "mov $0x77777777, %eax; movd %eax, %xmm3; movd %xmm2, %eax");

static bool ts(void) {
  ulong cr0;
  asm volatile("mov %%cr0, %0" : "=r"(cr0));
  return cr0 & 8;
}

static void one(const char *name, void (*fn)(ulong), ulong vec) {
  must("fpu_taskswitch", HYPERVISOR_fpu_taskswitch(1));
  expect_kernel(name, fn, 0, vec, 0);
  print("  TS %u", ts());
  must("fpu_taskswitch", HYPERVISOR_fpu_taskswitch(1));
  expect_user(name, fn, 0, vec, 0);
  print("  TS %u", ts());
  must("fpu_taskswitch", HYPERVISOR_fpu_taskswitch(0));
  expect_kernel(name, fn, 0, NO_TRAP, 0);
}

static bool nm_handler(struct regs *regs) {
  return regs->vec == NM;
}

void test_main(void) {
  expect("TS at the start", ts(), 0);
  expect_rc("fpu_taskswitch 1", HYPERVISOR_fpu_taskswitch(1), 0);
  expect("TS", ts(), 1);
  expect_rc("fpu_taskswitch 1 again", HYPERVISOR_fpu_taskswitch(1), 0);
  expect_rc("fpu_taskswitch 0", HYPERVISOR_fpu_taskswitch(0), 0);
  expect("TS", ts(), 0);
  one("x87", x87, NM);
  one("SSE", sse, NM);
  one("MMX", mmx, NM);
  one("fwait", wait_only, NM);
  one("integer", integer, NO_TRAP);

  /* A handler that just returns: the instruction runs then. */
  must("fpu_taskswitch", HYPERVISOR_fpu_taskswitch(1));
  trap_hook = nm_handler;
  asm volatile("mov $0x11111111, %%eax; movd %%eax, %%xmm2" : : : "rax", "memory");
  trap_hook = NULL;
  expect("TS after the handler", ts(), 0);
  HYPERVISOR_xen_version(XENVER_version, NULL);
  struct regs r;
  catch_user(user_state, 0, &r);
  expect_hex("xmm2 in user", r.rax, 0x11111111);
  uint32_t value;
  asm volatile("movd %%xmm3, %0" : "=r"(value));
  expect_hex("xmm3 in kernel", value, 0x77777777);
  uint16_t control;
  asm volatile("fninit; fnstcw %0" : "=m"(control));
  expect_hex("x87 control word", control, 0x37f);
  uint32_t mxcsr;
  asm volatile("stmxcsr %0" : "=m"(mxcsr));
  expect_hex("MXCSR", mxcsr, 0x1f80);
}
