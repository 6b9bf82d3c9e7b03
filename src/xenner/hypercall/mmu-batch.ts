/** What mmu_update and mmuext_op share: a list of requests, how many were done, and continuation. */
import { MAX_MMU_REQUESTS } from '../../base/limits.js';
import { E2BIG, EFAULT } from '../abi/errno.js';
import type { Vcpu } from '../domain/vcpu.js';
import { addressOk, GuestList } from '../mm/guest-list.js';
import type { HypercallArgs } from './call.js';

/** Set by Xen in the count of a call that it interrupted: `done` goes on from what stands there. */
const MMU_UPDATE_PREEMPTED = 0x80000000;

export interface Batch {
  readonly list: GuestList;
  readonly count: number;
  readonly donePointer: bigint;
  readonly doneBefore: number;
}

/** Decodes (list, count, done pointer); a number is the hypercall's result. */
export function openBatch(vcpu: Vcpu, args: HypercallArgs, elementBytes: number): Batch | number {
  const va = args.u64(0);
  const donePointer = args.u64(2);
  let count = args.u32(1);
  let doneBefore = 0;
  // hypercall_create_continuation after the last request: the result is carried in the last argument.
  if (count === MMU_UPDATE_PREEMPTED && va === 0n) return args.s32(3);
  if (count >= MMU_UPDATE_PREEMPTED) {
    count -= MMU_UPDATE_PREEMPTED;
    if (donePointer !== 0n) doneBefore = vcpu.guest.readU32(donePointer) ?? 0;
  }
  if (!addressOk(va)) return -EFAULT;
  if (count > MAX_MMU_REQUESTS) return -E2BIG;
  return {
    list: new GuestList(vcpu.domain.memory, vcpu.guest, va, elementBytes),
    count,
    donePointer,
    doneBefore,
  };
}

/** Carries out the requests up to the first that fails; reports how many were done, if the guest wants to know. */
export function runBatch(vcpu: Vcpu, batch: Batch, act: (words: Uint32Array) => number): number {
  let result = 0;
  let done = 0;
  for (; done < batch.count; done++) {
    result = batch.list.read(done) ? act(batch.list.words) : -EFAULT;
    if (result !== 0) break;
  }
  reportDone(vcpu, batch, done);
  return result;
}

/** A pointer that cannot be written is not an error. */
export function reportDone(vcpu: Vcpu, batch: Batch, done: number): void {
  if (batch.donePointer !== 0n) vcpu.guest.writeU32(batch.donePointer, (batch.doneBefore + done) >>> 0);
}
