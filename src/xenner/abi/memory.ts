/** xen/include/public/memory.h: memory_op, as far as a domU may use it. */
import { cstruct, group, pad, u16, u32, u64, union } from '../../base/layout.js';

const HEADER = 'memory.h';

export const XENMEM_increase_reservation = 0;
export const XENMEM_decrease_reservation = 1;
export const XENMEM_populate_physmap = 6;
export const XENMEM_exchange = 11;
export const XENMEM_maximum_ram_page = 2;
export const XENMEM_current_reservation = 3;
export const XENMEM_maximum_reservation = 4;
export const XENMEM_maximum_gpfn = 14;
export const XENMEM_machphys_mfn_list = 5;
export const XENMEM_machphys_compat_mfn_list = 25;
export const XENMEM_machphys_mapping = 12;
export const XENMEM_add_to_physmap = 7;
export const XENMEM_add_to_physmap_batch = 23;
export const XENMEM_remove_from_physmap = 15;
export const XENMEM_memory_map = 9;
export const XENMEM_machine_memory_map = 10;
export const XENMEM_set_memory_map = 13;
export const XENMEM_set_pod_target = 16;
export const XENMEM_get_pod_target = 17;
export const XENMEM_acquire_resource = 28;
export const XENMEM_resource_grant_table = 1;
export const XENMEM_resource_grant_table_id_shared = 0;
export const XENMEM_resource_grant_table_id_status = 1;
export const XENMEM_get_vnumainfo = 26;

/* xen_memory_reservation.mem_flags; the low byte limits the address bits. */
export const XENMEMF_populate_on_demand = 1 << 16;
export const XENMEMF_exact_node_request = 1 << 17;
export const XENMEMF_vnode = 1 << 18;

export const xen_memory_reservation = cstruct('struct xen_memory_reservation', HEADER, 32, {
  extent_start: u64,
  nr_extents: u64,
  extent_order: u32,
  mem_flags: u32,
  domid: u16,
  _pad: pad(6),
});
export const xen_memory_exchange = cstruct('struct xen_memory_exchange', HEADER, 72, {
  in: xen_memory_reservation,
  out: xen_memory_reservation,
  nr_exchanged: u64,
});
export const xen_memory_domain = cstruct('struct xen_memory_domain', HEADER, 2, { domid: u16 });
export const xen_machphys_mfn_list = cstruct('struct xen_machphys_mfn_list', HEADER, 24, {
  max_extents: u32,
  _pad0: pad(4),
  extent_start: u64,
  nr_extents: u32,
  _pad1: pad(4),
});
export const xen_machphys_mapping = cstruct('struct xen_machphys_mapping', HEADER, 24, {
  v_start: u64,
  v_end: u64,
  max_mfn: u64,
});

export const XENMAPSPACE_shared_info = 0;
export const XENMAPSPACE_grant_table = 1;
export const XENMAPSPACE_gmfn = 2;
export const XENMAPSPACE_gmfn_range = 3;
export const XENMAPSPACE_gmfn_foreign = 4;
export const XENMAPSPACE_dev_mmio = 5;
export const XENMAPIDX_grant_table_status = 0x80000000;
export const xen_add_to_physmap = cstruct('struct xen_add_to_physmap', HEADER, 24, {
  domid: u16,
  size: u16,
  space: u32,
  idx: u64,
  gpfn: u64,
});
export const xen_add_to_physmap_batch = cstruct('struct xen_add_to_physmap_batch', HEADER, 32, {
  domid: u16,
  space: u16,
  size: u16,
  u: union({ foreign_domid: u16, res0: u16 }),
  idxs: u64,
  gpfns: u64,
  errs: u64,
});
export const xen_remove_from_physmap = cstruct('struct xen_remove_from_physmap', HEADER, 16, {
  domid: u16,
  _pad: pad(6),
  gpfn: u64,
});
export const xen_memory_map = cstruct('struct xen_memory_map', HEADER, 16, {
  nr_entries: u32,
  _pad: pad(4),
  buffer: u64,
});
export const xen_foreign_memory_map = cstruct('struct xen_foreign_memory_map', HEADER, 24, {
  domid: u16,
  _pad: pad(6),
  map: xen_memory_map,
});
export const xen_pod_target = cstruct('struct xen_pod_target', HEADER, 40, {
  target_pages: u64,
  tot_pages: u64,
  pod_cache_pages: u64,
  pod_entries: u64,
  domid: u16,
  _pad: pad(6),
});
export const xen_mem_acquire_resource = cstruct('struct xen_mem_acquire_resource', HEADER, 32, {
  domid: u16,
  type: u16,
  id: u32,
  nr_frames: u32,
  pad: u32,
  frame: u64,
  frame_list: u64,
});
export const xen_vmemrange = cstruct('struct xen_vmemrange', HEADER, 24, {
  start: u64,
  end: u64,
  flags: u32,
  nid: u32,
});
export const xen_vnuma_topology_info = cstruct('struct xen_vnuma_topology_info', HEADER, 40, {
  domid: u16,
  pad: u16,
  nr_vnodes: u32,
  nr_vcpus: u32,
  nr_vmemranges: u32,
  vdistance: group({ h: u64 }),
  vcpu_to_vnode: group({ h: u64 }),
  vmemrange: group({ h: u64 }),
});
