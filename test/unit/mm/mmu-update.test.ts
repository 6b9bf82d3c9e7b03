/** do_mmu_update: as test/guest/mmu-update and mmu-update-levels print it, and what no guest test can try. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_MMU_REQUESTS } from '../../../src/base/limits.js';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { E2BIG, EACCES, EBUSY, EFAULT, EINVAL, ENOSYS, EPERM, ESRCH } from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/xen.js';
import { mmu_update } from '../../../src/xenner/hypercall/01-mmu-update.js';
import { PENDING_CR3, PGT_l3_page_table } from '../../../src/xenner/monitor/vcpu-area.js';
import {
  DOMID,
  HOLE_VA,
  L1_MFN,
  L2_MFN,
  L3_MFN,
  L4_MFN,
  NR_PAGES,
  UNMAPPED_VA,
} from '../hypercall/harness.js';
import { entryOf, MmGuest, PAGE, SHARED_MFN, XEN_MFN } from './guest.js';

const PREEMPTED = 0x80000000;
const INVALID_MFN = 0xffffffffffn;

let guest: MmGuest;
beforeEach(() => {
  guest = new MmGuest();
});
afterEach(() => guest.close());

/** Address of entry `index` of a frame, with a command. */
function at(mfn: number | bigint, index: number, command = abi.MMU_NORMAL_PT_UPDATE): bigint {
  return (BigInt(mfn) << 12n) | BigInt(index * 8) | BigInt(command);
}

/** The result, and `done`: 77 where it was not written. */
function update(list: [ptr: bigint, val: bigint][], domid = abi.DOMID_SELF, count = list.length) {
  const requests = guest.putAll(
    abi.mmu_update,
    list.map(([ptr, val]) => ({ ptr, val })),
  );
  const done = guest.room(4);
  guest.vcpus[0]!.guest.writeU32(done, 77);
  const result = guest.call(mmu_update, [requests, count, done, domid]);
  return { result, done: guest.vcpus[0]!.guest.readU32(done) };
}

