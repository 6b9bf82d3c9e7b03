/*
 * Rule: HYPERVISOR_memory_op gives back and takes frames (decrease_reservation, increase_reservation,
 * populate_physmap: the number of extents done) and answers questions about memory (xen/common/memory.c).
 * oracle: differs. XENMEM_memory_map is a domU's, XENMEM_machine_memory_map dom0's: neither is here.
 */
#include "test.h"

const char test_title[] = "HYPERVISOR_memory_op";

#define NO_FRAME (PTE_FRAME >> PAGE_SHIFT)

static long reservation(unsigned cmd, xen_pfn_t *list, ulong n, unsigned order) {
  xen_memory_reservation_t op = {.nr_extents = n, .extent_order = order, .domid = DOMID_SELF};
  set_xen_guest_handle(op.extent_start, list);
  return HYPERVISOR_memory_op(cmd, &op);
}

static ulong current(void) {
  domid_t domid = DOMID_SELF;
  return (ulong)HYPERVISOR_memory_op(XENMEM_current_reservation, &domid);
}

static void questions(void) {
  domid_t domid = DOMID_SELF;
  check(HYPERVISOR_memory_op(XENMEM_maximum_ram_page, NULL) > 0, "maximum_ram_page");
  expect_hex("current_reservation is nr_pages", current() == start_info->nr_pages, 1);
  expect_hex("maximum_reservation is not less",
             (ulong)HYPERVISOR_memory_op(XENMEM_maximum_reservation, &domid) >= current(), 1);
  say_rc("current_reservation, bad argument",
         HYPERVISOR_memory_op(XENMEM_current_reservation, (void *)USER_SCRATCH));
  xen_machphys_mapping_t mapping = {0};
  expect_rc("machphys_mapping", HYPERVISOR_memory_op(XENMEM_machphys_mapping, &mapping), 0);
  expect_hex("v_start", mapping.v_start, 0xffff800000000000);
  check(mapping.v_end > mapping.v_start && mapping.max_mfn > 0, "v_end %lx max_mfn %lx", mapping.v_end,
        mapping.max_mfn);
  xen_pfn_t extent = 0;
  xen_machphys_mfn_list_t list = {.max_extents = 1};
  set_xen_guest_handle(list.extent_start, &extent);
  expect_rc("machphys_mfn_list", HYPERVISOR_memory_op(XENMEM_machphys_mfn_list, &list), 0);
  expect("extents", list.nr_extents, 1);
  say_rc("operation 60", HYPERVISOR_memory_op(60, &domid));
}

/* A frame goes away, another comes in its place. */
static void exchange(void) {
  uint8_t *page = page_alloc();
  xen_pfn_t mfn = mfn_of(page), pfn = m2p[mfn];
  ulong before = current();
  must("unmap", set_l1e((ulong)page, 0));
  if (current() == before)
    expect("decrease", (uint64_t)reservation(XENMEM_decrease_reservation, &mfn, 1, 0), 1);
  expect("pages less", before - current(), 1);
  say_rc("decrease, again", reservation(XENMEM_decrease_reservation, &mfn, 1, 0));
  say_rc("map what is gone", set_l1e((ulong)page, (mfn << PAGE_SHIFT) | PTE_KERNEL));
  xen_pfn_t frame = pfn;
  expect("populate", (uint64_t)reservation(XENMEM_populate_physmap, &frame, 1, 0), 1);
  expect("pages less", before - current(), 0);
  expect_hex("M2P of the new frame", m2p[frame] == pfn, 1);
  ((ulong *)start_info->mfn_list)[pfn] = frame;
  expect_rc("map it", set_l1e((ulong)page, (frame << PAGE_SHIFT) | PTE_KERNEL), 0);
  page[0] = 1;
}

static void lists(void) {
  uint8_t *pages[4];
  xen_pfn_t list[4], pfns[4];
  for (unsigned i = 0; i < 4; i++) {
    pages[i] = page_alloc();
    list[i] = mfn_of(pages[i]);
    pfns[i] = m2p[list[i]];
    must("unmap", set_l1e((ulong)pages[i], 0));
  }
  xen_pfn_t third = list[2];
  list[2] = NO_FRAME;
  expect("decrease of four, the third bad", (uint64_t)reservation(XENMEM_decrease_reservation, list, 4, 0),
         2);
  list[2] = third;
  expect("decrease of the others", (uint64_t)reservation(XENMEM_decrease_reservation, list + 2, 2, 0), 2);
  memcpy(list, pfns, sizeof(list));
  expect("populate of four", (uint64_t)reservation(XENMEM_populate_physmap, list, 4, 0), 4);
  for (unsigned i = 0; i < 4; i++)
    check(m2p[list[i]] == pfns[i], "M2P of frame %u is %lx", i, m2p[list[i]]);
  for (unsigned i = 0; i < 4; i++)
    must("map", set_l1e((ulong)pages[i], (list[i] << PAGE_SHIFT) | PTE_KERNEL));
  say_rc("none", reservation(XENMEM_decrease_reservation, list, 0, 0));
  say_rc("list that is not mapped", reservation(XENMEM_decrease_reservation, (void *)USER_SCRATCH, 1, 0));
  say_rc("order 30", reservation(XENMEM_populate_physmap, pfns, 1, 30));
  xen_memory_reservation_t op = {.nr_extents = 1, .domid = 99};
  set_xen_guest_handle(op.extent_start, pfns);
  say_rc("decrease for domain 99", HYPERVISOR_memory_op(XENMEM_decrease_reservation, &op));
  say_rc("argument that is not mapped", HYPERVISOR_memory_op(XENMEM_populate_physmap, (void *)USER_SCRATCH));
}

/* What something refers to goes on as it is, and is given to nobody: a mapped frame, a pinned table, the
 * tables in use. */
static void referred(void) {
  uint8_t *page = page_alloc();
  uint64_t *table = page_alloc();
  memset(page, 0x5a, PAGE_SIZE);
  table[1] = 0x5a5a5a5a5a5a5a5a & ~1ul;
  must("read-only", make_readonly(table));
  must("pin", mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(table), 0));
  xen_pfn_t given[] = {mfn_of(page), mfn_of(table), mfn_of((void *)start_info->pt_base)}, list[3];
  memcpy(list, given, sizeof(list));
  expect("decrease of a mapped frame, a pinned table, the L4",
         (uint64_t)reservation(XENMEM_decrease_reservation, list, 3, 0), 3);
  long populated = reservation(XENMEM_populate_physmap, list, 3, 0);
  for (long i = 0; i < populated; i++)
    for (unsigned j = 0; j < 3; j++)
      check(list[i] != given[j], "frame %lx is given away in use", list[i]);
  expect_hex("the frame", page[PAGE_SIZE - 1], 0x5a);
  expect_hex("the table", table[1], 0x5a5a5a5a5a5a5a5a & ~1ul);
  uint8_t *other = page_alloc();
  xen_pfn_t frame = mfn_of(other);
  expect_rc("a mapping goes, by the L4", set_l1e((ulong)other, 0), 0);
  expect_rc("and comes", set_l1e((ulong)other, (frame << PAGE_SHIFT) | PTE_KERNEL), 0);
  other[0] = 1;
}

void test_main(void) {
  questions();
  exchange();
  lists();
  referred();
}
