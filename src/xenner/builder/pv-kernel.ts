/** May this kernel run as a 64-bit PV domU, and at which addresses; libelf-dominfo.c, elf_xen_note_check and on. */
import { XennerError } from '../../base/errors.js';
import { HYPERVISOR_VIRT_END, HYPERVISOR_VIRT_START } from '../abi/arch-x86.js';
import { type Elf, PT_LOAD } from './elf.js';
import { refusedFeatures } from './features.js';
import { hex, type XenParams } from './xen-params.js';

const PAGE_BYTES = 4096n;

/** Addresses are guest-virtual. Guest-physical is virtual minus virtBase. */
export interface PvKernel {
  virtBase: bigint;
  entry: bigint;
  /** First byte and the byte after the last that the kernel's segments take. */
  start: bigint;
  end: bigint;
  /** Guest-physical address of a segment is its p_paddr minus this. */
  paddrOffset: bigint;
  hypercallPage?: bigint;
  /** Where the p2m list is to be mapped; absent: in the initial mapping. */
  initP2m?: bigint;
  /** start_info.mod_start may be a pfn. */
  unmappedInitrd: boolean;
  /** NetBSD looks for its symbol table after its end. */
  bsdSymtab: boolean;
}

/** @returns the addresses, or one clause that says why the kernel is no 64-bit PV domU kernel */
export function pvKernel(elf: Elf, params: XenParams | undefined): PvKernel | string {
  if (params === undefined) return 'it has neither Xen notes nor a __xen_guest section';
  if (elf.bits === 32) return 'it is a 32-bit kernel';
  return whyRefused(params) ?? addresses(elf, params);
}

/** @throws XennerError EKERNEL_NOT_PV */
export function requirePvKernel(elf: Elf, params: XenParams | undefined): PvKernel {
  const kernel = pvKernel(elf, params);
  if (typeof kernel !== 'string') return kernel;
  throw new XennerError('EKERNEL_NOT_PV', `the kernel cannot boot as a 64-bit PV guest: ${kernel}`);
}

function whyRefused(params: XenParams): string | undefined {
  const { loader, guestOs, xenVersion } = params;
  // A kernel built with CONFIG_XEN_PVH but not CONFIG_XEN_PV has Linux's general notes and an entry for PVH only.
  if (params.phys32Entry !== undefined && params.virtEntry === undefined && params.virtBase === undefined) {
    return 'it has a PVH entry point only, no PV one';
  }
  if (!loader.startsWith('generic') && !guestOs.startsWith('linux')) {
    return `it is for the loader '${loader}', not the generic one, and for '${guestOs}', not Linux`;
  }
  if (!xenVersion.startsWith('xen-3.0')) return `it is built for the interface '${xenVersion}', not xen-3.0`;
  const refused = refusedFeatures(params.features);
  if (refused.length > 0) return `it requires ${refused.join(', ')}`;
  return undefined;
}

function addresses(elf: Elf, params: XenParams): PvKernel | string {
  if (params.paddrOffset !== undefined && params.virtBase === undefined) {
    return 'it gives a physical address offset without a virtual base';
  }
  const virtBase = params.virtBase ?? 0n;
  // Loaders before the notes put virtual addresses into p_paddr.
  const paddrOffset = params.paddrOffset ?? (params.origin === 'notes' ? 0n : virtBase);
  // They do not overlap, so that the highest start has the highest end as well.
  const loads = elf.segments
    .filter((segment) => segment.type === PT_LOAD)
    .sort((a, b) => (a.paddr < b.paddr ? -1 : 1));
  const last = loads.at(-1)!;
  const kernel: PvKernel = {
    virtBase,
    entry: params.virtEntry ?? elf.entry,
    start: loads[0]!.paddr - paddrOffset + virtBase,
    end: last.paddr + BigInt(last.memoryBytes) - paddrOffset + virtBase,
    paddrOffset,
    unmappedInitrd: params.modStartPfn,
    bsdSymtab: params.bsdSymtab,
  };
  if (params.hypercallPage !== undefined) kernel.hypercallPage = params.hypercallPage;
  // Xen maps the list elsewhere only below the kernel and page-aligned; else the note is void (xc_dom_build_image).
  const initP2m = params.initP2m;
  if (initP2m !== undefined && initP2m < virtBase && initP2m % PAGE_BYTES === 0n) kernel.initP2m = initP2m;
  return whyOutOfBounds(kernel) ?? kernel;
}

function whyOutOfBounds(kernel: PvKernel): string | undefined {
  const { virtBase, start, end, entry, hypercallPage, initP2m } = kernel;
  if (virtBase % PAGE_BYTES !== 0n) return `its virtual base ${hex(virtBase)} is not page-aligned`;
  if (start < virtBase || end > 1n << 64n)
    return 'it lies outside the mapping that starts at its virtual base';
  if (entry < start || entry >= end) return `its entry point ${hex(entry)} is outside the kernel`;
  if (!usableRange(virtBase, end)) return `Xen does not map kernels at ${hex(virtBase)}`;
  if (hypercallPage !== undefined) {
    const inside =
      hypercallPage >= start && hypercallPage + PAGE_BYTES <= end && hypercallPage % PAGE_BYTES === 0n;
    if (!inside) return `its hypercall page ${hex(hypercallPage)} is not a page of the kernel`;
  }
  if (initP2m !== undefined && !usableRange(initP2m, initP2m + PAGE_BYTES)) {
    return `Xen does not map a p2m list at ${hex(initP2m)}`;
  }
  return undefined;
}

/** Whether a guest's initial page tables may map [from, to): one canonical half, not Xen's own part. */
export function usableRange(from: bigint, to: bigint): boolean {
  if (to <= 1n << 47n) return true;
  if (from < HYPERVISOR_VIRT_START || to > 1n << 64n) return false;
  return from >= HYPERVISOR_VIRT_END;
}