describe('one entry', () => {
  const RO = 0x61n;
  const RW = 0x63n;
  it.each([
    { what: 'a writable page', where: [L1_MFN, 0], value: () => entryOf(300, RW), result: 0 },
    { what: 'a page table, writable', where: [L1_MFN, 0], value: () => entryOf(L2_MFN, RW), result: -EBUSY },
    { what: 'a page table, read-only', where: [L1_MFN, 0], value: () => entryOf(L2_MFN, RO), result: 0 },
    { what: 'no RAM', where: [L1_MFN, 0], value: () => entryOf(0xfee00, RO), result: -EPERM },
    { what: 'no frame', where: [L1_MFN, 0], value: () => entryOf(INVALID_MFN, RO), result: -EINVAL },
    {
      what: 'beyond 2^28 frames',
      where: [L1_MFN, 0],
      value: () => entryOf(2 ** 28 + 300, RO),
      result: -EPERM,
    },
    { what: "Xen's frame", where: [L1_MFN, 0], value: () => entryOf(XEN_MFN, RO), result: -EBUSY },
    { what: 'shared_info', where: [L1_MFN, 0], value: () => entryOf(SHARED_MFN, RW), result: 0 },
    {
      what: 'shared_info, uncached',
      where: [L1_MFN, 0],
      value: () => entryOf(SHARED_MFN, 0x73n),
      result: -EACCES,
    },
    {
      what: 'all flags of an L1 entry',
      where: [L1_MFN, 0],
      value: () => entryOf(300, 0xfff0000000000fffn),
      result: 0,
    },
    { what: 'a table in an L4', where: [L4_MFN, 3], value: () => entryOf(guest.page(), 0x67n), result: 0 },
    {
      what: 'a writable page in an L4',
      where: [L4_MFN, 3],
      value: () => entryOf(guest.page(true), 0x67n),
      result: -EINVAL,
    },
    { what: 'the L4 itself, read-only', where: [L4_MFN, 3], value: () => entryOf(L4_MFN, 0x65n), result: 0 },
    {
      what: 'the L4 itself, writable',
      where: [L4_MFN, 3],
      value: () => entryOf(L4_MFN, 0x67n),
      result: -EINVAL,
    },
    { what: 'PSE in an L2', where: [L2_MFN, 3], value: () => entryOf(guest.page(), 0xe7n), result: -EINVAL },
    {
      what: 'NX and free bits in an L2',
      where: [L2_MFN, 3],
      value: () => entryOf(guest.page(), 0x8200000000000e67n),
      result: 0,
    },
    { what: "the hole's first slot", where: [L4_MFN, 256], value: () => 0n, result: -EINVAL },
    { what: "the hole's last slot", where: [L4_MFN, 271], value: () => 0n, result: -EINVAL },
    { what: 'behind the hole', where: [L4_MFN, 272], value: () => 0n, result: 0 },
    { what: 'a word of an ordinary page', where: [300, 7], value: () => 0x1122334455667788n, result: 0 },
    { what: 'a word of shared_info', where: [SHARED_MFN, 7], value: () => 5n, result: 0 },
    { what: "a word of Xen's", where: [XEN_MFN, 7], value: () => 5n, result: -EINVAL },
    { what: 'a word of no frame', where: [INVALID_MFN, 7], value: () => 5n, result: -EINVAL },
    { what: 'a word beyond the address space', where: [2n ** 51n, 7], value: () => 5n, result: -EINVAL },
  ] as { what: string; where: [number | bigint, number]; value: () => bigint; result: number }[])(
    '$what: $result',
    ({ where: [mfn, index], value: make, result }) => {
      const value = make();
      const inMemory = typeof mfn === 'number';
      const before = inMemory ? guest.entry(mfn, index) : 0n;
      expect(update([[at(mfn, index), value]])).toEqual({ result, done: result === 0 ? 1 : 0 });
      if (inMemory) expect(guest.entry(mfn, index)).toBe(result === 0 ? value : before);
    },
  );

  it('says when it wrote what may be code', () => {
    update([[at(300, 7), 0x90n]]);
    expect(guest.written).toEqual([[300 * PAGE + 56, 8]]);
  });

  it.each([
    { command: abi.MMU_NORMAL_PT_UPDATE, before: 0x67n, after: 0x05n },
    { command: abi.MMU_PT_UPDATE_NO_TRANSLATE, before: 0x67n, after: 0x05n },
    { command: abi.MMU_PT_UPDATE_PRESERVE_AD, before: 0x67n, after: 0x65n },
    { command: abi.MMU_PT_UPDATE_PRESERVE_AD, before: 0n, after: 0x05n },
    { command: abi.MMU_PT_UPDATE_PRESERVE_AD, before: 0x27n, after: 0x25n },
  ])('command $command over $before', ({ command, before, after }) => {
    update([[at(L1_MFN, 0), before === 0n ? 0n : entryOf(300, before)]]);
    expect(update([[at(L1_MFN, 0, command), entryOf(300, 0x05n)]])).toEqual({ result: 0, done: 1 });
    expect(guest.entry(L1_MFN, 0)).toBe(entryOf(300, after));
  });

  it.each([4, 5, 6, 7])('command %i does not exist', (command) => {
    expect(update([[at(L1_MFN, 0, command), 0n]])).toEqual({ result: -ENOSYS, done: 0 });
  });

  it('flushes after the change of a table in use, and only then', () => {
    const table = guest.page();
    guest.pages.pin(guest.vcpus[0]!, table, PGT_l3_page_table);
    const [below, other] = [guest.page(), guest.page()];
    // So that their change of type needs none.
    guest.domain.area.set('flush_clock', 2n);
    guest.pending[0] = 0;
    update([
      [at(L2_MFN, 5), entryOf(below, 0x67n)],
      [at(table, 0), entryOf(other, 0x67n)],
      [at(table, 0), 0n],
    ]);
    expect(guest.pending[0]).toBe(0);
    update([[at(L2_MFN, 5), 0n]]);
    expect(guest.pending[0]).toBe(PENDING_CR3);
  });
});

