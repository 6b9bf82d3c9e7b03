/** TLB flushes that a guest asks for, as work for the monitor of each vCPU concerned. */
import { EFAULT } from '../abi/errno.js';
import type { Vcpu } from '../domain/vcpu.js';
import {
  FLUSH_EVERYTHING,
  FLUSH_NOTHING,
  FLUSH_PAGE,
  PENDING_CR3,
  PENDING_FLUSH_OTHERS,
  PENDING_INVLPG,
} from '../monitor/vcpu-area.js';
import { addressOk } from './guest-list.js';

const PAGE_OFFSET = 0xfffn;

/** Of two FLUSH_*, what does both: both_flushes() of native/monitor/smp.h. */
function both(a: bigint, b: bigint): bigint {
  if (a === b || a === FLUSH_NOTHING) return b;
  return b === FLUSH_NOTHING ? a : FLUSH_EVERYTHING;
}

/**
 * vCPUs that run at the same time are asked by the monitor of `current`, which makes the call, and waits for them to have
 * flushed `what`. Returns those that are left: they stand still.
 */
function standing(current: Vcpu, vcpus: readonly Vcpu[], what: bigint): readonly Vcpu[] {
  if (!current.domain.parallel) return vcpus;
  const others = vcpus.filter((vcpu) => vcpu !== current);
  if (others.length > 0) {
    const mask = others.reduce((bits, { id }) => bits | (1 << id), current.area.low('flush_mask'));
    current.area.setLow('flush_mask', mask >>> 0);
    current.area.set('flush_what', both(current.area.get('flush_what'), what));
    current.addPending(PENDING_FLUSH_OTHERS);
  }
  return others.length < vcpus.length ? [current] : [];
}

export function flushTlb(current: Vcpu, vcpus: readonly Vcpu[]): void {
  for (const vcpu of standing(current, vcpus, FLUSH_EVERYTHING)) vcpu.addPending(PENDING_CR3);
}

/** One address; none that is not the guest's. There is room for one: a second makes it a flush of everything. */
export function flushAddress(current: Vcpu, vcpus: readonly Vcpu[], va: bigint): void {
  if (!addressOk(va)) return;
  for (const vcpu of standing(current, vcpus, (va & ~PAGE_OFFSET) | FLUSH_PAGE)) {
    const another =
      (vcpu.area.low('pending') & PENDING_INVLPG) !== 0 && vcpu.area.get('invlpg_address') !== va;
    if (!another) vcpu.area.set('invlpg_address', va);
    vcpu.addPending(another ? PENDING_CR3 : PENDING_INVLPG);
  }
}

/** vcpumask_to_pcpumask: the vCPUs of a bitmap in guest memory, bits beyond the last one ignored; -EFAULT. */
export function vcpusOfMask(vcpu: Vcpu, bitmap: bigint): readonly Vcpu[] | number {
  const { vcpus } = vcpu.domain;
  const chosen: Vcpu[] = [];
  for (let first = 0; first < vcpus.length; first += 64) {
    const bits = vcpu.guest.readU64(BigInt.asUintN(64, bitmap + BigInt(first / 8)));
    if (bits === undefined) return -EFAULT;
    for (const candidate of vcpus.slice(first, first + 64)) {
      if (((bits >> BigInt(candidate.id - first)) & 1n) !== 0n) chosen.push(candidate);
    }
  }
  return chosen;
}
