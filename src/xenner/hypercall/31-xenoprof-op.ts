/** xenoprof_op: as a Xen built without CONFIG_XENOPROF. */
import { ENOSYS } from '../abi/errno.js';
import { __HYPERVISOR_xenoprof_op } from '../abi/xen.js';
import type { Hypercall } from './call.js';

export const xenoprof_op: Hypercall = {
  number: __HYPERVISOR_xenoprof_op,
  name: 'xenoprof_op',
  handler: () => -ENOSYS,
};
