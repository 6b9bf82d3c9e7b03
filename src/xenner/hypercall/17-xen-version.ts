/** do_xen_version (xen/common/kernel.c), with the answers of a domain without privilege (xsm_xen_version). */

import { HYPERVISOR_VIRT_START } from '../abi/arch-x86.js';
import { EFAULT, EINVAL, ENOSYS, EPERM } from '../abi/errno.js';
import * as features from '../abi/features.js';
import * as abi from '../abi/version.js';
import { __HYPERVISOR_xen_version } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import type { Hypercall } from './call.js';

/** native/monitor/hypercall.c answers the same. */
const VERSION = (4 << 16) | 17;
const EXTRAVERSION = '.0-xenner';
const CAPABILITIES = 'xen-3.0-x86_64 ';
const CHANGESET = 'xenner';
const COMPILE_INFO = {
  compiler: 'TypeScript',
  compile_by: 'xenner',
  compile_domain: '',
  compile_date: '',
};
/** xen_deny() */
const DENIED = '<denied>\0';
const PAGE_SIZE = 4096;

/** A char array that is filled up with zeros. */
function write(vcpu: Vcpu, arg: bigint, text: string, length: number): number {
  const bytes = Buffer.alloc(length);
  bytes.write(text);
  return vcpu.guest.write(arg, bytes) ? 0 : -EFAULT;
}

/** Those of a 64-bit PV domain, whose page directories may lie anywhere whether it asks for that (vm_assist) or not. */
const FEATURES =
  (1 << features.XENFEAT_pae_pgdir_above_4gb) |
  (1 << features.XENFEAT_mmu_pt_update_preserve_ad) |
  (1 << features.XENFEAT_highmem_assist) |
  (1 << features.XENFEAT_gnttab_map_avail_bits) |
  (1 << features.XENFEAT_memory_op_vnode_supported) |
  (1 << features.XENFEAT_direct_mapped);

function getFeatures(vcpu: Vcpu, arg: bigint): number {
  const info = vcpu.guest.readStruct(abi.xen_feature_info, arg);
  if (info === undefined) return -EFAULT;
  if (info.submap_idx !== 0) return -EINVAL;
  return vcpu.guest.writeStruct(abi.xen_feature_info, arg, { submap: FEATURES }) ? 0 : -EFAULT;
}

function version(vcpu: Vcpu, cmd: number, arg: bigint): number {
  const { guest, domain } = vcpu;
  switch (cmd) {
    case abi.XENVER_version:
      return VERSION;
    case abi.XENVER_extraversion:
      return write(vcpu, arg, EXTRAVERSION, abi.XEN_EXTRAVERSION_LEN);
    case abi.XENVER_compile_info:
      return guest.write(arg, abi.xen_compile_info.create(COMPILE_INFO)) ? 0 : -EFAULT;
    case abi.XENVER_capabilities:
      return write(vcpu, arg, CAPABILITIES, abi.XEN_CAPABILITIES_INFO_LEN);
    case abi.XENVER_changeset:
      return write(vcpu, arg, CHANGESET, abi.XEN_CHANGESET_INFO_LEN);
    case abi.XENVER_platform_parameters:
      return guest.writeU64(arg, HYPERVISOR_VIRT_START) ? 0 : -EFAULT;
    case abi.XENVER_get_features:
      return getFeatures(vcpu, arg);
    case abi.XENVER_pagesize:
      return arg === 0n ? PAGE_SIZE : -EINVAL;
    case abi.XENVER_guest_handle:
      return guest.write(arg, domain.handle) ? 0 : -EFAULT;
    case abi.XENVER_commandline:
      return write(vcpu, arg, DENIED, DENIED.length);
    case abi.XENVER_build_id:
      return -EPERM;
    default:
      return -ENOSYS;
  }
}

export const xen_version: Hypercall = {
  number: __HYPERVISOR_xen_version,
  name: 'xen_version',
  handler: (vcpu, args) => version(vcpu, args.s32(0), args.u64(1)),
};
