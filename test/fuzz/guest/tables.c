/* Calls about memory: page tables, reservations, grants. */
#include "fuzz.h"

void draw_mmu_update(struct call *call) {
  ulong n = 1 + below(one_in(8) ? 40 : 4);
  mmu_update_t *list = structure(n * sizeof(*list));
  for (ulong i = 0; i < n; i++) {
    list[i].ptr = entry_address();
    list[i].val = one_in(2) ? l1_value() : table_value();
  }
  call->args[0] = one_in(16) ? list_pointer() : (ulong)list;
  call->args[1] = one_in(16) ? value() : n;
  call->args[2] = one_in(2) ? 0 : pointer();
  call->args[3] = one_in(8) ? value() : domid();
}

static ulong base_pointer(void) {
  if (wild) return any_frame();
  return one_in(3) ? mfn_of(kernel_l4()) : one_in(2) ? alternate_l4 : start_info->nr_pages + draw() % 100000;
}

static void draw_mmuext(mmuext_op_t *op) {
  op->cmd = one_in(32) ? (unsigned)value() : (unsigned)below(24);
  op->arg1.mfn = any_frame();
  op->arg2.src_mfn = frame();
  switch (op->cmd) {
  case MMUEXT_NEW_BASEPTR:
    op->arg1.mfn = base_pointer();
    break;
  case MMUEXT_CLEAR_PAGE:
  case MMUEXT_COPY_PAGE:
    op->arg1.mfn = frame();
    op->arg2.src_mfn = source_frame();
    break;
  case MMUEXT_INVLPG_LOCAL:
  case MMUEXT_INVLPG_ALL:
  case MMUEXT_INVLPG_MULTI:
  case MMUEXT_TLB_FLUSH_MULTI:
    op->arg1.linear_addr = one_in(2) ? pointer() : window();
    set_xen_guest_handle(op->arg2.vcpumask, (void *)pointer());
    break;
  case MMUEXT_SET_LDT:
    op->arg1.linear_addr = window() & (one_in(4) ? ~0ul : PAGE_MASK);
    op->arg2.nr_ents = one_in(4) ? (unsigned)value() : (unsigned)below(8200);
    break;
  }
}

void draw_mmuext_op(struct call *call) {
  ulong n = 1 + below(4);
  mmuext_op_t *list = structure(n * sizeof(*list));
  for (ulong i = 0; i < n; i++)
    draw_mmuext(&list[i]);
  call->args[0] = one_in(16) && wild ? pointer() : (ulong)list;
  call->args[1] = one_in(16) ? (wild ? value() : 0x80000000 | n) : n;
  call->args[2] = one_in(2) ? 0 : pointer();
  call->args[3] = one_in(8) ? value() : domid();
}

void draw_update_va_mapping(struct call *call) {
  call->args[0] = window();
  call->args[1] = l1_value();
  call->args[2] = one_in(8) ? value() : below(4) | (one_in(4) ? pointer() : one_in(2) ? UVMF_ALL : 0);
  call->args[3] = domid();
}

/* Extents: a list of frames, as many as the structure says. */
static void draw_reservation(xen_memory_reservation_t *r) {
  r->nr_extents = one_in(8) ? value() : below(20);
  r->extent_order = one_in(4) ? (unsigned)below(12) : 0;
  r->mem_flags = one_in(4) ? (unsigned)value() : one_in(2) ? (unsigned)below(64) : 0;
  r->domid = (domid_t)domid();
  xen_pfn_t *list = structure(20 * sizeof(*list));
  for (unsigned i = 0; i < 20; i++)
    list[i] = one_in(8) ? value() : frame();
  set_xen_guest_handle(r->extent_start, one_in(8) ? (void *)pointer() : list);
}

void draw_memory_op(struct call *call) {
  ulong cmd = one_in(16) ? value() : one_in(2) ? below(30) : below(12);
  call->args[0] = cmd | (one_in(8) ? below(64) << 6 : 0);
  if (cmd == XENMEM_exchange) {
    struct xen_memory_exchange *exchange = structure(sizeof(*exchange));
    draw_reservation(&exchange->in);
    draw_reservation(&exchange->out);
    if (!one_in(4)) {
      exchange->out.nr_extents = exchange->in.nr_extents;
      exchange->out.extent_order = exchange->in.extent_order;
      exchange->out.domid = exchange->in.domid;
    }
    exchange->nr_exchanged = one_in(4) ? value() : 0;
    call->args[1] = (ulong)exchange;
  } else {
    xen_memory_reservation_t *reservation = structure(128);
    draw_reservation(reservation);
    bool takes_list = cmd == XENMEM_increase_reservation || cmd == XENMEM_decrease_reservation ||
                      cmd == XENMEM_populate_physmap;
    if (!takes_list && one_in(2)) *(domid_t *)reservation = (domid_t)domid();
    call->args[1] = (ulong)reservation;
  }
  if (one_in(16)) call->args[1] = pointer();
}

