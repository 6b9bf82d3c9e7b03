/** do_update_descriptor (xen/arch/x86/pv/descriptor-tables.c). */
import { gpa } from '../../kvm/guest-memory.js';
import { EINVAL } from '../abi/errno.js';
import { __HYPERVISOR_update_descriptor } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { descriptorAllowed } from '../mm/descriptors.js';
import { forgetSysret } from '../mm/gdt.js';
import { PGT_none, PGT_seg_desc_page, PGT_writable_page } from '../monitor/vcpu-area.js';
import type { Hypercall } from './call.js';

const PAGE = 4096n;

/** @param address machine address of the descriptor, in a descriptor page or one that nothing else but mappings uses */
function updateDescriptor(vcpu: Vcpu, address: bigint, value: bigint): number {
  const { pages } = vcpu.domain;
  const words = new Uint32Array([Number(value & 0xffffffffn), Number(value >> 32n)]);
  if ((address & 7n) !== 0n || !descriptorAllowed(words, 0)) return -EINVAL;
  const mfn = Number(address / PAGE);
  if (!pages.isOwned(mfn)) return -EINVAL;
  const type = pages.typeOf(mfn);
  if (type !== PGT_none && type !== PGT_writable_page && type !== PGT_seg_desc_page) return -EINVAL;
  pages.frames.storeEntry(mfn, Number((address % PAGE) / 8n), words[0]!, words[1]!);
  if (type === PGT_seg_desc_page) vcpu.domain.vcpus.forEach(forgetSysret);
  else vcpu.domain.codeWritten(gpa(Number(address)), 8);
  return 0;
}

export const update_descriptor: Hypercall = {
  number: __HYPERVISOR_update_descriptor,
  name: 'update_descriptor',
  handler: (vcpu, args) => updateDescriptor(vcpu, args.u64(0), args.u64(1)),
};
