/*
 * Rule: cpuid leaf 0x40000002 names an MSR; writing a page's machine address to it makes that page a
 * hypercall page, also for a PV kernel (xen/arch/x86/traps.c guest_wrmsr_xen, cpuid_hypervisor_leaves).
 */
#include "hypercall_page.h"

const char test_title[] = "A hypercall page by MSR";

STUB(write_msr, "mov (%rdi), %ecx; mov 8(%rdi), %eax; mov 12(%rdi), %edx; wrmsr");

void test_main(void) {
  uint8_t *page = page_alloc();
  uint32_t a, msr, c, d;
  asm volatile("ud2; .ascii \"xen\"; cpuid" : "=a"(a), "=b"(msr), "=c"(c), "=d"(d) : "0"(0x40000002), "2"(0));
  expect_hex("MSR", msr, 0x40000000);
  uint64_t args[2] = {msr, machine_of(page)};
  expect_kernel("wrmsr", write_msr, (ulong)args, NO_TRAP, 0);
  check(page[0] != 0, "the page was not written");
  check_hypercall_page(page);
  args[1] = machine_of(user_l4);
  expect_kernel("wrmsr, a page table", write_msr, (ulong)args, GP, 0);
  args[1] = PTE_FRAME;
  expect_kernel("wrmsr, no frame", write_msr, (ulong)args, GP, 0);
  args[1] = machine_of(page) | 1;
  expect_kernel("wrmsr, page 1 of 1", write_msr, (ulong)args, GP, 0);
}
