/** do_xenpmu_op (xen/arch/x86/cpu/vpmu.c): as a Xen booted without vpmu, the default. */
import { EOPNOTSUPP } from '../abi/errno.js';
import { __HYPERVISOR_xenpmu_op } from '../abi/xen.js';
import type { Hypercall } from './call.js';

export const xenpmu_op: Hypercall = {
  number: __HYPERVISOR_xenpmu_op,
  name: 'xenpmu_op',
  handler: () => -EOPNOTSUPP,
};