describe('the M2P', () => {
  it.each([
    { what: 'a frame of the guest', mfn: 300, result: 0 },
    { what: "Xen's frame", mfn: XEN_MFN, result: -EINVAL },
    { what: 'no frame', mfn: INVALID_MFN, result: -EINVAL },
  ])('$what: $result', ({ mfn, result }) => {
    expect(update([[at(mfn, 0, abi.MMU_MACHPHYS_UPDATE), 0x1_0000_0123n]]).result).toBe(result);
    if (result === 0) expect(guest.memory.readU64(gpa(guest.domain.m2p + 300 * 8))).toBe(0x1_0000_0123n);
  });
});

describe('linear page tables', () => {
  const LINEAR = 0x65n;
  function tables(): { holder: number; target: number } {
    const [holder, target] = [guest.page(), guest.page()];
    for (const table of [holder, target]) guest.pages.pin(guest.vcpus[0]!, table, PGT_l3_page_table);
    return { holder, target };
  }

  it('hold their target until the entry goes', () => {
    const { holder, target } = tables();
    expect(update([[at(holder, 0), entryOf(target, LINEAR)]]).result).toBe(0);
    guest.pages.unpin(guest.vcpus[0]!, target);
    expect(guest.pages.typeOf(target)).toBe(PGT_l3_page_table);
    expect(update([[at(holder, 0), 0n]]).result).toBe(0);
    expect(guest.pages.typeOf(target)).toBe(0);
    expect(guest.info(target) >> 32n).toBe(0n);
  });

  it('are one deep', () => {
    const { holder, target } = tables();
    const third = guest.page();
    guest.pages.pin(guest.vcpus[0]!, third, PGT_l3_page_table);
    expect(update([[at(holder, 0), entryOf(target, LINEAR)]]).result).toBe(0);
    expect(update([[at(target, 0), entryOf(third, LINEAR)]]).result).toBe(-EINVAL);
    expect(update([[at(third, 0), entryOf(holder, LINEAR)]]).result).toBe(-EINVAL);
    expect(update([[at(target, 1), entryOf(target, LINEAR)]]).result).toBe(0);
  });

  it('must be of the same level', () => {
    const { holder } = tables();
    expect(update([[at(holder, 0), entryOf(L4_MFN, LINEAR)]]).result).toBe(-EINVAL);
  });
});

