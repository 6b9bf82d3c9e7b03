/** xen/include/public/version.h: xen_version. */
import { cstring, cstruct, u32, u64 } from '../../base/layout.js';

const HEADER = 'version.h';

export const XENVER_version = 0;
export const XENVER_extraversion = 1;
export const XENVER_compile_info = 2;
export const XENVER_capabilities = 3;
export const XENVER_changeset = 4;
export const XENVER_platform_parameters = 5;
export const XENVER_get_features = 6;
export const XENVER_pagesize = 7;
export const XENVER_guest_handle = 8;
export const XENVER_commandline = 9;
export const XENVER_build_id = 10;

/* Sizes of the char arrays that the sub-operations fill. */
export const XEN_EXTRAVERSION_LEN = 16;
export const XEN_CAPABILITIES_INFO_LEN = 1024;
export const XEN_CHANGESET_INFO_LEN = 64;

export const xen_compile_info = cstruct('struct xen_compile_info', HEADER, 144, {
  compiler: cstring(64),
  compile_by: cstring(16),
  compile_domain: cstring(32),
  compile_date: cstring(32),
});
export const xen_platform_parameters = cstruct('struct xen_platform_parameters', HEADER, 8, {
  virt_start: u64,
});
export const xen_feature_info = cstruct('struct xen_feature_info', HEADER, 8, {
  submap_idx: u32,
  submap: u32,
});
/** Followed by `len` bytes. */
export const xen_build_id = cstruct('struct xen_build_id', HEADER, 4, { len: u32 });
