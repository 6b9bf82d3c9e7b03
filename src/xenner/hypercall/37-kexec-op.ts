/** do_kexec_op (xen/common/kexec.c): for the control domain, whatever is asked (xsm_kexec). */
import { EPERM } from '../abi/errno.js';
import { __HYPERVISOR_kexec_op } from '../abi/xen.js';
import type { Hypercall } from './call.js';

export const kexec_op: Hypercall = {
  number: __HYPERVISOR_kexec_op,
  name: 'kexec_op',
  handler: () => -EPERM,
};
