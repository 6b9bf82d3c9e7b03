/** What the tests of memory_op share: lists of frames in guest memory, and the calls that take them. */
import { gpa } from '../../../src/kvm/guest-memory.js';
import * as abi from '../../../src/xenner/abi/memory.js';
import { DOMID_SELF } from '../../../src/xenner/abi/xen.js';
import { memory_op } from '../../../src/xenner/hypercall/12-memory-op.js';
import type { Harness } from './harness.js';

/** INVALID_M2P_ENTRY, and no frame's number. */
export const INVALID = 2n ** 64n - 1n;

/** A list of 64-bit numbers in guest memory. */
export function list(guest: Harness, values: readonly (number | bigint)[]): bigint {
  const at = guest.room(values.length * 8);
  values.forEach((value, i) => {
    guest.vcpus[0]!.guest.writeU64(at + BigInt(i * 8), BigInt(value));
  });
  return at;
}

export function readList(guest: Harness, at: bigint, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Number(guest.vcpus[0]!.guest.readU64(at + BigInt(i * 8))));
}

export function m2p(guest: Harness, mfn: number): bigint {
  return guest.memory.readU64(gpa(guest.domain.m2p + mfn * 8));
}

export type Reservation = Partial<ReturnType<typeof abi.xen_memory_reservation.decode>>;

export function change(guest: Harness, op: number, reservation: Reservation, start = 0): number {
  const arg = guest.put(abi.xen_memory_reservation, { domid: DOMID_SELF, ...reservation });
  return Number(BigInt.asIntN(64, BigInt(guest.call(memory_op, [op | (start << 6), arg]))));
}

/** Frames as extents of some order; returns how many were done. */
export function decrease(guest: Harness, mfns: readonly (number | bigint)[], more: Reservation = {}): number {
  const extents = { extent_start: list(guest, mfns), nr_extents: BigInt(mfns.length) };
  return change(guest, abi.XENMEM_decrease_reservation, { ...extents, ...more });
}
