/*
 * Rule: a kernel without ELF notes may say the same in a section named __xen_guest, as kernels of Xen's first
 * years do: "KEY=VALUE,..." with HYPERCALL_PAGE as a page number from VIRT_BASE and the ELF entry point
 * (xen/common/libelf/libelf-dominfo.c elf_xen_parse_guest_info).
 */
#include "hypercall_page.h"

const char test_title[] = "A kernel with an __xen_guest section";

extern uint8_t hypercall_page[];

void test_main(void) {
  check(hypercall_page[0] != 0x55, "the page was not written");
  check_hypercall_page(hypercall_page);
}
