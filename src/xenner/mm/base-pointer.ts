/** The L4s that a vCPU runs on: new_guest_cr3 and MMUEXT_NEW_USER_BASEPTR (xen/arch/x86/mm.c). */
import type { Vcpu } from '../domain/vcpu.js';
import { PENDING_CR3, PGT_l4_page_table, SYSRET_NONE } from '../monitor/vcpu-area.js';
import { destroyLdt } from './ldt.js';

const PAGE = 4096;

/** The guest can write its vCPU area: what stands there is any number, and the reference is dropped only if it is held. */
function frameOf(cr3: bigint): number {
  return Number(cr3 >> 12n);
}

export function newBaseptr(vcpu: Vcpu, mfn: number): number {
  const { pages } = vcpu.domain;
  const old = frameOf(vcpu.area.get('cr3'));
  if (old !== mfn) {
    const error = pages.getPageType(vcpu, mfn, PGT_l4_page_table);
    if (error !== 0) return error;
    pages.putPageType(vcpu, old, PGT_l4_page_table);
    vcpu.area.set('cr3', BigInt(mfn * PAGE));
    destroyLdt(vcpu);
  }
  vcpu.addPending(PENDING_CR3);
  return 0;
}

/** Kept, not loaded: one L4 serves both modes (the kernel in ring 1 is supervisor for paging). */
export function newUserBaseptr(vcpu: Vcpu, mfn: number): number {
  const { pages } = vcpu.domain;
  const old = frameOf(vcpu.area.get('user_cr3'));
  if (old === mfn) return 0;
  if (mfn !== 0) {
    const error = pages.getPageType(vcpu, mfn, PGT_l4_page_table);
    if (error !== 0) return error;
  }
  if (old !== 0) pages.putPageType(vcpu, old, PGT_l4_page_table);
  vcpu.area.set('user_cr3', BigInt(mfn * PAGE));
  // Without it there is no way to user mode: not by SYSRET either.
  if (mfn === 0) vcpu.area.setLow('sysret_cs', SYSRET_NONE);
  return 0;
}
