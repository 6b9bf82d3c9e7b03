/** do_xen_version (xen/common/kernel.c), with the answers of a domain without privilege (xsm_xen_version). */

import { HYPERVISOR_VIRT_START } from '../abi/arch-x86.js';
import { EFAULT, EINVAL, ENOSYS, EPERM } from '../abi/errno.js';
import * as abi from '../abi/version.js';
import { __HYPERVISOR_xen_version } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { xenVersionWord } from '../profile/profiles.js';
import type { Hypercall } from './call.js';

/** xen_deny() */
const DENIED = '<denied>\0';
const PAGE_SIZE = 4096;

/** A char array that is filled up with zeros. */
function write(vcpu: Vcpu, arg: bigint, text: string, length: number): number {
  const bytes = Buffer.alloc(length);
  bytes.write(text);
  return vcpu.guest.write(arg, bytes) ? 0 : -EFAULT;
}

function getFeatures(vcpu: Vcpu, arg: bigint): number {
  const info = vcpu.guest.readStruct(abi.xen_feature_info, arg);
  if (info === undefined) return -EFAULT;
  if (info.submap_idx !== 0) return -EINVAL;
  const submap = vcpu.domain.profile.xen.features.reduce((bits, feature) => bits | (1 << feature), 0);
  return vcpu.guest.writeStruct(abi.xen_feature_info, arg, { submap }) ? 0 : -EFAULT;
}

function version(vcpu: Vcpu, cmd: number, arg: bigint): number {
  const { guest, domain } = vcpu;
  const { xen } = domain.profile;
  switch (cmd) {
    case abi.XENVER_version:
      return xenVersionWord(domain.profile);
    case abi.XENVER_extraversion:
      return write(vcpu, arg, xen.extraversion, abi.XEN_EXTRAVERSION_LEN);
    case abi.XENVER_compile_info:
      return guest.write(arg, abi.xen_compile_info.create(xen.compileInfo)) ? 0 : -EFAULT;
    case abi.XENVER_capabilities:
      return write(vcpu, arg, xen.capabilities, abi.XEN_CAPABILITIES_INFO_LEN);
    case abi.XENVER_changeset:
      return write(vcpu, arg, xen.changeset, abi.XEN_CHANGESET_INFO_LEN);
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
