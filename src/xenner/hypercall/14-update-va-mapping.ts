/** do_update_va_mapping (xen/arch/x86/mm.c). */
import { __HYPERVISOR_update_va_mapping } from '../abi/xen.js';
import type { Hypercall } from './call.js';
import { updateVaMappingAndFlush } from './va-mapping.js';

export const update_va_mapping: Hypercall = {
  number: __HYPERVISOR_update_va_mapping,
  name: 'update_va_mapping',
  handler: (vcpu, args) => updateVaMappingAndFlush(vcpu, args.u64(0), args.u64(1), args.u64(2)),
};
