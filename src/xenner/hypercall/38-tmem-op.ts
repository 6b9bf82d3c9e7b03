/** tmem_op: gone since Xen 4.13. */
import { ENOSYS } from '../abi/errno.js';
import { __HYPERVISOR_tmem_op } from '../abi/xen.js';
import type { Hypercall } from './call.js';

export const tmem_op: Hypercall = {
  number: __HYPERVISOR_tmem_op,
  name: 'tmem_op',
  handler: () => -ENOSYS,
};
