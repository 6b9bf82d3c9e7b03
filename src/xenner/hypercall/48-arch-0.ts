/** do_mca (xen/arch/x86/cpu/mcheck/mce.c): machine checks are for the control domain, whatever is asked (xsm_do_mca). */
import { EPERM } from '../abi/errno.js';
import { __HYPERVISOR_arch_0 } from '../abi/xen.js';
import type { Hypercall } from './call.js';

export const arch_0: Hypercall = {
  number: __HYPERVISOR_arch_0,
  name: 'arch_0',
  handler: () => -EPERM,
};
