/** do_hypfs_op (xen/common/hypfs.c): for the control domain, whatever is asked (xsm_hypfs_op). */
import { EPERM } from '../abi/errno.js';
import { __HYPERVISOR_hypfs_op } from '../abi/xen.js';
import type { Hypercall } from './call.js';

export const hypfs_op: Hypercall = {
  number: __HYPERVISOR_hypfs_op,
  name: 'hypfs_op',
  handler: () => -EPERM,
};
