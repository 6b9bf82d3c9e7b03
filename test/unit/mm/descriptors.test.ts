/** set_gdt and update_descriptor: as test/guest/descriptors prints them, and what no guest test can try. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { EBUSY, EFAULT, EINVAL } from '../../../src/xenner/abi/errno.js';
import { set_gdt } from '../../../src/xenner/hypercall/02-set-gdt.js';
import { update_descriptor } from '../../../src/xenner/hypercall/10-update-descriptor.js';
import { setGdt } from '../../../src/xenner/mm/gdt.js';
import { PENDING_CR3, PGT_none, PGT_seg_desc_page } from '../../../src/xenner/monitor/vcpu-area.js';
import { HOLE_VA, L1_MFN, UNMAPPED_VA } from '../hypercall/harness.js';
import { entryOf, MmGuest, SHARED_MFN, XEN_MFN } from './guest.js';

const SLOTS = 16;
const ZERO_ENTRY = entryOf(XEN_MFN + 9, 0x63n);
const RESERVED_ENTRY = entryOf(XEN_MFN + 10, 0x63n);
const DATA3 = 0x00cff3000000ffffn;
const DATA1 = 0x00cfb3000000ffffn;
const DATA0 = 0x00cf93000000ffffn;
const TSS = 0x00008b0000000067n;
const NO_FRAME = 2n ** 64n - 1n;

let guest: MmGuest;
beforeEach(() => {
  guest = new MmGuest({ vcpus: 2 });
  for (let slot = 0; slot < 2 * SLOTS; slot++)
    guest.memory.writeU64(slotAt(slot), slot % SLOTS === 14 ? RESERVED_ENTRY : ZERO_ENTRY);
});
afterEach(() => guest.close());

function slotAt(slot: number) {
  return gpa(guest.domain.gdtL1 + slot * 8);
}

function slots(vcpu = 0): bigint[] {
  return Array.from({ length: SLOTS }, (_, i) => guest.memory.readU64(slotAt(vcpu * SLOTS + i)));
}

function call(frames: readonly (number | bigint)[], entries: number, vcpu = 0): number | bigint {
  const list = guest.room(14 * 8);
  frames.forEach((mfn, i) => {
    guest.vcpus[0]!.guest.writeU64(list + BigInt(i * 8), BigInt(mfn));
  });
  return guest.call(set_gdt, [list, entries], guest.vcpus[vcpu]);
}

describe('set_gdt', () => {
  it('installs frames, holds their type, and gives it back', () => {
    const [one, two] = [guest.page(), guest.page()];
    expect(call([one, two], 513, 1)).toBe(0);
    expect(slots(1).slice(0, 3)).toEqual([entryOf(one, 0x63n), entryOf(two, 0x63n), ZERO_ENTRY]);
    expect(slots(0)).not.toContain(entryOf(one, 0x63n));
    expect(guest.pending).toEqual([0, PENDING_CR3]);
    expect(guest.setMapping(one, 3n)).toBe(-EBUSY);
    expect(call([two], 1, 1)).toBe(0);
    expect([guest.pages.typeOf(one), guest.pages.typeOf(two)]).toEqual([PGT_none, PGT_seg_desc_page]);
    expect(slots(1).slice(0, 2)).toEqual([entryOf(two, 0x63n), ZERO_ENTRY]);
    expect(call([], 0, 1)).toBe(0);
    expect(guest.pages.typeOf(two)).toBe(PGT_none);
    expect(slots(1)).toEqual(slots(0));
    expect(slots(1)[14]).toBe(RESERVED_ENTRY);
  });

  it('takes one frame several times, and all fourteen', () => {
    const page = guest.page();
    expect(call(Array(14).fill(page), 14 * 512)).toBe(0);
    expect(guest.count(page)).toBe(14);
    expect(call([], 0)).toBe(0);
    expect(guest.count(page)).toBe(0);
  });

  it.each([
    { what: 'a page that is mapped writable', frame: () => guest.page(true) },
    { what: 'a page table', frame: () => L1_MFN },
    { what: "Xen's frame", frame: () => XEN_MFN },
    { what: 'shared_info', frame: () => SHARED_MFN },
    { what: 'no frame', frame: () => NO_FRAME },
    { what: 'a page with a TSS', frame: () => withDescriptor(TSS) },
    { what: 'a page with a TSS at its end', frame: () => withDescriptor(TSS, 511) },
  ] as { what: string; frame: () => number | bigint }[])(
    'refuses $what, and keeps the old GDT',
    ({ frame }) => {
      const good = guest.page();
      expect(call([good], 1)).toBe(0);
      expect(call([good, frame()], 1024)).toBe(-EINVAL);
      expect([slots()[0], slots()[1]]).toEqual([entryOf(good, 0x63n), ZERO_ENTRY]);
      expect(guest.count(good)).toBe(1);
    },
  );

  it.each([
    { what: 'too many entries', list: 0n, entries: 14 * 512 + 1, result: -EINVAL },
    { what: 'any number', list: 0n, entries: 0xffffffff, result: -EINVAL },
    { what: 'a list that is not mapped', list: UNMAPPED_VA, entries: 1, result: -EFAULT },
    { what: 'a list in the hole', list: HOLE_VA, entries: 1, result: -EFAULT },
    { what: 'no entry of a list that is not mapped', list: UNMAPPED_VA, entries: 0, result: 0 },
  ])('$what: $result', ({ list, entries, result }) => {
    expect(guest.call(set_gdt, [list, entries])).toBe(result);
  });

  it('is not called twice for what the guest put into the slots itself', () => {
    const table = guest.page();
    expect(guest.pages.pin(guest.vcpus[0]!, table, 1)).toBe(0);
    for (const entry of [
      entryOf(table, 0x63n),
      entryOf(XEN_MFN, 1n),
      entryOf(0xfee00, 1n),
      2n ** 64n - 1n,
      0n,
    ]) {
      guest.memory.writeU64(slotAt(3), entry);
      expect(setGdt(guest.vcpus[0]!, [], 0)).toBe(0);
      expect(slots()[3]).toBe(ZERO_ENTRY);
    }
    expect(guest.count(table)).toBe(1);
  });
});

function withDescriptor(descriptor: bigint, index = 3): number {
  const page = guest.page();
  guest.setEntry(page, index, descriptor);
  return page;
}

describe('a descriptor', () => {
  const cases = [
    { what: 'data, DPL 3', value: DATA3, stands: DATA3 },
    { what: 'data, DPL 1', value: DATA1, stands: DATA3 },
    { what: 'data, DPL 0', value: DATA0, stands: DATA3 },
    { what: 'code, DPL 0', value: 0x00af9b000000ffffn, stands: 0x00affb000000ffffn },
    { what: 'conforming code', value: 0x00af9e000000ffffn, stands: 0x00affe000000ffffn },
    { what: 'not present, DPL 0', value: 0x00cf13000000ffffn, stands: 0x00cf13000000ffffn },
    { what: 'a TSS that is not present', value: 0x0000090000000067n, stands: 0x0000090000000067n },
    { what: 'type 0, present', value: 0x0000800000000000n, stands: 0x0000800000000000n },
    { what: 'nothing', value: 0n, stands: 0n },
    { what: 'a TSS', value: TSS },
    { what: 'an LDT', value: 0x0000820000000fffn },
    { what: 'an interrupt gate', value: 0x00008e00e0330000n },
    { what: 'a trap gate', value: 0x00008f00e0330000n },
    { what: 'a task gate', value: 0x0000850000180000n },
    // A gate's DPL becomes 0, and its own stays in the selector.
    { what: 'a call gate to the kernel', value: 0x0000ec00e0330000n, stands: 0x00008c00e0330000n },
    { what: 'a call gate of DPL 0', value: 0x00008c0000100000n, stands: 0x00008c0000130000n },
    { what: 'a call gate through the LDT', value: 0x0000ec00fff70000n, stands: 0x00008c00fff70000n },
    { what: "a call gate to Xen's own", value: 0x0000ec00e0080000n },
    { what: 'a call gate with reserved bits', value: 0x0000ec01e0330000n },
  ];

  it.each(cases)('by update_descriptor: $what', ({ value, stands }) => {
    const page = guest.page();
    expect(call([page], 16)).toBe(0);
    const result = guest.call(update_descriptor, [BigInt(page) * 4096n + 48n, value]);
    expect(result).toBe(stands === undefined ? -EINVAL : 0);
    expect(guest.entry(page, 6)).toBe(stands ?? 0n);
  });

  it.each(cases)('in a page of a new GDT: $what', ({ value, stands }) => {
    const page = withDescriptor(value);
    expect(call([page], 16)).toBe(stands === undefined ? -EINVAL : 0);
    if (stands !== undefined) expect(guest.entry(page, 3)).toBe(stands);
  });
});

describe('update_descriptor', () => {
  it.each([
    { what: 'an ordinary page', at: () => 300n * 4096n + 8n, result: 0 },
    { what: 'a page without mapping', at: () => BigInt(guest.page()) * 4096n, result: 0 },
    { what: 'not aligned', at: () => 300n * 4096n + 4n, result: -EINVAL },
    { what: 'a page table', at: () => BigInt(L1_MFN) * 4096n, result: -EINVAL },
    { what: "Xen's frame", at: () => BigInt(XEN_MFN) * 4096n, result: -EINVAL },
    { what: 'no frame', at: () => 2n ** 64n - 8n, result: -EINVAL },
  ])('$what: $result', ({ at, result }) => {
    const address = at();
    const [mfn, index] = [Number(address / 4096n), Number((address % 4096n) / 8n)];
    expect(guest.call(update_descriptor, [address, DATA3])).toBe(result);
    if (result === 0) expect(guest.entry(mfn, index)).toBe(DATA3);
  });
});
