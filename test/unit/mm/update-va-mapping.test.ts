/** update_va_mapping, its otherdomain form, and ptwr's commit: the ways to one L1 entry besides mmu_update. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EBUSY, EFAULT, EINVAL, EPERM, ESRCH } from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/xen.js';
import { update_va_mapping } from '../../../src/xenner/hypercall/14-update-va-mapping.js';
import { update_va_mapping_otherdomain } from '../../../src/xenner/hypercall/22-update-va-mapping-otherdomain.js';
import { commitL1Write } from '../../../src/xenner/mm/ptwr.js';
import { PENDING_CR3, PENDING_INVLPG } from '../../../src/xenner/monitor/vcpu-area.js';
import { DOMID, HOLE_VA, L1_MFN, L2_MFN, UNMAPPED_VA, VA_BASE } from '../hypercall/harness.js';
import { entryOf, MmGuest, PAGE } from './guest.js';

const RO = 0x61n;
const RW = 0x63n;
const VA = VA_BASE + 100n * BigInt(PAGE);

let guest: MmGuest;
beforeEach(() => {
  guest = new MmGuest({ vcpus: 2 });
});
afterEach(() => guest.close());

const map = (va: bigint, value: bigint, flags: bigint | number = 0) =>
  guest.call(update_va_mapping, [va, value, flags]);

describe('update_va_mapping', () => {
  it.each([
    { what: 'a page', va: VA, value: entryOf(300, RW), result: 0 },
    { what: 'not page aligned', va: VA + 0x123n, value: entryOf(300, RO), result: 0 },
    { what: 'not present', va: VA, value: 0n, result: 0 },
    { what: 'a page table, writable', va: VA, value: entryOf(L2_MFN, RW), result: -EBUSY },
    { what: 'no RAM', va: VA, value: entryOf(0xfee00, RW), result: -EPERM },
    { what: 'no L1', va: VA_BASE + 0x200000n, value: 0n, result: -EINVAL },
    { what: 'no L3', va: 0n, value: 0n, result: -EINVAL },
    { what: 'in the hole', va: HOLE_VA, value: 0n, result: -EINVAL },
    {
      what: 'not canonical, with the low bits of a good one',
      va: VA & 0xffffffffffffn,
      value: 0n,
      result: -EINVAL,
    },
  ])('$what: $result', ({ va, value, result }) => {
    const before = guest.entry(L1_MFN, 100);
    expect(map(va, value)).toBe(result);
    expect(guest.entry(L1_MFN, 100)).toBe(result === 0 ? value : before);
    expect(guest.pending).toEqual([0, 0]);
  });

  it('asks for an L1 at the end of the walk', () => {
    // A hostile guest: its L2 names a page that has no type.
    guest.setEntry(L2_MFN, 5, entryOf(300, 0x67n));
    expect(map(VA_BASE + 5n * 0x200000n, 0n)).toBe(-EINVAL);
    guest.setEntry(L2_MFN, 5, entryOf(0xffffffff, 0x67n));
    expect(map(VA_BASE + 5n * 0x200000n, 0n)).toBe(-EINVAL);
  });

  it.each([
    { what: 'none', flags: abi.UVMF_NONE, pending: [0, 0] },
    { what: 'type 3', flags: 3, pending: [0, 0] },
    { what: 'all, here', flags: abi.UVMF_TLB_FLUSH | abi.UVMF_LOCAL, pending: [PENDING_CR3, 0] },
    {
      what: 'all, everywhere',
      flags: abi.UVMF_TLB_FLUSH | abi.UVMF_ALL,
      pending: [PENDING_CR3, PENDING_CR3],
    },
    { what: 'one, here', flags: abi.UVMF_INVLPG | abi.UVMF_LOCAL, pending: [PENDING_INVLPG, 0] },
    {
      what: 'one, everywhere',
      flags: abi.UVMF_INVLPG | abi.UVMF_ALL,
      pending: [PENDING_INVLPG, PENDING_INVLPG],
    },
  ])('flush $what', ({ flags, pending }) => {
    expect(map(VA, 0n, flags)).toBe(0);
    expect(guest.pending).toEqual(pending);
    if (pending[0] === PENDING_INVLPG) expect(guest.vcpus[0]!.area.get('invlpg_address')).toBe(VA);
  });

  it('flushes the vCPUs of a bitmap; the entry stands even if that cannot be read', () => {
    const bitmap = guest.room(8);
    guest.vcpus[0]!.guest.writeU64(bitmap, 2n);
    expect(map(VA, entryOf(300, RO), bitmap | BigInt(abi.UVMF_TLB_FLUSH))).toBe(0);
    expect(guest.pending).toEqual([0, PENDING_CR3]);
    expect(map(VA, 0n, UNMAPPED_VA | BigInt(abi.UVMF_INVLPG))).toBe(-EFAULT);
    expect(guest.entry(L1_MFN, 100)).toBe(0n);
  });

  it('does not flush for what it refused', () => {
    expect(map(VA, entryOf(L2_MFN, RW), UNMAPPED_VA | BigInt(abi.UVMF_TLB_FLUSH))).toBe(-EBUSY);
    expect(guest.pending).toEqual([0, 0]);
  });

  it.each([
    { domid: abi.DOMID_SELF, result: 0 },
    { domid: DOMID, result: -ESRCH },
    { domid: 99, result: -ESRCH },
    { domid: 0, result: -EPERM },
    { domid: abi.DOMID_IO, result: -EPERM },
  ])('for domain $domid: $result', ({ domid, result }) => {
    expect(guest.call(update_va_mapping_otherdomain, [VA, 0n, 0, domid])).toBe(result);
    expect(guest.entry(L1_MFN, 100) === 0n).toBe(result === 0);
  });
});

describe('an entry that the guest wrote itself', () => {
  const AT = BigInt(L1_MFN * PAGE + 100 * 8);
  const commit = (old: bigint, value: bigint, at = AT) => commitL1Write(guest.domain, at, old, value);

  it('moves the references', () => {
    const old = guest.entry(L1_MFN, 100);
    expect(commit(old, entryOf(300, RW))).toBe(0);
    expect([guest.count(100), guest.count(300)]).toEqual([0, 2]);
    expect(commit(entryOf(300, RW), 0n)).toBe(0);
    expect(guest.count(300)).toBe(1);
  });

  it.each([
    { what: 'a page table, writable', value: entryOf(L2_MFN, RW), result: -EBUSY },
    { what: 'no RAM', value: entryOf(0xfee00, RO), result: -EPERM },
    { what: 'no frame', value: entryOf(2n ** 40n - 1n, RO), result: -EINVAL },
  ])('$what: $result, and nothing moves', ({ value, result }) => {
    expect(commit(guest.entry(L1_MFN, 100), value)).toBe(result);
    expect(guest.count(100)).toBe(1);
  });

  it.each([
    { what: 'not aligned', at: AT + 4n },
    { what: 'an L2', at: BigInt(L2_MFN * PAGE) },
    { what: 'an ordinary page', at: 300n * BigInt(PAGE) },
    { what: 'no frame', at: 2n ** 50n },
    { what: 'no address', at: 2n ** 64n - 8n },
  ])('$what: refused', ({ at }) => {
    expect(commit(0n, entryOf(300, RW), at)).toBe(-EINVAL);
    expect(guest.count(300)).toBe(1);
  });

  it('whose old value the guest made up costs nobody else anything', () => {
    for (const old of [
      2n ** 64n - 1n,
      entryOf(L2_MFN, RW),
      entryOf(0xfee00, RW),
      entryOf(400, RW),
      entryOf(400, RW),
    ])
      expect(commit(old, 0n)).toBe(0);
    expect([guest.count(400), guest.count(L2_MFN)]).toEqual([0, 1]);
  });
});
