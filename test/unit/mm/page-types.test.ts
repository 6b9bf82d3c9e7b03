/** Pinning, validation and counts: the rules of test/guest/pin and test/guest/mmu-update-levels without a CPU. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EBUSY, EINVAL, EPERM } from '../../../src/xenner/abi/errno.js';
import {
  DIRECT_SLOT,
  PENDING_CR3,
  PGT_l1_page_table,
  PGT_l2_page_table,
  PGT_l3_page_table,
  PGT_l4_page_table,
  PGT_none,
  PGT_writable_page,
  XEN_SLOT,
} from '../../../src/xenner/monitor/vcpu-area.js';
import { L1_MFN, L2_MFN, L3_MFN, L4_MFN, NR_PAGES } from '../hypercall/harness.js';
import { entryOf, HOLE_ENTRIES, MmGuest, SHARED_MFN, XEN_MFN } from './guest.js';

const RW = 3n;
const RO = 1n;
const TABLE = 0x67n;
const INVALID_MFN = 0xffffffffffn;

let guest: MmGuest;
beforeEach(() => {
  guest = new MmGuest();
});
afterEach(() => guest.close());

const pin = (mfn: number, type: number) => guest.pages.pin(guest.vcpus[0]!, mfn, type);
const unpin = (mfn: number) => guest.pages.unpin(guest.vcpus[0]!, mfn);
const levels = [PGT_l1_page_table, PGT_l2_page_table, PGT_l3_page_table, PGT_l4_page_table];

describe('the first tables', () => {
  it('have their types, and the references of their entries', () => {
    expect([L1_MFN, L2_MFN, L3_MFN, L4_MFN].map((mfn) => guest.pages.typeOf(mfn))).toEqual(levels);
    expect([L1_MFN, L2_MFN, L3_MFN].map((mfn) => guest.count(mfn))).toEqual([1, 1, 1]);
    // Its pin, and vCPU 0's cr3.
    expect(guest.count(L4_MFN)).toBe(2);
    expect(guest.pages.typeOf(100)).toBe(PGT_writable_page);
    expect(guest.count(100)).toBe(1);
  });

  it('hold the hole', () => {
    for (let slot = 256; slot < 272; slot++) {
      expect(guest.entry(L4_MFN, slot)).toBe(HOLE_ENTRIES[slot as keyof typeof HOLE_ENTRIES] ?? 0n);
    }
  });
});

describe.each(levels)('life of a level %i table', (level) => {
  it('is pinned once, keeps its type while pinned, and is free after', () => {
    const table = guest.page(true);
    const other = (level % 4) + 1;
    expect(unpin(table)).toBe(-EINVAL);
    expect(pin(table, level)).toBe(-EINVAL);
    expect(guest.setMapping(table, RO)).toBe(0);
    expect(pin(table, level)).toBe(0);
    expect(pin(table, level)).toBe(-EINVAL);
    expect(pin(table, other)).toBe(-EINVAL);
    expect(guest.setMapping(table, RW)).toBe(-EBUSY);
    expect(guest.count(table)).toBe(1);
    expect(unpin(table)).toBe(0);
    expect(unpin(table)).toBe(-EINVAL);
    expect(guest.pages.typeOf(table)).toBe(PGT_none);
    expect(guest.setMapping(table, RW)).toBe(0);
  });

  const isL1 = level === PGT_l1_page_table;
  it.each([
    { what: 'no RAM', entry: () => entryOf(0xfee00, TABLE), error: isL1 ? -EPERM : -EINVAL },
    { what: 'no frame', entry: () => entryOf(INVALID_MFN, TABLE), error: -EINVAL },
    { what: "one of Xen's frames", entry: () => entryOf(XEN_MFN, TABLE), error: isL1 ? -EBUSY : -EINVAL },
    { what: 'shared_info', entry: () => entryOf(SHARED_MFN, TABLE), error: isL1 ? 0 : -EINVAL },
    { what: 'rubbish that is not present', entry: () => 0xfffffffffffffffen, error: 0 },
    { what: 'a writable page', entry: () => entryOf(guest.page(true), TABLE), error: isL1 ? 0 : -EINVAL },
    { what: 'itself', entry: (self: number) => entryOf(self, TABLE), error: isL1 ? -EBUSY : -EINVAL },
    { what: 'itself, read-only', entry: (self: number) => entryOf(self, 0x65n), error: 0 },
    { what: 'PSE', entry: () => entryOf(guest.page(), 0xe7n), error: isL1 ? 0 : -EINVAL },
    { what: 'PWT', entry: () => entryOf(guest.page(), 0x6fn), error: isL1 ? 0 : -EINVAL },
  ])('holding $what', ({ entry, error }) => {
    const table = guest.page();
    guest.setEntry(table, 99, entry(table));
    const before = Array.from({ length: NR_PAGES }, (_, mfn) => guest.info(mfn) & 0xffffffffn);
    expect(pin(table, level)).toBe(error);
    if (error === 0) expect(unpin(table)).toBe(0);
    // All references are back.
    const after = Array.from({ length: NR_PAGES }, (_, mfn) => guest.info(mfn) & 0xffffffffn);
    expect(after).toEqual(before);
  });
});

describe('trees', () => {
  function tree(): { l4: number; l3: number; l2: number; l1: number } {
    const [l4, l3, l2, l1, page] = [guest.page(), guest.page(), guest.page(), guest.page(), guest.page()];
    guest.setEntry(l4, 0, entryOf(l3, TABLE));
    guest.setEntry(l4, 1, entryOf(l3, TABLE));
    guest.setEntry(l3, 0, entryOf(l2, TABLE));
    guest.setEntry(l2, 0, entryOf(l1, TABLE));
    guest.setEntry(l1, 0, entryOf(page, RW));
    return { l4, l3, l2, l1 };
  }

  it('take types downwards and give them back', () => {
    const { l4, l3, l2, l1 } = tree();
    expect(pin(l4, PGT_l4_page_table)).toBe(0);
    expect([l4, l3, l2, l1].map((mfn) => guest.count(mfn))).toEqual([1, 2, 1, 1]);
    expect(guest.entry(l4, XEN_SLOT)).toBe(HOLE_ENTRIES[XEN_SLOT]);
    expect(guest.entry(l4, DIRECT_SLOT)).toBe(HOLE_ENTRIES[DIRECT_SLOT]);
    expect(pin(l2, PGT_l2_page_table)).toBe(0);
    expect(unpin(l4)).toBe(0);
    expect([l4, l3, l2, l1].map((mfn) => guest.pages.typeOf(mfn))).toEqual([
      PGT_none,
      PGT_none,
      PGT_l2_page_table,
      PGT_l1_page_table,
    ]);
  });

  it('are refused whole when an L1 deep down is mapped writable', () => {
    const { l4, l3, l2, l1 } = tree();
    guest.setMapping(l1, RW);
    expect(pin(l4, PGT_l4_page_table)).toBe(-EINVAL);
    expect([l4, l3, l2].map((mfn) => guest.info(mfn) & 0xffffff07n)).toEqual([0n, 0n, 0n]);
  });

  it('flush what was writable until now, and only that', () => {
    const page = guest.page(true);
    guest.setMapping(page, RO);
    guest.pending[0] = 0;
    pin(page, PGT_l1_page_table);
    expect(guest.pending[0]).toBe(PENDING_CR3);
    unpin(page);
    guest.setMapping(page, RW);
    guest.setMapping(page, RO);
    guest.domain.area.set('flush_clock', 2n);
    guest.pending[0] = 0;
    pin(page, PGT_l1_page_table);
    expect(guest.pending[0]).toBe(0);
  });
});
