/** The LDT's window: what test/guest/ldt shows of it, and what only a guest that breaks its monitor can ask for. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { EBUSY, EINVAL } from '../../../src/xenner/abi/errno.js';
import { newBaseptr } from '../../../src/xenner/mm/base-pointer.js';
import { destroyLdt, mapLdtPage, setLdt } from '../../../src/xenner/mm/ldt.js';
import {
  PENDING_CR3,
  PENDING_LDT,
  PGT_none,
  PGT_seg_desc_page,
} from '../../../src/xenner/monitor/vcpu-area.js';
import { HOLE_VA, UNMAPPED_VA, va } from '../hypercall/harness.js';
import { entryOf, MmGuest, PAGE, XEN_MFN } from './guest.js';

const DATA3 = 0x00cff3000000ffffn;
const TSS = 0x00008b0000000067n;
const SLOTS = 16;

let guest: MmGuest;
beforeEach(() => {
  guest = new MmGuest({ vcpus: 2 });
});
afterEach(() => guest.close());

function slot(index: number): bigint {
  return guest.memory.readU64(gpa(guest.domain.ldtL1 + index * 8));
}

/** Two frames in a row, of harmless descriptors; the second one's number is the first one's plus one. */
function twoPages(): number {
  const [first, second] = [guest.page(), guest.page()];
  guest.setEntry(first, 1, DATA3);
  expect(second).toBe(first + 1);
  return first;
}

function set(first: number, entries: number): number {
  return setLdt(guest.vcpus[0]!, va(first * PAGE), BigInt(entries));
}

const map = (offset: number | bigint) => mapLdtPage(guest.vcpus[0]!, BigInt(offset));

describe('an LDT page', () => {
  it('is mapped at the first use, one at a time, and typed as long as it is', () => {
    const first = twoPages();
    expect(set(first, 513)).toBe(0);
    expect(guest.pending[0]! & PENDING_LDT).toBe(PENDING_LDT);
    expect(guest.pages.typeOf(first)).toBe(PGT_none);
    expect(map(8)).toBe(0);
    expect([slot(0), slot(1)]).toEqual([entryOf(first, 0x63n), 0n]);
    expect(guest.setMapping(first, 3n)).toBe(-EBUSY);
    expect(map(PAGE)).toBe(0);
    expect(slot(1)).toBe(entryOf(first + 1, 0x63n));
    expect(guest.vcpus[0]!.area.low('ldt_mapped')).toBe(2);
    expect(setLdt(guest.vcpus[0]!, 0n, 0n)).toBe(0);
    expect([slot(0), slot(1), guest.pages.typeOf(first)]).toEqual([0n, 0n, PGT_none]);
    expect(guest.pending[0]! & PENDING_CR3).toBe(PENDING_CR3);
    expect(guest.setMapping(first, 3n)).toBe(0);
  });

  it('goes with the page tables that mapped it', () => {
    const first = twoPages();
    set(first, 2);
    expect(map(0)).toBe(0);
    const l4 = guest.page();
    expect(newBaseptr(guest.vcpus[0]!, l4)).toBe(0);
    expect([slot(0), guest.pages.typeOf(first)]).toEqual([0n, PGT_none]);
  });

  it('stays when the same LDT is set again', () => {
    const first = twoPages();
    set(first, 2);
    map(0);
    expect(set(first, 2)).toBe(0);
    expect(slot(0)).toBe(entryOf(first, 0x63n));
  });

  it.each([
    { what: 'with a TSS in it', spoil: (mfn: number) => guest.setEntry(mfn, 3, TSS) },
    { what: 'that is mapped writable', spoil: (mfn: number) => guest.setMapping(mfn, 3n) },
    { what: 'that is not mapped', spoil: (mfn: number) => guest.setMapping(mfn, 0n) },
  ])('$what is refused', ({ spoil }) => {
    const first = twoPages();
    set(first, 2);
    spoil(first);
    expect(map(0)).toBeLessThan(0);
    expect([slot(0), guest.vcpus[0]!.area.low('ldt_mapped')]).toEqual([0n, 0]);
  });

  it('past the end is refused', () => {
    set(twoPages(), 512);
    expect(map(511 * 8)).toBe(0);
    expect(map(512 * 8)).toBe(-EINVAL);
  });
});

describe('a guest that breaks its monitor', () => {
  it.each([
    { what: 'an offset of any size', base: va(300 * PAGE), entries: 2n ** 64n - 1n, offset: 2n ** 63n },
    { what: 'one past all entries', base: va(300 * PAGE), entries: 2n ** 64n - 1n, offset: 65_536n },
    { what: 'an LDT in the hole', base: HOLE_VA, entries: 8n, offset: 0n },
    { what: 'an LDT that wraps into the hole', base: HOLE_VA - BigInt(PAGE), entries: 8192n, offset: 8192n },
    { what: 'one that is not canonical', base: 1n << 62n, entries: 8n, offset: 0n },
    { what: 'one that is not mapped', base: UNMAPPED_VA, entries: 8n, offset: 0n },
  ])('is refused $what', ({ base, entries, offset }) => {
    const { area } = guest.vcpus[0]!;
    area.set('ldt_base', base);
    area.set('ldt_entries', entries);
    expect(map(offset)).toBe(-EINVAL);
    expect(Array.from({ length: SLOTS }, (_, i) => slot(i))).toEqual(Array(SLOTS).fill(0n));
  });

  it('gets no reference dropped that is not held', () => {
    const [held, other] = [guest.page(), guest.page()];
    expect(guest.pages.getPageType(guest.vcpus[0]!, held, PGT_seg_desc_page)).toBe(0);
    guest.vcpus[0]!.area.set('ldt_mapped', 2n ** 63n + 1n);
    const entries = [entryOf(other, 0x63n), entryOf(XEN_MFN, 0x63n), 2n ** 64n - 1n];
    entries.forEach((value, i) => {
      guest.memory.writeU64(gpa(guest.domain.ldtL1 + i * 8), value);
    });
    destroyLdt(guest.vcpus[0]!);
    expect([guest.count(held), guest.count(other)]).toEqual([1, 0]);
    expect(slot(0)).toBe(0n);
  });
});
