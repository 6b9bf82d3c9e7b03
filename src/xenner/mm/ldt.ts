/**
 * A vCPU's LDT (xen/arch/x86/pv/mm.c, pv/descriptor-tables.c). The guest names a linear address; a page of it comes into
 * Xen's window at LDT_VA when a selector in it is first loaded, and is a descriptor page as long as it is there.
 */
import { type Gpa, gpa } from '../../kvm/guest-memory.js';
import { EINVAL } from '../abi/errno.js';
import type { Vcpu } from '../domain/vcpu.js';
import { LDT_PAGES } from '../monitor/frames.js';
import { PENDING_CR3, PENDING_LDT, PGT_seg_desc_page } from '../monitor/vcpu-area.js';
import { entryMfn } from './entry.js';
import { addressOk } from './guest-list.js';

const PAGE = 4096;
/** Present, writable, accessed and dirty: the CPU sets a descriptor's accessed bit. */
const LDT_ENTRY = 0x63n;
const MAX_LDT_ENTRIES = 8192n;

function slotAt(vcpu: Vcpu, slot: number): Gpa {
  return gpa(vcpu.domain.ldtL1 + (vcpu.id * LDT_PAGES + slot) * 8);
}

/** pv_destroy_ldt. What stands in the slots is the guest's to break: a reference is dropped only where one is held. */
export function destroyLdt(vcpu: Vcpu): void {
  const { memory, pages } = vcpu.domain;
  if (vcpu.area.low('ldt_mapped') === 0) return;
  for (let slot = 0; slot < LDT_PAGES; slot++) {
    const at = slotAt(vcpu, slot);
    const mfn = entryMfn(memory.readU32(at), memory.readU32(gpa(at + 4)));
    if (memory.readU64(at) !== 0n) pages.putPageType(vcpu, mfn, PGT_seg_desc_page);
    memory.writeU64(at, 0n);
  }
  vcpu.area.setLow('ldt_mapped', 0);
  vcpu.addPending(PENDING_CR3);
}

/**
 * pv_map_ldt_shadow_page: 0, or -EINVAL where the guest gets a page fault.
 * @param offset in the LDT, of the descriptor that the CPU could not read
 */
export function mapLdtPage(vcpu: Vcpu, offset: bigint): number {
  const { memory, pages } = vcpu.domain;
  if (offset / 8n >= vcpu.area.get('ldt_entries') || offset / 8n >= MAX_LDT_ENTRIES) return -EINVAL;
  const slot = Number(offset) >>> 12;
  const linear = BigInt.asUintN(64, vcpu.area.get('ldt_base') + BigInt(slot * PAGE));
  const at = addressOk(linear) ? vcpu.guest.translate(linear, false) : -1;
  if (at < 0) return -EINVAL;
  const mfn = Math.floor(at / PAGE);
  const error = pages.getPageType(vcpu, mfn, PGT_seg_desc_page);
  if (error !== 0) return error;
  memory.writeU64(slotAt(vcpu, slot), BigInt(mfn * PAGE) | LDT_ENTRY);
  vcpu.area.setLow('ldt_mapped', vcpu.area.low('ldt_mapped') + 1);
  return 0;
}

/** MMUEXT_SET_LDT: without entries, the address means nothing. */
export function setLdt(vcpu: Vcpu, address: bigint, entries: bigint): number {
  const { area } = vcpu;
  const base = entries === 0n ? 0n : address;
  if (base % BigInt(PAGE) !== 0n || !addressOk(base) || entries > MAX_LDT_ENTRIES) return -EINVAL;
  if (base === area.get('ldt_base') && entries === area.get('ldt_entries')) return 0;
  destroyLdt(vcpu);
  area.set('ldt_base', base);
  area.set('ldt_entries', entries);
  vcpu.addPending(PENDING_LDT);
  return 0;
}
