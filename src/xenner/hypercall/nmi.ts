/** NMIs that a guest sends itself: one at a time, until the handler's iret (process_nmi, async_exception_cleanup). */
import { SHUTDOWN_crash } from '../abi/sched.js';
import type { Vcpu } from '../domain/vcpu.js';
import { trapEntry } from './callbacks.js';
import { bounce } from './registers.js';

const TRAP_nmi = 2;

function deliver(vcpu: Vcpu): void {
  const { nmi, area } = vcpu;
  if (!nmi.pending || nmi.inHandler) return;
  nmi.pending = false;
  nmi.inHandler = true;
  // The iret that ends the handler has to come here, so the monitor may not serve it.
  nmi.fastPaths = area.low('fast_paths');
  area.setLow('fast_paths', 0);
  if (!bounce(vcpu, trapEntry(vcpu, TRAP_nmi))) vcpu.domain.shutdown(SHUTDOWN_crash);
}

/** To the vCPU that is in this hypercall. Without a handler the domain crashes. */
export function raiseNmi(vcpu: Vcpu): void {
  vcpu.nmi.pending = true;
  deliver(vcpu);
}

/** Any iret ends the handler for Xen: which frame it takes does not matter. */
export function nmiReturned(vcpu: Vcpu): void {
  if (!vcpu.nmi.inHandler) return;
  vcpu.nmi.inHandler = false;
  vcpu.area.setLow('fast_paths', vcpu.nmi.fastPaths);
  deliver(vcpu);
}
