/** argo_op: as a Xen built without CONFIG_ARGO, the default. */
import { ENOSYS } from '../abi/errno.js';
import { __HYPERVISOR_argo_op } from '../abi/xen.js';
import type { Hypercall } from './call.js';

export const argo_op: Hypercall = {
  number: __HYPERVISOR_argo_op,
  name: 'argo_op',
  handler: () => -ENOSYS,
};
