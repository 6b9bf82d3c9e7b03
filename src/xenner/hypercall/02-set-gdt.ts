/** do_set_gdt (xen/arch/x86/pv/descriptor-tables.c). */
import { EFAULT, EINVAL } from '../abi/errno.js';
import { __HYPERVISOR_set_gdt } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { FIRST_RESERVED_GDT_ENTRY } from '../mm/descriptors.js';
import { gdtFrames, setGdt } from '../mm/gdt.js';
import type { Hypercall } from './call.js';

function setGdtFromList(vcpu: Vcpu, list: bigint, entries: number): number {
  if (entries > FIRST_RESERVED_GDT_ENTRY) return -EINVAL;
  const bytes = vcpu.guest.read(list, gdtFrames(entries) * 8);
  if (bytes === undefined) return -EFAULT;
  // A frame number that is not exact as a number is no guest's.
  const frames = Array.from(new BigUint64Array(bytes.buffer), Number);
  return setGdt(vcpu, frames, entries);
}

export const set_gdt: Hypercall = {
  number: __HYPERVISOR_set_gdt,
  name: 'set_gdt',
  handler: (vcpu, args) => setGdtFromList(vcpu, args.u64(0), args.u32(1)),
};
