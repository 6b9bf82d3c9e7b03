/** __do_update_va_mapping: what update_va_mapping and its otherdomain form share. */
import { UVMF_ALL, UVMF_FLUSHTYPE_MASK, UVMF_INVLPG, UVMF_LOCAL, UVMF_TLB_FLUSH } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { flushAddress, flushTlb, vcpusOfMask } from '../mm/tlb.js';
import { updateVaMapping } from '../mm/update.js';

/** The flush follows a change only; with a bad vCPU bitmap the entry is changed all the same. */
export function updateVaMappingAndFlush(vcpu: Vcpu, va: bigint, value: bigint, flags: bigint): number {
  const error = updateVaMapping(vcpu, va, value);
  if (error !== 0) return error;
  const kind = Number(flags & BigInt(UVMF_FLUSHTYPE_MASK));
  if (kind !== UVMF_TLB_FLUSH && kind !== UVMF_INVLPG) return 0;
  const whom = flushed(vcpu, flags & ~BigInt(UVMF_FLUSHTYPE_MASK));
  if (typeof whom === 'number') return whom;
  if (kind === UVMF_TLB_FLUSH) flushTlb(vcpu, whom);
  else flushAddress(vcpu, whom, va);
  return 0;
}

function flushed(vcpu: Vcpu, target: bigint): readonly Vcpu[] | number {
  if (target === BigInt(UVMF_LOCAL)) return [vcpu];
  return target === BigInt(UVMF_ALL) ? vcpu.domain.vcpus : vcpusOfMask(vcpu, target);
}
