/*
 * Rule: a domain sets up its grant table (GNTTABOP_setup_table), grants by writing entries, and whoever is
 * granted maps or copies by reference; each operation of a batch has a status of its own, and Xen keeps
 * GTF_reading and GTF_writing while a grant is in use (xen/common/grant_table.c). Here the domain grants to
 * itself. Version 1.
 */
#include "test.h"

const char test_title[] = "Grant tables, version 1";

static uint8_t table[PAGE_SIZE] __attribute__((aligned(4096)));
static grant_entry_v1_t *const entries = (grant_entry_v1_t *)table;
static domid_t self;

#define WINDOW USER_SCRATCH

static const char *status_name(int16_t status) {
  static const char *const names[] = {
      "okay",          "general_error",   "bad_domain",      "bad_gntref",        "bad_handle",
      "bad_virt_addr", "bad_dev_addr",    "no_device_space", "permission_denied", "bad_page",
      "bad_copy_arg",  "address_too_big", "eagain",          "no_space"};
  unsigned n = (unsigned)-status;
  return n < ARRAY_SIZE(names) ? names[n] : "unknown";
}

/* Own domid: Xen tells it in the status of an unbound port. */
static domid_t own_domid(void) {
  evtchn_alloc_unbound_t alloc = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
  must("alloc_unbound", HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &alloc));
  evtchn_status_t status = {.dom = DOMID_SELF, .port = alloc.port};
  must("status", HYPERVISOR_event_channel_op(EVTCHNOP_status, &status));
  evtchn_close_t close = {.port = alloc.port};
  must("close", HYPERVISOR_event_channel_op(EVTCHNOP_close, &close));
  return status.u.unbound.dom;
}

static void setup(void) {
  gnttab_query_size_t query = {.dom = DOMID_SELF};
  expect_rc("query_size", HYPERVISOR_grant_table_op(GNTTABOP_query_size, &query, 1), 0);
  print("  status %s", status_name(query.status));
  check(query.max_nr_frames >= 1, "max_nr_frames is %u", query.max_nr_frames);
  query.dom = 99;
  must("query_size", HYPERVISOR_grant_table_op(GNTTABOP_query_size, &query, 1));
  print("query_size of domain 99: %s", status_name(query.status));
  gnttab_get_version_t version = {.dom = DOMID_SELF};
  say_rc("get_version", HYPERVISOR_grant_table_op(GNTTABOP_get_version, &version, 1));
  expect("version", version.version, 1);
  gnttab_set_version_t set = {.version = 1};
  say_rc("set_version 1", HYPERVISOR_grant_table_op(GNTTABOP_set_version, &set, 1));
  set.version = 3;
  say_rc("set_version 3", HYPERVISOR_grant_table_op(GNTTABOP_set_version, &set, 1));

  xen_pfn_t frames[4] = {0};
  gnttab_setup_table_t op = {.dom = DOMID_SELF, .nr_frames = 1};
  set_xen_guest_handle(op.frame_list, frames);
  expect_rc("setup_table", HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &op, 1), 0);
  print("  status %s", status_name(op.status));
  check(frames[0] != 0, "no frame");
  xen_pfn_t first = frames[0];
  op.nr_frames = query.max_nr_frames + 100000;
  must("setup_table", HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &op, 1));
  print("setup_table, too many frames: %s", status_name(op.status));
  op = (gnttab_setup_table_t){.dom = 99, .nr_frames = 1};
  must("setup_table", HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &op, 1));
  print("setup_table of domain 99: %s", status_name(op.status));
  op = (gnttab_setup_table_t){.dom = DOMID_SELF, .nr_frames = 1};
  set_xen_guest_handle(op.frame_list, frames);
  must("setup_table", HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &op, 1));
  expect_hex("the same frame again", frames[0] == first, 1);
  must("map the table", set_l1e((ulong)table, (frames[0] << PAGE_SHIFT) | PTE_KERNEL));
}

static void grant(unsigned ref, const void *page, uint16_t flags, domid_t to) {
  entries[ref].frame = (uint32_t)mfn_of(page);
  entries[ref].domid = to;
  __atomic_store_n(&entries[ref].flags, flags, __ATOMIC_RELEASE);
}

static gnttab_map_grant_ref_t map(grant_ref_t ref, uint32_t flags, uint64_t address, domid_t dom) {
  gnttab_map_grant_ref_t op = {.host_addr = address, .flags = flags, .ref = ref, .dom = dom, .status = 77};
  must("map_grant_ref", HYPERVISOR_grant_table_op(GNTTABOP_map_grant_ref, &op, 1));
  return op;
}

