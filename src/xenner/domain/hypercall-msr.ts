/** The MSR that cpuid leaf 0x40000002 names (guest_wrmsr_xen, xen/arch/x86/traps.c). */
import { gpa } from '../../kvm/index.js';
import { EINVAL } from '../abi/errno.js';
import { hypercallPage } from '../builder/hypercall-page.js';
import { PGT_writable_page } from '../monitor/vcpu-area.js';
import type { Vcpu } from './vcpu.js';

const PAGE = 4096;

/**
 * Makes a page of the guest's a hypercall page: 0, or an errno where its wrmsr is a #GP.
 * @param value machine address of the page; its low bits are the number of a page, of which there is one
 */
export function writeHypercallMsr(vcpu: Vcpu, value: bigint): number {
  const { memory, pages, nrPages } = vcpu.domain;
  const mfn = Number(value / BigInt(PAGE));
  if (value % BigInt(PAGE) !== 0n || mfn >= nrPages) return -EINVAL;
  const error = pages.getPageType(vcpu, mfn, PGT_writable_page);
  if (error !== 0) return error;
  memory.copyIn(gpa(mfn * PAGE), hypercallPage());
  vcpu.domain.codeWritten(gpa(mfn * PAGE), PAGE);
  pages.putPageType(vcpu, mfn, PGT_writable_page);
  return 0;
}
