/** xen/include/public/grant_table.h. */
import { array, cstruct, cunion, group, pad, s16, u16, u32, u64, union } from '../../base/layout.js';

const HEADER = 'grant_table.h';

/** Version 1 entry. The guest changes flags while we look: map and unmap with compare-exchange on `flags`. */
export const grant_entry_v1 = cstruct('struct grant_entry_v1', HEADER, 8, {
  flags: u16,
  domid: u16,
  frame: u32,
});

export const GNTTAB_NR_RESERVED_ENTRIES = 8;
export const GNTTAB_RESERVED_CONSOLE = 0;
export const GNTTAB_RESERVED_XENSTORE = 1;

/* Grant entry flags */
export const GTF_invalid = 0;
export const GTF_permit_access = 1;
export const GTF_accept_transfer = 2;
export const GTF_transitive = 3;
export const GTF_type_mask = 3;
export const GTF_readonly = 1 << 2;
export const GTF_reading = 1 << 3;
export const GTF_writing = 1 << 4;
export const GTF_PWT = 1 << 5;
export const GTF_PCD = 1 << 6;
export const GTF_PAT = 1 << 7;
export const GTF_sub_page = 1 << 8;
export const GTF_transfer_committed = 1 << 2;
export const GTF_transfer_completed = 1 << 3;

export const grant_entry_header = cstruct('struct grant_entry_header', HEADER, 4, { flags: u16, domid: u16 });
export const grant_entry_v2 = cunion('union grant_entry_v2', HEADER, 16, {
  hdr: grant_entry_header,
  full_page: group({ hdr: grant_entry_header, pad0: pad(4), frame: u64 }),
  sub_page: group({ hdr: grant_entry_header, page_off: u16, length: u16, frame: u64 }),
  transitive: group({ hdr: grant_entry_header, trans_domid: u16, pad0: pad(2), gref: u32 }),
  __spacer: array(u32, 4),
});

export const GNTTABOP_map_grant_ref = 0;
export const GNTTABOP_unmap_grant_ref = 1;
export const GNTTABOP_setup_table = 2;
export const GNTTABOP_dump_table = 3;
export const GNTTABOP_transfer = 4;
export const GNTTABOP_copy = 5;
export const GNTTABOP_query_size = 6;
export const GNTTABOP_unmap_and_replace = 7;
export const GNTTABOP_set_version = 8;
export const GNTTABOP_get_status_frames = 9;
export const GNTTABOP_get_version = 10;
export const GNTTABOP_swap_grant_ref = 11;
export const GNTTABOP_cache_flush = 12;

/* grant_ref_t and grant_handle_t are u32. */
export const gnttab_map_grant_ref = cstruct('struct gnttab_map_grant_ref', HEADER, 32, {
  host_addr: u64,
  flags: u32,
  ref: u32,
  dom: u16,
  status: s16,
  handle: u32,
  dev_bus_addr: u64,
});
export const gnttab_unmap_grant_ref = cstruct('struct gnttab_unmap_grant_ref', HEADER, 24, {
  host_addr: u64,
  dev_bus_addr: u64,
  handle: u32,
  status: s16,
  _pad: pad(2),
});
export const gnttab_setup_table = cstruct('struct gnttab_setup_table', HEADER, 24, {
  dom: u16,
  _pad0: pad(2),
  nr_frames: u32,
  status: s16,
  _pad1: pad(6),
  frame_list: u64,
});
export const gnttab_dump_table = cstruct('struct gnttab_dump_table', HEADER, 4, { dom: u16, status: s16 });
export const gnttab_transfer = cstruct('struct gnttab_transfer', HEADER, 24, {
  mfn: u64,
  domid: u16,
  _pad0: pad(2),
  ref: u32,
  status: s16,
  _pad1: pad(6),
});

export const GNTCOPY_source_gref = 1 << 0;
export const GNTCOPY_dest_gref = 1 << 1;
const gnttab_copy_ptr = group({ u: union({ ref: u32, gmfn: u64 }), domid: u16, offset: u16, _pad: pad(4) });
export const gnttab_copy = cstruct('struct gnttab_copy', HEADER, 40, {
  source: gnttab_copy_ptr,
  dest: gnttab_copy_ptr,
  len: u16,
  flags: u16,
  status: s16,
  _pad: pad(2),
});
export const gnttab_query_size = cstruct('struct gnttab_query_size', HEADER, 16, {
  dom: u16,
  _pad0: pad(2),
  nr_frames: u32,
  max_nr_frames: u32,
  status: s16,
  _pad1: pad(2),
});
export const gnttab_unmap_and_replace = cstruct('struct gnttab_unmap_and_replace', HEADER, 24, {
  host_addr: u64,
  new_addr: u64,
  handle: u32,
  status: s16,
  _pad: pad(2),
});
export const gnttab_set_version = cstruct('struct gnttab_set_version', HEADER, 4, { version: u32 });
export const gnttab_get_status_frames = cstruct('struct gnttab_get_status_frames', HEADER, 16, {
  nr_frames: u32,
  dom: u16,
  status: s16,
  frame_list: u64,
});
export const gnttab_get_version = cstruct('struct gnttab_get_version', HEADER, 8, {
  dom: u16,
  pad: pad(2),
  version: u32,
});
export const gnttab_swap_grant_ref = cstruct('struct gnttab_swap_grant_ref', HEADER, 12, {
  ref_a: u32,
  ref_b: u32,
  status: s16,
  _pad: pad(2),
});
export const GNTTAB_CACHE_CLEAN = 1 << 0;
export const GNTTAB_CACHE_INVAL = 1 << 1;
export const gnttab_cache_flush = cstruct('struct gnttab_cache_flush', HEADER, 16, {
  a: union({ dev_bus_addr: u64, ref: u32 }),
  offset: u16,
  length: u16,
  op: u32,
});

/* gnttab_map_grant_ref.flags */
export const GNTMAP_device_map = 1 << 0;
export const GNTMAP_host_map = 1 << 1;
export const GNTMAP_readonly = 1 << 2;
export const GNTMAP_application_map = 1 << 3;
export const GNTMAP_contains_pte = 1 << 4;
export const GNTMAP_guest_avail_mask = 0xffff0000;

/* Status values */
export const GNTST_okay = 0;
export const GNTST_general_error = -1;
export const GNTST_bad_domain = -2;
export const GNTST_bad_gntref = -3;
export const GNTST_bad_handle = -4;
export const GNTST_bad_virt_addr = -5;
export const GNTST_bad_dev_addr = -6;
export const GNTST_no_device_space = -7;
export const GNTST_permission_denied = -8;
export const GNTST_bad_page = -9;
export const GNTST_bad_copy_arg = -10;
export const GNTST_address_too_big = -11;
export const GNTST_eagain = -12;
export const GNTST_no_space = -13;
