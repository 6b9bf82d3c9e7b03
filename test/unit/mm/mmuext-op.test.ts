/** do_mmuext_op: as test/guest/mmuext prints it, and what no guest test can try. Pins are in page-types.test.ts. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EACCES, EFAULT, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/xen.js';
import { mmuext_op } from '../../../src/xenner/hypercall/26-mmuext-op.js';
import {
  PENDING_CR3,
  PENDING_INVLPG,
  PENDING_LDT,
  PGT_l4_page_table,
} from '../../../src/xenner/monitor/vcpu-area.js';
import { DOMID, HOLE_VA, L3_MFN, L4_MFN, UNMAPPED_VA } from '../hypercall/harness.js';
import { MmGuest, PAGE, SHARED_MFN, XEN_MFN } from './guest.js';

const NO_FRAME = 2n ** 40n - 1n;
const MAX_LDT = 8192;

let guest: MmGuest;
beforeEach(() => {
  guest = new MmGuest({ vcpus: 3 });
});
afterEach(() => guest.close());

type Op = [cmd: number, arg1?: number | bigint, arg2?: number | bigint];

function mmuext(list: Op[], domid = abi.DOMID_SELF): { result: number | bigint; done: number | undefined } {
  const ops = guest.putAll(
    abi.mmuext_op,
    list.map(([cmd, arg1 = 0, arg2 = 0]) => ({
      cmd,
      arg1: { mfn: BigInt(arg1), linear_addr: BigInt(arg1) },
      arg2: { src_mfn: BigInt(arg2), vcpumask: BigInt(arg2), nr_ents: Number(BigInt(arg2) & 0xffffffffn) },
    })),
  );
  // The last member of a union wins: arg2 is written as a whole.
  list.forEach(([, , arg2 = 0], i) => {
    guest.vcpus[0]!.guest.writeU64(ops + BigInt(i * 24 + 16), BigInt(arg2));
  });
  const done = guest.room(4);
  guest.vcpus[0]!.guest.writeU32(done, 77);
  const result = guest.call(mmuext_op, [ops, list.length, done, domid]);
  return { result, done: guest.vcpus[0]!.guest.readU32(done) };
}

describe('base pointers', () => {
  const area = () => guest.vcpus[0]!.area;

  it('take a new L4 and give the old one back', () => {
    const l4 = guest.page();
    for (const index of [511]) guest.setEntry(l4, index, guest.entry(L4_MFN, index));
    expect(mmuext([[abi.MMUEXT_NEW_BASEPTR, l4]])).toEqual({ result: 0, done: 1 });
    expect(area().get('cr3')).toBe(BigInt(l4 * PAGE));
    expect(guest.pending[0]! & PENDING_CR3).toBe(PENDING_CR3);
    // Still pinned.
    expect([guest.count(l4), guest.count(L4_MFN), guest.count(L3_MFN)]).toEqual([1, 1, 2]);
    expect(mmuext([[abi.MMUEXT_NEW_BASEPTR, l4]]).result).toBe(0);
    expect(guest.count(l4)).toBe(1);
    expect(mmuext([[abi.MMUEXT_NEW_BASEPTR, L4_MFN]]).result).toBe(0);
    expect([guest.pages.typeOf(l4), guest.count(L3_MFN)]).toEqual([0, 1]);
  });

  it('take a user L4, or none', () => {
    const l4 = guest.page();
    expect(mmuext([[abi.MMUEXT_NEW_USER_BASEPTR, l4]]).result).toBe(0);
    expect(mmuext([[abi.MMUEXT_NEW_USER_BASEPTR, l4]]).result).toBe(0);
    expect([area().get('user_cr3'), guest.count(l4)]).toEqual([BigInt(l4 * PAGE), 1]);
    expect(mmuext([[abi.MMUEXT_NEW_USER_BASEPTR, 0]]).result).toBe(0);
    expect([area().get('user_cr3'), guest.pages.typeOf(l4)]).toEqual([0n, 0]);
  });

  it.each([abi.MMUEXT_NEW_BASEPTR, abi.MMUEXT_NEW_USER_BASEPTR])(
    'command %i refuses what is no L4',
    (command) => {
      for (const mfn of [guest.page(true), L3_MFN, XEN_MFN, SHARED_MFN, NO_FRAME, 2n ** 63n]) {
        expect(mmuext([[command, mfn]])).toEqual({ result: -EINVAL, done: 0 });
      }
      expect([area().get('cr3'), area().get('user_cr3')]).toEqual([BigInt(L4_MFN * PAGE), 0n]);
    },
  );

  it('survive a guest that wrote its vCPU area', () => {
    const l4 = guest.page();
    guest.setEntry(l4, 511, guest.entry(L4_MFN, 511));
    guest.pages.pin(guest.vcpus[0]!, l4, PGT_l4_page_table);
    for (const user of [0n, 2n ** 64n - 1n, BigInt(L3_MFN * PAGE), 2n ** 52n]) {
      area().set('user_cr3', user);
      expect(mmuext([[abi.MMUEXT_NEW_USER_BASEPTR, l4]]).result).toBe(0);
    }
    expect(guest.pages.typeOf(L3_MFN)).not.toBe(0);
  });
});

describe('pages', () => {
  it('are cleared and copied, and say so', () => {
    guest.setEntry(300, 5, 0x1234n);
    expect(mmuext([[abi.MMUEXT_COPY_PAGE, 301, 300]]).result).toBe(0);
    expect(guest.entry(301, 5)).toBe(0x1234n);
    expect(mmuext([[abi.MMUEXT_CLEAR_PAGE, 301]]).result).toBe(0);
    expect(guest.entry(301, 5)).toBe(0n);
    expect(guest.written).toEqual([
      [301 * PAGE, PAGE],
      [301 * PAGE, PAGE],
    ]);
  });

  it.each([
    { what: 'clear a table', op: [abi.MMUEXT_CLEAR_PAGE, L4_MFN] },
    { what: "clear Xen's", op: [abi.MMUEXT_CLEAR_PAGE, XEN_MFN] },
    { what: 'clear no frame', op: [abi.MMUEXT_CLEAR_PAGE, NO_FRAME] },
    { what: 'copy to a table', op: [abi.MMUEXT_COPY_PAGE, L4_MFN, 300] },
    { what: "copy from Xen's", op: [abi.MMUEXT_COPY_PAGE, 300, XEN_MFN] },
    { what: 'copy from no frame', op: [abi.MMUEXT_COPY_PAGE, 300, NO_FRAME] },
  ] as { what: string; op: Op }[])('cannot $what', ({ op }) => {
    const before = guest.entry(L4_MFN, 511);
    expect(mmuext([op])).toEqual({ result: -EINVAL, done: 0 });
    expect(guest.entry(L4_MFN, 511)).toBe(before);
    expect(guest.written).toEqual([]);
  });

  it('may be copied from a table', () => {
    expect(mmuext([[abi.MMUEXT_COPY_PAGE, 300, L4_MFN]]).result).toBe(0);
    expect(guest.entry(300, 511)).toBe(guest.entry(L4_MFN, 511));
  });
});

describe('flushes', () => {
  const VA = 0x400123n;
  const ADDRESS = PENDING_INVLPG;
  it.each([
    { what: 'TLB_FLUSH_LOCAL', op: [abi.MMUEXT_TLB_FLUSH_LOCAL], pending: [PENDING_CR3, 0, 0] },
    {
      what: 'TLB_FLUSH_ALL',
      op: [abi.MMUEXT_TLB_FLUSH_ALL],
      pending: [PENDING_CR3, PENDING_CR3, PENDING_CR3],
    },
    { what: 'INVLPG_LOCAL', op: [abi.MMUEXT_INVLPG_LOCAL, VA], pending: [ADDRESS, 0, 0] },
    { what: 'INVLPG_ALL', op: [abi.MMUEXT_INVLPG_ALL, VA], pending: [ADDRESS, ADDRESS, ADDRESS] },
    { what: 'INVLPG in the hole', op: [abi.MMUEXT_INVLPG_LOCAL, HOLE_VA], pending: [0, 0, 0] },
    { what: 'INVLPG of no address', op: [abi.MMUEXT_INVLPG_ALL, 1n << 63n], pending: [0, 0, 0] },
  ] as { what: string; op: Op; pending: number[] }[])('$what', ({ op, pending }) => {
    expect(mmuext([op]).result).toBe(0);
    expect(guest.pending).toEqual(pending);
  });

  it.each([
    { command: abi.MMUEXT_TLB_FLUSH_MULTI, bit: PENDING_CR3 },
    { command: abi.MMUEXT_INVLPG_MULTI, bit: ADDRESS },
  ])('command $command: the vCPUs of a mask, bits beyond the last ignored', ({ command, bit }) => {
    const mask = guest.room(8);
    guest.vcpus[0]!.guest.writeU64(mask, 0xfffffffffffffff6n);
    expect(mmuext([[command, VA, mask]]).result).toBe(0);
    expect(guest.pending).toEqual([0, bit, bit]);
    expect(mmuext([[command, VA, UNMAPPED_VA]]).result).toBe(-EINVAL);
  });

  it('of two addresses become one of everything', () => {
    mmuext([
      [abi.MMUEXT_INVLPG_LOCAL, VA],
      [abi.MMUEXT_INVLPG_LOCAL, VA],
    ]);
    expect(guest.pending[0]).toBe(ADDRESS);
    expect(guest.vcpus[0]!.area.get('invlpg_address')).toBe(VA);
    mmuext([[abi.MMUEXT_INVLPG_LOCAL, VA + 0x1000n]]);
    expect(guest.pending[0]).toBe(ADDRESS | PENDING_CR3);
  });

  it.each([abi.MMUEXT_FLUSH_CACHE, abi.MMUEXT_FLUSH_CACHE_GLOBAL])(
    'command %i is for guests with hardware',
    (command) => {
      expect(mmuext([[command]]).result).toBe(-EACCES);
    },
  );
});

describe('SET_LDT', () => {
  it.each([
    { what: 'some', base: 0x400000n, entries: 8, result: 0 },
    { what: 'all', base: 0x400000n, entries: MAX_LDT, result: 0 },
    { what: 'too many', base: 0x400000n, entries: MAX_LDT + 1, result: -EINVAL },
    { what: 'within a page', base: 0x400008n, entries: 8, result: -EINVAL },
    { what: 'in the hole', base: HOLE_VA, entries: 8, result: -EINVAL },
    { what: 'at no address', base: 1n << 62n, entries: 8, result: -EINVAL },
    { what: 'none, at no address', base: (1n << 62n) + 1n, entries: 0, result: 0 },
  ])('$what: $result', ({ base, entries, result }) => {
    expect(mmuext([[abi.MMUEXT_SET_LDT, base, BigInt(entries) | (7n << 32n)]]).result).toBe(result);
    const { area } = guest.vcpus[0]!;
    const set = result === 0 && entries > 0;
    expect([area.get('ldt_base'), area.get('ldt_entries')]).toEqual(set ? [base, BigInt(entries)] : [0n, 0n]);
    if (set) expect(guest.pending[0]! & PENDING_LDT).toBe(PENDING_LDT);
  });
});

describe('lists', () => {
  it.each([
    { what: 'an unknown command', bad: [99], result: -ENOSYS },
    { what: 'MARK_SUPER', bad: [abi.MMUEXT_MARK_SUPER], result: -EOPNOTSUPP },
    { what: 'UNMARK_SUPER', bad: [abi.MMUEXT_UNMARK_SUPER], result: -EOPNOTSUPP },
    { what: 'a gap among the commands', bad: [14], result: -ENOSYS },
    { what: 'unpinning no frame', bad: [abi.MMUEXT_UNPIN_TABLE, NO_FRAME], result: -EINVAL },
    { what: 'pinning no frame', bad: [abi.MMUEXT_PIN_L1_TABLE, 2n ** 64n - 1n], result: -EINVAL },
  ] as { what: string; bad: Op; result: number }[])('stop at $what', ({ bad, result }) => {
    expect(mmuext([[abi.MMUEXT_CLEAR_PAGE, 300], bad, [abi.MMUEXT_CLEAR_PAGE, 300]])).toEqual({
      result,
      done: 1,
    });
    expect(guest.written.length).toBe(1);
  });

  it.each([
    { what: 'not mapped', list: UNMAPPED_VA, result: -EFAULT },
    { what: 'in the hole', list: HOLE_VA, result: -EFAULT },
  ])('$what: $result', ({ list, result }) => {
    expect(guest.call(mmuext_op, [list, 1, 0, abi.DOMID_SELF])).toBe(result);
  });

  it.each([
    { domid: 99, result: -ESRCH },
    { domid: DOMID, result: -ESRCH },
    { domid: 0, result: -EPERM },
    { domid: abi.DOMID_IO, result: -EPERM },
    { domid: abi.DOMID_SELF + 0x10000, result: 0 },
  ])('for domain $domid: $result', ({ domid, result }) => {
    expect(mmuext([[abi.MMUEXT_TLB_FLUSH_LOCAL]], domid)).toEqual({ result, done: result === 0 ? 1 : 77 });
  });
});
