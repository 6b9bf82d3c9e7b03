/*
 * Rule: MMUEXT_PIN_L1..L4_TABLE give a frame the type of a page table after checking every entry, and hold it
 * until MMUEXT_UNPIN_TABLE. Refused: no such frame, a frame that is mapped writable or has another type, a
 * table with a bad entry, a frame that is pinned, unpinning what is not (xen/arch/x86/mm.c do_mmuext_op,
 * get_page_type).
 */
#include "test.h"

const char test_title[] = "Pinning and unpinning page tables";

#define APIC_FRAME 0xfee00ul
#define NO_FRAME (PTE_FRAME >> PAGE_SHIFT)

static uint64_t entry(const void *page, uint64_t flags) {
  return ((uint64_t)mfn_of(page) << PAGE_SHIFT) | flags;
}

static long pin(unsigned level, const void *table) {
  static const unsigned commands[] = {0, MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE,
                                      MMUEXT_PIN_L4_TABLE};
  return mmuext(commands[level], mfn_of(table), 0);
}

static long unpin(const void *table) {
  return mmuext(MMUEXT_UNPIN_TABLE, mfn_of(table), 0);
}

#define SAY(rc, ...)                                                                                         \
  do {                                                                                                       \
    format(name, sizeof(name), __VA_ARGS__);                                                                 \
    say_rc(name, rc);                                                                                        \
  } while (0)

static void life(unsigned level) {
  char name[64];
  uint64_t *table = page_alloc();
  SAY(unpin(table), "L%u: unpin what never was pinned", level);
  SAY(pin(level, table), "L%u: pin while mapped writable", level);
  must("read-only", make_readonly(table));
  SAY(pin(level, table), "L%u: pin", level);
  SAY(pin(level, table), "L%u: pin again", level);
  SAY(pin(level % 4 + 1, table), "L%u: pin as L%u", level, level % 4 + 1);
  SAY(make_writable(table), "L%u: map writable while pinned", level);
  SAY(unpin(table), "L%u: unpin", level);
  SAY(unpin(table), "L%u: unpin again", level);
  SAY(make_writable(table), "L%u: map writable", level);
  /* After that it may become anything else. Clear first: an L4 may still hold Xen's slots. */
  memset(table, 0, PAGE_SIZE);
  must("read-only", make_readonly(table));
  SAY(pin(level % 4 + 1, table), "L%u: pin as L%u after all", level, level % 4 + 1);
  SAY(unpin(table), "L%u: unpin", level);
}

static void bad_contents(unsigned level) {
  static const struct {
    const char *name;
    uint64_t entry;
  } cases[] = {{"the APIC's frame", (APIC_FRAME << PAGE_SHIFT) | PTE_TABLE},
               {"no frame", (NO_FRAME << PAGE_SHIFT) | PTE_TABLE},
               {"not present, all other bits", 0xfffffffffffffffe}};
  char name[64];
  uint64_t *table = page_alloc(), *other = page_alloc();
  for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
    must("writable", make_writable(table));
    table[300] = cases[i].entry;
    must("read-only", make_readonly(table));
    SAY(pin(level, table), "L%u holding %s", level, cases[i].name);
    unpin(table);
  }
  must("writable", make_writable(table));
  table[300] = entry(other, PTE_TABLE);
  must("read-only", make_readonly(table));
  SAY(pin(level, table), "L%u holding a page that is mapped writable", level);
  unpin(table);
  must("writable", make_writable(table));
  table[300] = entry(table, PTE_TABLE);
  must("read-only", make_readonly(table));
  SAY(pin(level, table), "L%u holding itself", level);
  unpin(table);
}

/* Pinning an L4 pins what hangs under it; shared tables are counted. */
static void trees(void) {
  char name[64];
  uint64_t *l4 = page_alloc(), *l3 = page_alloc(), *l2 = page_alloc(), *l1 = page_alloc(),
           *page = page_alloc();
  l4[0] = entry(l3, PTE_TABLE);
  l4[1] = entry(l3, PTE_TABLE);
  l3[0] = entry(l2, PTE_TABLE);
  l2[0] = entry(l1, PTE_TABLE);
  l1[0] = entry(page, PTE_USER & ~PTE_RW);
  uint64_t *tables[] = {l4, l3, l2, l1};
  for (unsigned i = 0; i < 3; i++)
    must("read-only", make_readonly(tables[i]));
  SAY(pin(4, l4), "tree whose L1 is mapped writable");
  SAY(make_writable(l2), "its L2, mapped writable");
  must("read-only", make_readonly(l2));
  must("read-only", make_readonly(l1));
  SAY(pin(4, l4), "tree");
  for (unsigned i = 0; i < 4; i++)
    SAY(make_writable(tables[i]), "its L%u, mapped writable", 4 - i);
  SAY(pin(2, l2), "pin its L2 as well");
  SAY(set_pte(&l4[0], 0), "L4 slot 0 empty");
  SAY(make_writable(l3), "L3 that slot 1 still holds, mapped writable");
  SAY(set_pte(&l4[1], 0), "L4 slot 1 empty");
  SAY(make_writable(l3), "L3, mapped writable");
  SAY(make_writable(l2), "L2 that is pinned, mapped writable");
  SAY(unpin(l2), "unpin L2");
  SAY(make_writable(l2), "L2, mapped writable");
  SAY(make_writable(l1), "L1, mapped writable");
  SAY(unpin(l4), "unpin L4");
  l2[0] = 0;
  SAY(make_writable(l4), "L4, mapped writable");
}

/* Xen's slots of a pinned L4 are its own: the guest's values there are overwritten, not checked. */
static void xen_slots(void) {
  char name[64];
  uint64_t *l4 = page_alloc();
  l4[256] = 0xdead000;
  l4[260] = (NO_FRAME << PAGE_SHIFT) | PTE_TABLE;
  must("read-only", make_readonly(l4));
  SAY(pin(4, l4), "L4 with rubbish in Xen's slots");
  check(l4[256] != 0xdead000 && l4[260] != ((NO_FRAME << PAGE_SHIFT) | PTE_TABLE), "rubbish is still there");
  SAY(unpin(l4), "unpin");
}

void test_main(void) {
  char name[64];
  for (unsigned level = 1; level <= 4; level++)
    life(level);
  for (unsigned level = 1; level <= 4; level++)
    bad_contents(level);
  trees();
  xen_slots();
  SAY(mmuext(MMUEXT_PIN_L1_TABLE, NO_FRAME, 0), "pin no frame");
  SAY(mmuext(MMUEXT_PIN_L4_TABLE, APIC_FRAME, 0), "pin the APIC's frame");
  SAY(mmuext(MMUEXT_UNPIN_TABLE, NO_FRAME, 0), "unpin no frame");
  SAY(mmuext(MMUEXT_PIN_L1_TABLE, start_info->shared_info >> PAGE_SHIFT, 0), "pin shared_info");
}