static ulong reference(void) {
  return one_in(8) ? value() : below(one_in(2) ? 16 : 600);
}

static void draw_map(gnttab_map_grant_ref_t *op) {
  op->host_addr = window();
  op->flags = one_in(4) ? (uint32_t)draw() : (uint32_t)below(32);
  if (op->flags & GNTMAP_contains_pte) op->host_addr = entry_address() & ~7ul;
  op->ref = (grant_ref_t)reference();
  op->dom = one_in(8) ? (domid_t)domid() : (domid_t)own_domid;
}

/* Handles come anew from 0; what a map was given is not remembered, but most addresses are of the scratch
 * area. */
static void draw_unmap(gnttab_unmap_grant_ref_t *op) {
  op->host_addr = one_in(4) ? 0 : USER_SCRATCH + below(512) * PAGE_SIZE;
  op->dev_bus_addr = one_in(2) ? 0 : frame() << PAGE_SHIFT;
  op->handle = one_in(8) ? (grant_handle_t)value() : (grant_handle_t)below(200);
}

static void draw_copy(gnttab_copy_t *op) {
  op->flags = one_in(8) ? (uint16_t)draw() : (uint16_t)below(4);
  op->source.domid = (domid_t)domid();
  op->dest.domid = (domid_t)domid();
  op->source.u.gmfn = op->flags & GNTCOPY_source_gref ? reference() : source_frame();
  op->dest.u.gmfn = op->flags & GNTCOPY_dest_gref ? reference() : frame();
  op->source.offset = one_in(4) ? (uint16_t)draw() : (uint16_t)below(PAGE_SIZE);
  op->dest.offset = one_in(4) ? (uint16_t)draw() : (uint16_t)below(PAGE_SIZE);
  op->len = one_in(4) ? (uint16_t)draw() : (uint16_t)below(64);
}

void draw_grant_table_op(struct call *call) {
  ulong cmd = one_in(32) ? value() : below(14), n = 1 + below(4);
  uint8_t *list = structure(n * 64);
  for (ulong i = 0; i < n; i++) {
    switch (cmd) {
    case GNTTABOP_map_grant_ref:
      draw_map((gnttab_map_grant_ref_t *)list + i);
      break;
    case GNTTABOP_unmap_grant_ref:
      draw_unmap((gnttab_unmap_grant_ref_t *)list + i);
      break;
    case GNTTABOP_unmap_and_replace: {
      gnttab_unmap_and_replace_t *op = (gnttab_unmap_and_replace_t *)list + i;
      op->host_addr = window();
      op->new_addr = one_in(8) ? 0 : window();
      op->handle = (grant_handle_t)below(200);
      break;
    }
    case GNTTABOP_copy:
      draw_copy((gnttab_copy_t *)list + i);
      break;
    case GNTTABOP_swap_grant_ref:
      ((gnttab_swap_grant_ref_t *)list + i)->ref_a = (grant_ref_t)reference();
      ((gnttab_swap_grant_ref_t *)list + i)->ref_b = (grant_ref_t)reference();
      break;
    case GNTTABOP_setup_table:
      n = 1;
      ((gnttab_setup_table_t *)list)->dom = (domid_t)domid();
      ((gnttab_setup_table_t *)list)->nr_frames = (uint32_t)(one_in(4) ? value() : below(40));
      set_xen_guest_handle(((gnttab_setup_table_t *)list)->frame_list, (void *)pointer());
      break;
    default:
      *(domid_t *)list = (domid_t)domid();
      if (!one_in(4)) n = 1;
    }
  }
  call->args[0] = cmd;
  call->args[1] = one_in(16) && wild ? pointer() : (ulong)list;
  call->args[2] = one_in(16) ? (wild ? value() : 0) : n;
}
