/** do_xsm_op (xen/xsm/dummy.c): the default policy has nothing to ask or to set. */
import { ENOSYS } from '../abi/errno.js';
import { __HYPERVISOR_xsm_op } from '../abi/xen.js';
import type { Hypercall } from './call.js';

export const xsm_op: Hypercall = {
  number: __HYPERVISOR_xsm_op,
  name: 'xsm_op',
  handler: () => -ENOSYS,
};