static int16_t unmap(uint64_t address, grant_handle_t handle) {
  gnttab_unmap_grant_ref_t op = {.host_addr = address, .handle = handle, .status = 77};
  must("unmap_grant_ref", HYPERVISOR_grant_table_op(GNTTABOP_unmap_grant_ref, &op, 1));
  return op.status;
}

STUB(store, "movl $0x51, (%rdi)");

static void maps(uint64_t *page) {
  grant(10, page, GTF_permit_access, self);
  gnttab_map_grant_ref_t op = map(10, GNTMAP_host_map, WINDOW, self);
  print("map: %s, flags of the entry %x", status_name(op.status), entries[10].flags);
  expect_hex("bus address is the frame's", op.dev_bus_addr == machine_of(page), 1);
  expect_kernel("store through it", store, WINDOW, NO_TRAP, 0);
  expect_hex("the granted page", page[0], 0x51);
  gnttab_map_grant_ref_t again = map(10, GNTMAP_host_map | GNTMAP_readonly, WINDOW + PAGE_SIZE, self);
  print("map again, read-only: %s, flags of the entry %x", status_name(again.status), entries[10].flags);
  expect_kernel("store through it", store, WINDOW + PAGE_SIZE, PF, 3);
  print("unmap at the wrong address: %s", status_name(unmap(WINDOW, again.handle)));
  int16_t status = unmap(WINDOW, op.handle);
  print("unmap: %s, flags of the entry %x", status_name(status), entries[10].flags);
  expect_kernel("store through it", store, WINDOW, PF, 2);
  print("unmap again: %s", status_name(unmap(WINDOW, op.handle)));
  status = unmap(WINDOW + PAGE_SIZE, again.handle);
  print("unmap the second: %s, flags of the entry %x", status_name(status), entries[10].flags);
  print("unmap handle 12345: %s", status_name(unmap(WINDOW, 12345)));

  /* By the machine address of the entry, as Linux's gntdev does. */
  uint64_t at = machine_of(pte_of(WINDOW, 1));
  op = map(10, GNTMAP_host_map | GNTMAP_application_map | GNTMAP_contains_pte, at, self);
  print("map by entry: %s, flags of the entry %x", status_name(op.status), entries[10].flags);
  expect_hex("the entry's frame", (*pte_of(WINDOW, 1) & PTE_FRAME) == machine_of(page), 1);
  print("unmap by entry: %s", status_name(unmap(at, op.handle)));
  expect_hex("the entry", *pte_of(WINDOW, 1) & PTE_P, 0);
}

static void map_errors(uint64_t *page) {
  static const struct {
    const char *name;
    grant_ref_t ref;
    uint32_t flags;
    uint64_t address;
  } cases[] = {{"reference past the table", 0x7fffffff, GNTMAP_host_map, WINDOW},
               {"reference past the frame", 100000, GNTMAP_host_map, WINDOW},
               {"entry that grants nothing", 20, GNTMAP_host_map, WINDOW},
               {"entry for another domain", 21, GNTMAP_host_map, WINDOW},
               {"read-only entry, to write", 22, GNTMAP_host_map, WINDOW},
               {"read-only entry, to read", 22, GNTMAP_host_map | GNTMAP_readonly, WINDOW},
               {"frame that is not there", 23, GNTMAP_host_map, WINDOW},
               {"accept_transfer entry", 24, GNTMAP_host_map, WINDOW},
               {"no kind of mapping", 10, 0, WINDOW},
               {"address without an L1", 10, GNTMAP_host_map, 7ul << 39},
               {"address in Xen's hole", 10, GNTMAP_host_map, 0xffff830000000000},
               {"entry at no frame", 10, GNTMAP_host_map | GNTMAP_contains_pte, PTE_FRAME}};
  grant(21, page, GTF_permit_access, 99);
  grant(22, page, GTF_permit_access | GTF_readonly, self);
  grant(23, page, GTF_permit_access, self);
  entries[23].frame = 0xfffffff0;
  grant(24, page, GTF_accept_transfer, self);
  for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
    gnttab_map_grant_ref_t op = map(cases[i].ref, cases[i].flags, cases[i].address, self);
    print("map, %s: %s", cases[i].name, status_name(op.status));
    if (op.status == GNTST_okay) unmap(cases[i].address, op.handle);
  }
  print("map from domain 99: %s", status_name(map(10, GNTMAP_host_map, WINDOW, 99).status));
  for (unsigned ref = 10; ref <= 24; ref++)
    check(!(entries[ref].flags & (GTF_reading | GTF_writing)), "entry %u is in use: %x", ref,
          entries[ref].flags);
}

