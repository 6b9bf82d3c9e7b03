/* How many of everything there are, and which versions of each interface. */
#include "dump.h"

static void dump_ports(void) {
  evtchn_init_control_t control = {0};
  say_rc("FIFO event channels", HYPERVISOR_event_channel_op(EVTCHNOP_init_control, &control));
  for (unsigned port = 0; port < 4; port++) {
    evtchn_status_t s = {.dom = DOMID_SELF, .port = port};
    long rc = HYPERVISOR_event_channel_op(EVTCHNOP_status, &s);
    print("port %u: %s, status %u, vcpu %u, remote %u:%u", port, errno_name(rc), s.status, s.vcpu,
          s.u.interdomain.dom, s.u.interdomain.port);
  }
  unsigned bound = 0, last = 0;
  long rc;
  for (;;) {
    evtchn_alloc_unbound_t alloc = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
    if ((rc = HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &alloc)) != 0) break;
    last = alloc.port;
    bound++;
  }
  print("%u ports, the last one %u, then %s", bound, last, errno_name(rc));
  evtchn_bind_pirq_t pirq = {.pirq = 1};
  say_rc("bind_pirq", HYPERVISOR_event_channel_op(EVTCHNOP_bind_pirq, &pirq));
}

static void dump_grants(void) {
  struct gnttab_query_size size = {.dom = DOMID_SELF};
  must("query_size", HYPERVISOR_grant_table_op(GNTTABOP_query_size, &size, 1));
  print("grant frames: %u of %u, status %d", size.nr_frames, size.max_nr_frames, size.status);
  struct gnttab_get_version version = {.dom = DOMID_SELF};
  must("get_version", HYPERVISOR_grant_table_op(GNTTABOP_get_version, &version, 1));
  print("grant table version: %u", version.version);
  for (unsigned v = 0; v < 4; v++) {
    struct gnttab_set_version set = {.version = v};
    long rc = HYPERVISOR_grant_table_op(GNTTABOP_set_version, &set, 1);
    print("grant table version %u: %s, now %u", v, errno_name(rc), set.version);
  }
  static xen_pfn_t frames[64];
  struct gnttab_setup_table setup = {.dom = DOMID_SELF, .nr_frames = size.max_nr_frames};
  set_xen_guest_handle(setup.frame_list, frames);
  must("setup_table", HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &setup, 1));
  print("setup_table: %d, frames %lx to %lx", setup.status, frames[0], frames[size.max_nr_frames - 1]);
  setup.nr_frames++;
  must("setup_table", HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &setup, 1));
  print("setup_table of one more: %d", setup.status);
  grant_entry_v1_t *entries = page_alloc();
  must("map the first frame", set_l1e((ulong)entries, frames[0] << PAGE_SHIFT | PTE_KERNEL));
  for (unsigned i = 0; i < GNTTAB_NR_RESERVED_ENTRIES; i++)
    print("grant %u: flags %x, domain %u, %s", i, entries[i].flags, entries[i].domid,
          !entries[i].frame                                     ? "no frame"
          : entries[i].frame == start_info->console.domU.mfn    ? "the console's frame"
          : entries[i].frame == (uint32_t)start_info->store_mfn ? "the store's frame"
                                                                : "another frame");
}

void dump_limits(void) {
  for (unsigned vcpu = 0; vcpu < 34; vcpu++) {
    long rc = HYPERVISOR_vcpu_op(VCPUOP_is_up, vcpu, NULL);
    if (rc != -XEN_ENOENT) print("vcpu %u: %s", vcpu, errno_name(rc));
  }
  vcpu_get_physid_t physid;
  say_rc("get_physid", HYPERVISOR_vcpu_op(VCPUOP_get_physid, 0, &physid));
  dump_grants();
  dump_ports();
}
