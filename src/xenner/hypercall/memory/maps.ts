/** What a guest may know of memory: its e820 map and where the machine-to-phys table is (xen/arch/x86/mm.c). */
import { gpa } from '../../../kvm/guest-memory.js';
import { MACH2PHYS_VIRT_END, MACH2PHYS_VIRT_START } from '../../abi/arch-x86.js';
import { E820_RAM, e820entry } from '../../abi/e820.js';
import { EFAULT, EINVAL } from '../../abi/errno.js';
import * as abi from '../../abi/memory.js';
import { shared_info } from '../../abi/xen.js';
import type { Vcpu } from '../../domain/vcpu.js';
import { M2P_ENTRY_BYTES, XEN_PFN_BYTES } from './frames.js';

const PAGE = 4096;
/** The table is mapped, and its frames are told, in pieces of this size. */
const M2P_PIECE_BYTES = 2 * 1024 * 1024;
const MAX_PFN = shared_info.offsetof('arch.max_pfn');

/** One piece of RAM, from 0. */
export function memoryMap(vcpu: Vcpu, arg: bigint): number {
  const map = vcpu.guest.readStruct(abi.xen_memory_map, arg);
  if (map === undefined) return -EFAULT;
  if (map.buffer === 0n) return -EINVAL;
  const nr_entries = Math.min(map.nr_entries, 1);
  const entry = e820entry.create({ addr: 0n, size: BigInt(vcpu.domain.nrPages * PAGE), type: E820_RAM });
  if (nr_entries > 0 && !vcpu.guest.write(map.buffer, entry)) return -EFAULT;
  return vcpu.guest.writeStruct(abi.xen_memory_map, arg, { nr_entries }) ? 0 : -EFAULT;
}

export function machphysMapping(vcpu: Vcpu, arg: bigint): number {
  const mapping = {
    v_start: MACH2PHYS_VIRT_START,
    v_end: MACH2PHYS_VIRT_END,
    max_mfn: BigInt(vcpu.domain.totalPages - 1),
  };
  return vcpu.guest.write(arg, abi.xen_machphys_mapping.create(mapping)) ? 0 : -EFAULT;
}

export function machphysMfnList(vcpu: Vcpu, arg: bigint): number {
  const list = vcpu.guest.readStruct(abi.xen_machphys_mfn_list, arg);
  if (list === undefined) return -EFAULT;
  const { m2p, totalPages } = vcpu.domain;
  const pieces = Math.ceil((totalPages * M2P_ENTRY_BYTES) / M2P_PIECE_BYTES);
  const nr_extents = Math.min(list.max_extents, pieces);
  for (let i = 0; i < nr_extents; i++) {
    const mfn = (m2p + i * M2P_PIECE_BYTES) / PAGE;
    if (!vcpu.guest.writeU64(list.extent_start + BigInt(i * XEN_PFN_BYTES), BigInt(mfn))) return -EFAULT;
  }
  return vcpu.guest.writeStruct(abi.xen_machphys_mfn_list, arg, { nr_extents }) ? 0 : -EFAULT;
}

/** domain_get_maximum_gpfn: what the guest itself says in shared_info. */
export function maximumGpfn({ domain }: Vcpu): bigint {
  const maxPfn = domain.memory.readU64(gpa(domain.sharedInfo + MAX_PFN));
  return maxPfn === 0n ? 0n : maxPfn - 1n;
}
