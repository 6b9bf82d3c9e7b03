/*
 * Rule: MMUEXT_SET_LDT names a linear address; a page of it becomes the LDT's when a selector in it is first
 * loaded, if it holds only harmless descriptors and is not mapped writable; else the load faults
 * (xen/arch/x86/pv/descriptor-tables.c, mm.c pv_map_ldt_shadow_page).
 */
#include "test.h"

const char test_title[] = "The LDT";

#define DATA3 0x00cff3000000fffful
#define TSS 0x00008b0000000067ul

STUB(load_ds, "mov %edi, %ds");
STUB(load_fs_read, "mov %edi, %fs; mov %fs:0, %eax");

/* Entry n, RPL 3. */
#define SELECTOR(n) ((n)*8 + 7)

static uint8_t table[3 * PAGE_SIZE] __attribute__((aligned(4096)));

void test_main(void) {
  uint64_t *first = (uint64_t *)table, *second = first + 512, *third = first + 1024;
  uint64_t *page = page_alloc();
  page[0] = 0x1d7;
  must("map", set_l1e(USER_SCRATCH, ((uint64_t)mfn_of(page) << PAGE_SHIFT) | PTE_USER));
  first[1] = DATA3;
  first[2] = DATA3 & ~(1ul << 47);
  /* Base USER_SCRATCH. */
  first[3] = DATA3 | (USER_SCRATCH & 0xffffff) << 16 | (USER_SCRATCH >> 24) << 56;
  second[0] = DATA3;
  second[1] = TSS;
  third[0] = DATA3;
  must("read-only", make_readonly(first));
  must("read-only", make_readonly(second));

  expect_kernel("load without an LDT", load_ds, SELECTOR(1), GP, 0xc);
  expect_rc("SET_LDT", mmuext(MMUEXT_SET_LDT, (ulong)table, 1030), 0);
  expect_kernel("load entry 1", load_ds, SELECTOR(1), NO_TRAP, 0);
  expect_user("load entry 1", load_ds, SELECTOR(1), NO_TRAP, 0);
  expect_kernel("load entry 2, not present", load_ds, SELECTOR(2), NP, 0x14);
  struct regs r;
  catch_user(load_fs_read, SELECTOR(3), &r);
  print("user, by fs of entry 3: %s %lx", trap_name(r.vec), r.vec == RETURN_VECTOR ? r.rax : 0);
  say_rc("map the page writable", make_writable(first));
  expect_kernel("load entry 1030, past the limit", load_ds, SELECTOR(1030), GP, 1030 * 8 + 4);

  /* CR2 points into the LDT as if the guest had read it at its linear address. */
  expect_kernel("page with a TSS", load_ds, SELECTOR(512), PF, 0);
  expect_hex("CR2, from the LDT's start", trap_cr2 - (ulong)table, 512 * 8);
  expect_kernel("page that is mapped writable", load_ds, SELECTOR(1024), PF, 0);
  expect_hex("CR2, from the LDT's start", trap_cr2 - (ulong)table, 1024 * 8);
  must("read-only", make_readonly(third));
  expect_kernel("the same page, read-only", load_ds, SELECTOR(1024), NO_TRAP, 0);

  expect_kernel("ds of null", load_ds, 0, NO_TRAP, 0);
  expect_rc("update_descriptor in the LDT", HYPERVISOR_update_descriptor(machine_of(&first[1]), 0), 0);
  expect_kernel("load entry 1, now empty", load_ds, SELECTOR(1), GP, 0xc);
  expect_rc("SET_LDT, none", mmuext(MMUEXT_SET_LDT, 0, 0), 0);
  expect_kernel("load without an LDT", load_ds, SELECTOR(3), GP, 0x1c);
  say_rc("map the page writable", make_writable(first));
}
