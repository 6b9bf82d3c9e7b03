/*
 * Rule: for a kernel with a HYPERCALL_PAGE note Xen writes 128 stubs of 32 bytes into that page before the
 * start: each is called like the hypercall it is, iret's is jumped to (xen/arch/x86/pv/dom0_build.c,
 * hypercall.c pv_ring3_init_hypercall_page).
 */
#include "hypercall_page.h"

const char test_title[] = "The page of the HYPERCALL_PAGE note";

extern uint8_t hypercall_page[];

void test_main(void) {
  check(hypercall_page[0] != 0x55, "the page was not written");
  check_hypercall_page(hypercall_page);
}
