/** do_update_va_mapping_otherdomain (xen/arch/x86/mm.c): as update_va_mapping, for frames of a domain. */
import { EPERM } from '../abi/errno.js';
import { __HYPERVISOR_update_va_mapping_otherdomain } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { pageOwner } from '../mm/foreign.js';
import type { Hypercall, HypercallArgs } from './call.js';
import { updateVaMappingAndFlush } from './va-mapping.js';

function otherdomain(vcpu: Vcpu, args: HypercallArgs): number {
  const owner = pageOwner(vcpu.domain.domid, args.u32(3));
  if (owner !== 'self') return owner === 'io' ? -EPERM : owner;
  return updateVaMappingAndFlush(vcpu, args.u64(0), args.u64(1), args.u64(2));
}

export const update_va_mapping_otherdomain: Hypercall = {
  number: __HYPERVISOR_update_va_mapping_otherdomain,
  name: 'update_va_mapping_otherdomain',
  handler: otherdomain,
};
