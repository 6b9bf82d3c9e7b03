/** NMIs that a guest sends its vCPUs: one at a time, until the handler's iret (process_nmi, async_exception_cleanup). */
import { SHUTDOWN_crash } from '../abi/sched.js';
import type { Vcpu } from '../domain/vcpu.js';
import { trapEntry } from './callbacks.js';
import { bounce } from './registers.js';

const TRAP_nmi = 2;

/** To a vCPU in a hypercall, or on its way back to the guest. Without a handler the domain crashes. */
export function deliverNmi(vcpu: Vcpu): void {
  const { nmi, area } = vcpu;
  if (!nmi.pending || nmi.inHandler) return;
  nmi.pending = false;
  nmi.inHandler = true;
  // The iret that ends the handler has to come here, so the monitor may not serve it.
  nmi.fastPaths = area.low('fast_paths');
  area.setLow('fast_paths', 0);
  if (!bounce(vcpu, trapEntry(vcpu, TRAP_nmi))) vcpu.domain.shutdown(SHUTDOWN_crash);
}

export function raiseNmi(vcpu: Vcpu, current: Vcpu): void {
  vcpu.nmi.pending = true;
  if (vcpu === current) deliverNmi(vcpu);
  else vcpu.stopForNmi();
}

/** Any iret ends the handler for Xen: which frame it takes does not matter. */
export function nmiReturned(vcpu: Vcpu): void {
  if (!vcpu.nmi.inHandler) return;
  vcpu.nmi.inHandler = false;
  vcpu.area.setLow('fast_paths', vcpu.nmi.fastPaths);
  deliverNmi(vcpu);
}
