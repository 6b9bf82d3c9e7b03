/*
 * Rule: an entry of an L2, L3 or L4 takes a reference to a table of the level below: its page gets that type,
 * all its entries are checked, and while the type lasts it cannot be mapped writable. A page that is mapped
 * writable, or is a table of another level, is refused. Xen's own L4 slots (256-271) are refused. An L4 may
 * hold itself read-only, a linear page table (xen/arch/x86/mm.c mod_l2_entry ... mod_l4_entry,
 * get_page_from_l4e).
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_mmu_update on L2, L3 and L4 entries";

#define APIC_FRAME 0xfee00ul
#define NO_FRAME (PTE_FRAME >> PAGE_SHIFT)

static uint64_t entry(ulong mfn, uint64_t flags) {
  return ((uint64_t)mfn << PAGE_SHIFT) | flags;
}

static uint64_t *new_table(void) {
  uint64_t *table = page_alloc();
  must("read-only", make_readonly(table));
  return table;
}

static uint64_t *slot(unsigned level) {
  return level == 4 ? &kernel_l4()[9] : level == 3 ? pte_of(9ul << 39, 3) : pte_of(9ul << 39, 2);
}

/* What an entry of this level can and cannot point at. `below` is a fresh empty table, `same` the table it is
 * in. */
static void one_level(unsigned level) {
  uint64_t *at = slot(level), *below = new_table(), *writable = page_alloc();
  char name[64];
#define CASE(value, ...)                                                                                     \
  format(name, sizeof(name), __VA_ARGS__);                                                                   \
  say_rc(name, set_pte(at, value))
  CASE(entry(APIC_FRAME, PTE_TABLE), "L%u: the APIC's frame", level);
  CASE(entry(NO_FRAME, PTE_TABLE), "L%u: no frame", level);
  CASE(entry(mfn_of(writable), PTE_TABLE), "L%u: a page that is mapped writable", level);
  CASE(entry(mfn_of(below), PTE_TABLE | PTE_PSE), "L%u: PSE", level);
  CASE(entry(mfn_of(below), PTE_TABLE | PTE_G), "L%u: G", level);
  CASE(entry(mfn_of(below), PTE_TABLE | PTE_NX), "L%u: NX", level);
  CASE(entry(mfn_of(below), PTE_TABLE | PTE_AVAIL), "L%u: avail", level);
  CASE(entry(mfn_of(below), PTE_TABLE | 1ul << 58), "L%u: bit 58", level);
  CASE(0, "L%u: empty", level);
  CASE(0xfffffffffffffffe, "L%u: not present, other bits set", level);
  CASE(entry(mfn_of(below), PTE_TABLE), "L%u: an empty table", level);
  format(name, sizeof(name), "L%u: that table, mapped writable", level);
  say_rc(name, make_writable(below));
  CASE(0, "L%u: empty", level);
  format(name, sizeof(name), "L%u: that table, mapped writable", level);
  say_rc(name, make_writable(below));
  must("read-only", make_readonly(below));
}

/* Tables with something wrong inside are refused as a whole. */
static void contents(unsigned level) {
  uint64_t *at = slot(level), *below = page_alloc();
  char name[64];
  below[17] = entry(APIC_FRAME, PTE_USER);
  must("read-only", make_readonly(below));
  CASE(entry(mfn_of(below), PTE_TABLE), "L%u: a table with a bad entry", level);
  format(name, sizeof(name), "L%u: which can be mapped writable afterwards", level);
  say_rc(name, make_writable(below));
  memset(below, 0, PAGE_SIZE);
  below[3] = entry(mfn_of(below), PTE_USER);
  must("read-only", make_readonly(below));
  CASE(entry(mfn_of(below), PTE_TABLE), "L%u: a table that maps itself writable", level);
  must("writable", make_writable(below));
}

static void wrong_types(void) {
  uint64_t *l1 = new_table(), *l4 = kernel_l4();
  char name[64];
  must("pin", mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(l1), 0));
  uint64_t *at = slot(3);
  CASE(entry(mfn_of(l1), PTE_TABLE), "L3: a page pinned as L1");
  at = slot(4);
  CASE(entry(mfn_of(l1), PTE_TABLE), "L4: a page pinned as L1");
  at = slot(2);
  CASE(entry(mfn_of(user_l4), PTE_TABLE), "L2: an L4");
  CASE(entry(mfn_of(l1), PTE_TABLE), "L2: a page pinned as L1");
  CASE(0, "L2: empty");
  at = &l4[256];
  CASE(0, "L4 slot 256, empty");
  CASE(entry(mfn_of(l1), PTE_TABLE), "L4 slot 256");
  at = &l4[262];
  CASE(0, "L4 slot 262, empty");
  at = &l4[271];
  CASE(0, "L4 slot 271, empty");
  at = &l4[272];
  CASE(0, "L4 slot 272, empty");
  at = &l4[10];
  CASE(entry(mfn_of(l4), PTE_TABLE & ~PTE_RW), "L4: itself, read-only");
  uint64_t *linear = (uint64_t *)((10ul << 39) | (10ul << 30) | (10ul << 21) | (10ul << 12));
  expect_hex("slot 10 by the linear table", linear[10] == l4[10], 1);
  CASE(entry(mfn_of(l4), PTE_TABLE), "L4: itself, writable");
  CASE(entry(mfn_of(user_l4), PTE_TABLE & ~PTE_RW), "L4: another L4, read-only");
  CASE(0, "L4: empty");
}

/* Taking a whole branch away, and what then faults. */
STUB(load, "mov (%rdi), %eax");
static void branch(void) {
  uint64_t *l1 = page_alloc(), *page = page_alloc();
  page[0] = 0x5a;
  l1[0] = entry(mfn_of(page), PTE_USER);
  must("read-only", make_readonly(l1));
  must("L1", set_pte(slot(2), entry(mfn_of(l1), PTE_TABLE)));
  expect_hex("through the new branch", *(volatile uint64_t *)(9ul << 39), 0x5a);
  must("no L4 entry", set_pte(slot(4), 0));
  expect_kernel("load after the L4 entry went", load, 9ul << 39, PF, 0);
}

void test_main(void) {
  /* Tables for the slots under test: 9 in the L4. */
  uint64_t *l3 = new_table(), *l2 = new_table();
  one_level(4);
  contents(4);
  must("L4", set_pte(slot(4), entry(mfn_of(l3), PTE_TABLE)));
  one_level(3);
  contents(3);
  must("L3", set_pte(slot(3), entry(mfn_of(l2), PTE_TABLE)));
  one_level(2);
  contents(2);
  wrong_types();
  branch();
}