describe('lists', () => {
  it('stop at the first that fails, and say how many were done', () => {
    const bad = update([
      [at(300, 0), 1n],
      [at(300, 1), 2n],
      [at(L1_MFN, 0), entryOf(0xfee00, 1n)],
      [at(300, 2), 3n],
    ]);
    expect(bad).toEqual({ result: -EPERM, done: 2 });
    expect([0, 1, 2].map((i) => guest.entry(300, i))).toEqual([1n, 2n, 0n]);
  });

  it('may cross pages, aligned or not', () => {
    for (const offset of [PAGE - 16, PAGE - 8, PAGE - 4, PAGE - 1]) {
      const start = 400 * PAGE + offset;
      for (let i = 0; i < 3; i++) {
        guest.memory.writeU64(gpa(start + i * 16), at(300, i));
        guest.memory.writeU64(gpa(start + i * 16 + 8), BigInt(offset + i));
      }
      const address = 0xffffffff80000000n + BigInt(start);
      expect(guest.call(mmu_update, [address, 3, 0, abi.DOMID_SELF])).toBe(0);
      expect([0, 1, 2].map((i) => guest.entry(300, i))).toEqual([0, 1, 2].map((i) => BigInt(offset + i)));
    }
  });

  it('end where the mapping ends', () => {
    const last = 511 * PAGE + PAGE - 16;
    guest.memory.writeU64(gpa(last), at(300, 0));
    const done = guest.room(4);
    const address = 0xffffffff80000000n + BigInt(last);
    expect(guest.call(mmu_update, [address, 5, done, abi.DOMID_SELF])).toBe(-EFAULT);
    expect(guest.vcpus[0]!.guest.readU32(done)).toBe(1);
  });

  it.each([
    { what: 'not mapped', list: UNMAPPED_VA, count: 1, result: -EFAULT },
    { what: 'in the hole', list: HOLE_VA, count: 1, result: -EFAULT },
    { what: 'in the hole, empty', list: HOLE_VA, count: 0, result: -EFAULT },
    { what: 'not canonical', list: 1n << 63n, count: 0, result: -EFAULT },
    { what: 'around the end of the address space', list: 0xfffffffffffffff8n, count: 2, result: -EFAULT },
    { what: 'not mapped, empty', list: UNMAPPED_VA, count: 0, result: 0 },
    { what: 'too long', list: UNMAPPED_VA, count: MAX_MMU_REQUESTS + 1, result: -E2BIG },
    { what: 'of -1 elements', list: UNMAPPED_VA, count: 0xffffffff, result: -E2BIG },
  ])('$what: $result', ({ list, count, result }) => {
    expect(guest.call(mmu_update, [list, count, 0, abi.DOMID_SELF])).toBe(result);
  });

  it('do not fail for a done pointer that cannot be written', () => {
    const list = guest.put(abi.mmu_update, { ptr: at(300, 0), val: 9n });
    expect(guest.call(mmu_update, [list, 1, UNMAPPED_VA, abi.DOMID_SELF])).toBe(0);
    expect(guest.entry(300, 0)).toBe(9n);
  });

  it('go on counting where they were interrupted', () => {
    expect(update([[at(300, 0), 1n]], abi.DOMID_SELF, PREEMPTED + 1)).toEqual({ result: 0, done: 78 });
    expect(guest.call(mmu_update, [0, PREEMPTED, 0, -EBUSY])).toBe(-EBUSY);
  });
});

describe('whose frames', () => {
  const RO = 1n;
  it.each([
    { what: 'nobody by that number', domid: 99, result: -ESRCH, done: 0 },
    { what: 'itself by number', domid: DOMID, result: -ESRCH, done: 0 },
    { what: "the host's", domid: 0, result: -EPERM, done: 0 },
    { what: 'DOMID_XEN', domid: abi.DOMID_XEN, result: -EPERM, done: 0 },
    { what: 'DOMID_IO', domid: abi.DOMID_IO, result: -EBUSY, done: 0 },
    { what: 'tables of nobody', domid: (100 << 16) | abi.DOMID_SELF, result: -ESRCH, done: 77 },
    { what: "the host's tables", domid: (1 << 16) | abi.DOMID_SELF, result: -EPERM, done: 0 },
    { what: 'its own tables by number', domid: ((DOMID + 1) << 16) | abi.DOMID_SELF, result: 0, done: 1 },
  ])('$what: $result', ({ domid, result, done }) => {
    expect(update([[at(L1_MFN, 0), entryOf(300, RO)]], domid)).toEqual({ result, done });
  });

  it.each([
    { what: 'MMIO in an L1', where: [L1_MFN, 0], value: entryOf(0xfee00, RO), command: 0, result: -EPERM },
    { what: 'nothing in an L1', where: [L1_MFN, 0], value: 0n, command: 0, result: 0 },
    { what: 'anything in an L3', where: [L3_MFN, 0], value: 0n, command: 0, result: -EINVAL },
    { what: 'the M2P', where: [300, 0], value: 1n, command: abi.MMU_MACHPHYS_UPDATE, result: -EINVAL },
  ] as const)('DOMID_IO, $what: $result', ({ where, value, command, result }) => {
    expect(update([[at(where[0], where[1], command), value]], abi.DOMID_IO).result).toBe(result);
  });

  it('every frame number fits', () => {
    expect(guest.pages.isOwned(NR_PAGES - 1)).toBe(true);
    for (const mfn of [XEN_MFN, 2 ** 40, Number.MAX_SAFE_INTEGER, Number.NaN])
      expect(guest.pages.isOwned(mfn)).toBe(false);
  });
});
