/** increase_reservation, decrease_reservation and populate_physmap (xen/common/memory.c): they answer how far they got. */
import { MAX_MEMORY_OP_FRAMES } from '../../../base/limits.js';
import * as abi from '../../abi/memory.js';
import type { Vcpu } from '../../domain/vcpu.js';
import { addressOk } from '../../mm/guest-list.js';
import { isSelf } from './domain-of.js';
import { addressEnd, discardFrames, MAX_ORDER, setM2p, XEN_PFN_BYTES } from './frames.js';

/** UINT_MAX >> MEMOP_EXTENT_SHIFT: more could not be told back. */
const MAX_EXTENTS = 0x3ffffff;

/** One reservation, copied and checked. */
interface Extents {
  readonly vcpu: Vcpu;
  /** Guest linear address of the list; 0n is none. */
  readonly list: bigint;
  readonly order: number;
  /** Frames above this one are not wanted. */
  readonly end: number;
  /** Frames whose contents nobody needs any more. */
  readonly discarded: number[];
}

/** The first of 2^order frames for the guest at or above `from`; -1: there are none. */
function take({ vcpu, order, end, discarded }: Extents, from: number): number {
  const mfn = vcpu.domain.freeFrames.take(order, from, end);
  if (mfn >= 0) for (let i = 0; i < 2 ** order; i++) discarded.push(mfn + i);
  return mfn;
}

/** Does one extent of the list; false ends the call. */
type Step = (extents: Extents, index: number) => boolean;

function slot(list: bigint, index: number): bigint {
  return list + BigInt(index * XEN_PFN_BYTES);
}

function increase(): Step {
  let next = 0;
  return (extents, index) => {
    const { vcpu, list, order } = extents;
    const mfn = take(extents, next);
    if (mfn < 0) return false;
    next = mfn + 2 ** order;
    return list === 0n || vcpu.guest.writeU64(slot(list, index), BigInt(mfn));
  };
}

function populate(): Step {
  let next = 0;
  return (extents, index) => {
    const { vcpu, list, order } = extents;
    const gpfn = vcpu.guest.readU64(slot(list, index));
    if (gpfn === undefined) return false;
    const mfn = take(extents, next);
    if (mfn < 0) return false;
    next = mfn + 2 ** order;
    setM2p(vcpu.domain, mfn, 2 ** order, gpfn);
    return vcpu.guest.writeU64(slot(list, index), BigInt(mfn));
  };
}

function decrease(): Step {
  return ({ vcpu, list, order, discarded }, index) => {
    const first = vcpu.guest.readU64(slot(list, index));
    if (first === undefined) return false;
    const { domain } = vcpu;
    for (let i = 0; i < 2 ** order; i++) {
      const mfn = Number(first) + i;
      const unused = domain.freeFrames.isUnused(mfn);
      if (!domain.pages.isOwned(mfn) || !domain.freeFrames.give(mfn)) return false;
      // Otherwise it goes on as it is until nothing refers to it, as in Xen.
      if (unused) discarded.push(mfn);
      setM2p(domain, mfn, 1, undefined);
    }
    return true;
  };
}

const steps: Readonly<Record<number, () => Step>> = {
  [abi.XENMEM_increase_reservation]: increase,
  [abi.XENMEM_decrease_reservation]: decrease,
  [abi.XENMEM_populate_physmap]: populate,
};

/**
 * @param start the extent to begin with, which Xen keeps in the command when it is interrupted
 * @returns the number of extents done, the ones before `start` included
 */
export function changeReservation(vcpu: Vcpu, op: number, start: number, arg: bigint): number {
  const r = vcpu.guest.readStruct(abi.xen_memory_reservation, arg);
  if (r === undefined || r.nr_extents > MAX_EXTENTS || start >= Number(r.nr_extents)) return start;
  if (!isSelf(vcpu.domain, r.domid) || r.extent_order > MAX_ORDER || !addressOk(r.extent_start)) return start;
  const end = addressEnd(r.mem_flags);
  if (end === undefined) return start;
  // Populating on demand is for domains under construction.
  if (op === abi.XENMEM_populate_physmap && (r.mem_flags & abi.XENMEMF_populate_on_demand) !== 0)
    return start;
  const extents = { vcpu, list: r.extent_start, order: r.extent_order, end, discarded: [] };
  // A guest that asks for more at once goes on from where it got, as when memory ran out.
  const bound = start + Math.max(1, Math.floor(MAX_MEMORY_OP_FRAMES / 2 ** r.extent_order));
  const last = Math.min(Number(r.nr_extents), bound);
  const step = steps[op]!();
  let done = start;
  while (done < last && step(extents, done)) done++;
  discardFrames(vcpu.domain, extents.discarded);
  return done;
}
