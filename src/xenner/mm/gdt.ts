/** A vCPU's GDT: 14 pages that the guest may fill, and Xen's own behind them (xen/arch/x86/pv/descriptor-tables.c). */
import { type Gpa, gpa } from '../../kvm/guest-memory.js';
import { EINVAL } from '../abi/errno.js';
import type { Vcpu } from '../domain/vcpu.js';
import { GDT_PAGES, RESERVED_GDT_PAGE } from '../monitor/frames.js';
import { PENDING_CR3, PGT_seg_desc_page, SYSRET_NONE } from '../monitor/vcpu-area.js';
import { FIRST_RESERVED_GDT_ENTRY } from './descriptors.js';
import { entryMfn, NR_ENTRIES } from './entry.js';

const PAGE = 4096;
/** Present, writable, accessed and dirty: the CPU sets a descriptor's accessed bit. */
const GDT_ENTRY = 0x63n;
/** The last slot is no page of the GDT: it keeps mapping the zero page, which is what every unused slot maps. */
const ZERO_SLOT = GDT_PAGES - 1;

export function gdtFrames(entries: number): number {
  return Math.ceil(entries / NR_ENTRIES);
}

function slotAt(vcpu: Vcpu, slot: number): Gpa {
  return gpa(vcpu.domain.gdtL1 + (vcpu.id * GDT_PAGES + slot) * 8);
}

/** pv_destroy_gdt. What stands in the slots is the guest's to break: a reference is dropped only where one is held. */
function destroyGdt(vcpu: Vcpu): void {
  const { memory, pages } = vcpu.domain;
  const zero = memory.readU64(slotAt(vcpu, ZERO_SLOT));
  for (let slot = 0; slot < RESERVED_GDT_PAGE; slot++) {
    const at = slotAt(vcpu, slot);
    if (memory.readU64(at) === zero) continue;
    const mfn = entryMfn(memory.readU32(at), memory.readU32(gpa(at + 4)));
    pages.putPageType(vcpu, mfn, PGT_seg_desc_page);
    memory.writeU64(at, zero);
  }
}

/** pv_set_gdt: `frames` are the first frames of any number, `entries` says how many of them count. */
export function setGdt(vcpu: Vcpu, frames: readonly number[], entries: number): number {
  if (entries > FIRST_RESERVED_GDT_ENTRY) return -EINVAL;
  const { memory, pages } = vcpu.domain;
  const used = frames.slice(0, gdtFrames(entries));
  for (const [i, mfn] of used.entries()) {
    if (pages.getPageType(vcpu, mfn, PGT_seg_desc_page) === 0) continue;
    for (const taken of used.slice(0, i)) pages.putPageType(vcpu, taken, PGT_seg_desc_page);
    return -EINVAL;
  }
  destroyGdt(vcpu);
  for (const [slot, mfn] of used.entries())
    memory.writeU64(slotAt(vcpu, slot), BigInt(mfn * PAGE) | GDT_ENTRY);
  vcpu.addPending(PENDING_CR3);
  forgetSysret(vcpu);
  return 0;
}

/** A descriptor is another one: the monitor has to look again at what SYSRET may stand for. */
export function forgetSysret(vcpu: Vcpu): void {
  vcpu.area.setLow('sysret_cs', SYSRET_NONE);
}
