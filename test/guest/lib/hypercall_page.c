#include "hypercall_page.h"

static const uint8_t *page_under_test;
static uint8_t iret_stack[PAGE_SIZE] __attribute__((aligned(16)));

STUB(after_iret, "int $0x20");

/* Builds an iret frame by hand: the iret entry is jumped to and pushes rcx, r11 and rax itself. */
static void iret_through_page(ulong arg) {
  ulong frame[] = {0, arg, FLAT_KERNEL_CS64 & ~3ul, 2, (ulong)iret_stack + PAGE_SIZE, FLAT_KERNEL_SS64};
  asm volatile("mov %0, %%rsp; mov $0xc0, %%ecx; mov $0x1100, %%r11d; mov $0xa0, %%eax; jmp *%1"
               :
               : "D"(frame), "S"(page_under_test + __HYPERVISOR_iret * 32)
               : "memory");
}

void check_hypercall_page(const uint8_t *page) {
  static const char text[] = "written through the page\n";
  page_under_test = page;
  expect_hex("xen_version", (uint64_t)call_page(page, __HYPERVISOR_xen_version, XENVER_version, 0, 0, 0),
             (uint64_t)HYPERVISOR_xen_version(XENVER_version, NULL));
  expect_rc("console_io",
            call_page(page, __HYPERVISOR_console_io, CONSOLEIO_write, sizeof(text) - 1, (ulong)text, 0), 0);
  expect_rc("a call that does not exist", call_page(page, 63, 0, 0, 0, 0), -XEN_ENOSYS);
  struct regs r;
  if (!catch_kernel(iret_through_page, (ulong)after_iret, &r)) error("iret came back");
  print("iret: %s, rax %lx rcx %lx r11 %lx", trap_name(r.vec), r.rax, r.rcx, r.r11);
}