static int16_t copy(uint16_t flags, uint64_t from, uint16_t from_offset, uint64_t to, uint16_t to_offset,
                    uint16_t n) {
  gnttab_copy_t op = {.flags = flags, .len = n, .status = 77};
  op.source.domid = op.dest.domid = DOMID_SELF;
  if (flags & GNTCOPY_source_gref)
    op.source.u.ref = (grant_ref_t)from;
  else
    op.source.u.gmfn = from;
  if (flags & GNTCOPY_dest_gref)
    op.dest.u.ref = (grant_ref_t)to;
  else
    op.dest.u.gmfn = to;
  op.source.offset = from_offset;
  op.dest.offset = to_offset;
  must("copy", HYPERVISOR_grant_table_op(GNTTABOP_copy, &op, 1));
  return op.status;
}

static void copies(uint64_t *page) {
  uint8_t *from = page_alloc(), *to = (uint8_t *)page;
  for (unsigned i = 0; i < PAGE_SIZE; i++)
    from[i] = (uint8_t)(i * 7);
  grant(30, from, GTF_permit_access | GTF_readonly, self);
  grant(31, to, GTF_permit_access, self);
  print("copy frame to frame: %s", status_name(copy(0, mfn_of(from), 16, mfn_of(to), 100, 200)));
  expect_hex("copied", memcmp(to + 100, from + 16, 200) == 0, 1);
  print("copy grant to frame: %s", status_name(copy(GNTCOPY_source_gref, 30, 0, mfn_of(to), 0, 4096)));
  expect_hex("copied", memcmp(to, from, 4096) == 0, 1);
  memset(to, 0, PAGE_SIZE);
  print("copy frame to grant: %s", status_name(copy(GNTCOPY_dest_gref, mfn_of(from), 0, 31, 4000, 96)));
  expect_hex("copied", memcmp(to + 4000, from, 96) == 0, 1);
  print("copy to a read-only grant: %s", status_name(copy(GNTCOPY_dest_gref, mfn_of(to), 0, 30, 0, 8)));
  print("copy past the end of a page: %s", status_name(copy(0, mfn_of(from), 4000, mfn_of(to), 0, 97)));
  print("copy to past the end: %s", status_name(copy(0, mfn_of(from), 0, mfn_of(to), 4090, 7)));
  print("copy to a page table: %s", status_name(copy(0, mfn_of(from), 0, mfn_of(user_l4), 0, 8)));
  print("copy to no frame: %s", status_name(copy(0, mfn_of(from), 0, PTE_FRAME >> PAGE_SHIFT, 0, 8)));
  print("copy from no reference: %s", status_name(copy(GNTCOPY_source_gref, 20, 0, mfn_of(to), 0, 8)));
  print("copy of nothing: %s", status_name(copy(0, mfn_of(from), 0, mfn_of(to), 0, 0)));
  check(!(entries[30].flags & (GTF_reading | GTF_writing)), "entry 30 is in use: %x", entries[30].flags);
  check(!(entries[31].flags & (GTF_reading | GTF_writing)), "entry 31 is in use: %x", entries[31].flags);
}

static void batches(uint64_t *page) {
  gnttab_copy_t ops[3];
  for (unsigned i = 0; i < 3; i++) {
    ops[i] = (gnttab_copy_t){.len = 8, .status = 77};
    ops[i].source.domid = ops[i].dest.domid = DOMID_SELF;
    ops[i].source.u.gmfn = ops[i].dest.u.gmfn = mfn_of(page);
  }
  ops[1].source.offset = 4095;
  expect_rc("three copies, the second bad", HYPERVISOR_grant_table_op(GNTTABOP_copy, ops, 3), 0);
  print("  %s, %s, %s", status_name(ops[0].status), status_name(ops[1].status), status_name(ops[2].status));
  expect_rc("none", HYPERVISOR_grant_table_op(GNTTABOP_copy, ops, 0), 0);
  say_rc("a list that is not mapped",
         HYPERVISOR_grant_table_op(GNTTABOP_copy, (void *)(WINDOW + PAGE_SIZE), 1));
  say_rc("operation 99", HYPERVISOR_grant_table_op(99, ops, 1));
}

void test_main(void) {
  uint64_t *page = page_alloc();
  self = own_domid();
  setup();
  maps(page);
  map_errors(page);
  copies(page);
  batches(page);
}
