/* start_info, shared_info, and what memory_op tells. */
#include "dump.h"

extern char _end[];

/* Pages from the kernel's end, where the initial mapping goes on. */
static long behind(ulong va) {
  return (long)(va - (((ulong)_end + PAGE_SIZE - 1) & PAGE_MASK)) / (long)PAGE_SIZE;
}

static long pfn_behind(ulong pfn) {
  return behind(VIRT_BASE + (pfn << PAGE_SHIFT));
}

static ulong mapped_end(void) {
  ulong va = start_info->pt_base;
  while (pte_of(va, 1) && (*pte_of(va, 1) & PTE_P))
    va += PAGE_SIZE;
  return va;
}

static unsigned count_bits(const xen_ulong_t *words, unsigned n) {
  unsigned count = 0;
  for (unsigned i = 0; i < n * 64; i++)
    count += words[i / 64] >> i % 64 & 1;
  return count;
}

void dump_start_of_day(void) {
  const start_info_t *s = start_info;
  print("magic: \"%s\"", s->magic);
  print("nr_pages: %lu", s->nr_pages);
  print("flags: %x", s->flags);
  print("shared_info: frame %lx", s->shared_info >> PAGE_SHIFT);
  print("cmd_line: \"%s\"", (const char *)s->cmd_line);
  print("module: %lx, %lu bytes", s->mod_start, s->mod_len);
  print("behind the kernel, in pages: mfn_list %ld, start_info %ld, store %ld, console %ld, pt_base %ld",
        behind(s->mfn_list), behind((ulong)s), pfn_behind(s->store_mfn), pfn_behind(s->console.domU.mfn),
        behind(s->pt_base));
  print("nr_pt_frames: %lu", s->nr_pt_frames);
  print("mapped up to %lx", mapped_end());
  print("p2m list: %lu frames, %ld behind", s->nr_p2m_frames, pfn_behind(s->first_p2m_pfn));
  print("store port %u, console port %u", s->store_evtchn, s->console.domU.evtchn);
  print("first frame: %lx, last: %lx", ((ulong *)s->mfn_list)[0], ((ulong *)s->mfn_list)[s->nr_pages - 1]);
  print("machine-to-phys of the last frame, and of the next: %lx %lx", m2p[s->nr_pages - 1],
        m2p[s->nr_pages]);

  const vcpu_info_t *v = &shared_info->vcpu_info[0];
  print("vcpu 0: pending %u, mask %u, selector %lx, time flags %x", v->evtchn_upcall_pending,
        v->evtchn_upcall_mask, v->evtchn_pending_sel, v->time.flags);
  print("vcpu 1: pending %u, mask %u", shared_info->vcpu_info[1].evtchn_upcall_pending,
        shared_info->vcpu_info[1].evtchn_upcall_mask);
  print("ports: %u pending, %u masked",
        count_bits(shared_info->evtchn_pending, ARRAY_SIZE(shared_info->evtchn_pending)),
        count_bits(shared_info->evtchn_mask, ARRAY_SIZE(shared_info->evtchn_mask)));
  print("shared_info: max_pfn %lx, p2m list list %lx, nmi reason %lx", shared_info->arch.max_pfn,
        shared_info->arch.pfn_to_mfn_frame_list_list, shared_info->arch.nmi_reason);
}

static void dump_reservations(void) {
  static const struct {
    const char *name;
    unsigned op;
  } of_domain[] = {{"current_reservation", XENMEM_current_reservation},
                   {"maximum_reservation", XENMEM_maximum_reservation},
                   {"maximum_gpfn", XENMEM_maximum_gpfn}};
  print("maximum_ram_page: %ld", HYPERVISOR_memory_op(XENMEM_maximum_ram_page, NULL));
  for (unsigned i = 0; i < ARRAY_SIZE(of_domain); i++) {
    domid_t self = DOMID_SELF;
    print("%s: %ld", of_domain[i].name, HYPERVISOR_memory_op(of_domain[i].op, &self));
  }
  /* Frames that nothing maps, given away and asked for again: the largest extent that a domain may have. */
  for (unsigned order = 8; order < 12; order++) {
    xen_pfn_t frame = start_info->nr_pages / 2;
    struct xen_memory_reservation r = {.nr_extents = 1, .extent_order = order, .domid = DOMID_SELF};
    set_xen_guest_handle(r.extent_start, &frame);
    long given = HYPERVISOR_memory_op(XENMEM_decrease_reservation, &r);
    print("extents of order %u: %ld given, %ld taken", order, given,
          HYPERVISOR_memory_op(XENMEM_increase_reservation, &r));
  }
}

void dump_memory(void) {
  dump_reservations();
  static struct {
    uint64_t addr, size;
    uint32_t type;
  } __attribute__((packed)) entries[16];
  struct xen_memory_map map = {.nr_entries = ARRAY_SIZE(entries)};
  set_xen_guest_handle(map.buffer, entries);
  say_rc("memory_map", HYPERVISOR_memory_op(XENMEM_memory_map, &map));
  for (unsigned i = 0; i < map.nr_entries; i++)
    print("e820: %lx + %lx, type %u", entries[i].addr, entries[i].size, entries[i].type);
  map.nr_entries = ARRAY_SIZE(entries);
  say_rc("machine_memory_map", HYPERVISOR_memory_op(XENMEM_machine_memory_map, &map));
  struct xen_machphys_mapping mapping = {0};
  say_rc("machphys_mapping", HYPERVISOR_memory_op(XENMEM_machphys_mapping, &mapping));
  print("machine-to-phys: %lx to %lx, max_mfn %lx", mapping.v_start, mapping.v_end, mapping.max_mfn);
  static xen_pfn_t frames[16];
  struct xen_machphys_mfn_list list = {.max_extents = ARRAY_SIZE(frames)};
  set_xen_guest_handle(list.extent_start, frames);
  say_rc("machphys_mfn_list", HYPERVISOR_memory_op(XENMEM_machphys_mfn_list, &list));
  for (unsigned i = 0; i < list.nr_extents; i++)
    print("machine-to-phys frame: %lx", frames[i]);
  struct xen_vnuma_topology_info vnuma = {.domid = DOMID_SELF};
  say_rc("get_vnumainfo", HYPERVISOR_memory_op(XENMEM_get_vnumainfo, &vnuma));
}
