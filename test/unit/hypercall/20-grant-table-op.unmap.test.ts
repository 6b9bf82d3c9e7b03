/** GNTTABOP_unmap_grant_ref and _unmap_and_replace, swap_grant_ref and cache_flush. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EINVAL, EOPNOTSUPP, EPERM } from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/grant-table.js';
import { PAGE } from '../mm/guest.js';
import {
  BEYOND,
  BY_ENTRY,
  Guest,
  okay,
  READ,
  SECOND,
  USED,
  WINDOW,
  WINDOW_MFN,
  WINDOW_PTE,
  WRITE,
  WRITTEN,
} from './grant-guest.js';
import { DOMID, GRANT_MFN, HOLE_VA, L1_MFN, NR_PAGES, TOTAL_PAGES, UNMAPPED_VA, va } from './harness.js';

let guest: Guest;
beforeEach(() => {
  guest = new Guest();
});
afterEach(() => guest.close());

describe('unmapping', () => {
  it.each([
    { name: 'at another address', op: (handle: number) => guest.unmap(handle, SECOND) },
    { name: 'in the hole', op: (handle: number) => guest.unmap(handle, HOLE_VA) },
    { name: 'nowhere', op: (handle: number) => guest.unmap(handle, UNMAPPED_VA) },
    {
      name: 'what was overwritten',
      op: (handle: number) => {
        guest.setEntryMapping(WINDOW_MFN, 0n);
        return guest.unmap(handle);
      },
    },
    {
      name: 'what became read-only',
      op: (handle: number) => {
        guest.setEntryMapping(WINDOW_MFN, (guest.window & 0xfffff000n) | 1n);
        return guest.unmap(handle);
      },
    },
  ])('refuses: $name', ({ op }) => {
    const { handle } = guest.map(guest.grant(9, guest.page()), WRITE);
    expect([op(handle), guest.flags(9)]).toEqual([abi.GNTST_general_error, WRITTEN]);
  });
  it.each([0, 1, 12345, BEYOND])('refuses handle %i', (handle) => {
    expect(guest.unmap(handle)).toBe(abi.GNTST_bad_handle);
  });
  it('does nothing where no address is given', () => {
    const { handle } = guest.map(guest.grant(9, guest.page()), WRITE);
    expect([guest.unmap(handle, 0n), guest.flags(9), guest.unmap(handle)]).toEqual([okay, WRITTEN, okay]);
  });
});

describe('unmap_and_replace', () => {
  it('moves an entry with its references', () => {
    const [mfn, other] = [guest.page(), guest.page()];
    const { handle } = guest.map(guest.grant(9, mfn), WRITE);
    const moved = BigInt(other * PAGE) | 0x63n;
    guest.setEntryMapping(WINDOW_MFN + 1, moved);
    expect(guest.replace(handle, SECOND)).toBe(okay);
    expect([guest.window, guest.entry(L1_MFN, WINDOW_MFN + 1)]).toEqual([moved, 0n]);
    expect([guest.count(mfn), guest.count(other), guest.flags(9)]).toEqual([0, 1, abi.GTF_permit_access]);
  });
  it('with address 0 unmaps', () => {
    const { handle } = guest.map(guest.grant(9, guest.page()), WRITE);
    expect([guest.replace(handle, 0n), guest.window]).toEqual([okay, 0n]);
  });
  it('loses the entry when the mapping is not where it is said to be', () => {
    const other = guest.page();
    const { handle } = guest.map(guest.grant(9, guest.page()), WRITE, SECOND);
    guest.setEntryMapping(WINDOW_MFN, BigInt(other * PAGE) | 3n);
    expect(guest.replace(handle, WINDOW, UNMAPPED_VA)).toBe(abi.GNTST_general_error);
    expect([guest.window, guest.count(other), guest.flags(9)]).toEqual([0n, 0, WRITTEN]);
  });
  it('refuses mappings made by entry, and addresses without one', () => {
    const byEntry = guest.map(guest.grant(9, guest.page()), BY_ENTRY, WINDOW_PTE);
    const byAddress = guest.map(guest.grant(10, guest.page()), WRITE, SECOND);
    expect([
      guest.replace(byEntry.handle, SECOND, WINDOW_PTE),
      guest.replace(byAddress.handle, UNMAPPED_VA, SECOND),
      guest.replace(byAddress.handle, HOLE_VA, SECOND),
    ]).toEqual(Array(3).fill(abi.GNTST_general_error));
  });
});

describe('swap_grant_ref', () => {
  it('exchanges whole entries', () => {
    guest.grant(9, 300, 5, 3);
    guest.grant(10, 301, 1, DOMID);
    expect([guest.swap(9, 10), guest.swap(9, 9)]).toEqual([okay, okay]);
    expect([9, 10].map((ref) => guest.get(abi.grant_entry_v1, va(GRANT_MFN * PAGE), ref))).toEqual([
      { flags: 1, domid: DOMID, frame: 301 },
      { flags: 5, domid: 3, frame: 300 },
    ]);
  });
  it('refuses what is in use, and what does not exist', () => {
    guest.map(guest.grant(9, guest.page()), READ);
    guest.grant(11, 300, USED, 0);
    guest.grant(12, 300, USED, DOMID);
    expect([guest.swap(9, 10), guest.swap(10, 9), guest.swap(10, 11), guest.swap(10, 12)]).toEqual([
      abi.GNTST_eagain,
      abi.GNTST_eagain,
      abi.GNTST_eagain,
      okay,
    ]);
    expect([guest.swap(512, 9), guest.swap(9, BEYOND)]).toEqual([abi.GNTST_bad_gntref, abi.GNTST_bad_gntref]);
  });
});

describe('cache_flush', () => {
  const CLEAN = abi.GNTTAB_CACHE_CLEAN;
  const at = (mfn: number) => ({ dev_bus_addr: BigInt(mfn * PAGE) });
  it.each([
    { name: 'clean', value: { a: at(300), offset: 0, length: 4096, op: CLEAN }, expect: 0 },
    { name: 'both', value: { a: at(300), offset: 1, length: 1, op: 3 }, expect: 0 },
    { name: 'invalidate alone', value: { a: at(300), offset: 0, length: 1, op: 2 }, expect: -EOPNOTSUPP },
    { name: 'nothing', value: { a: at(2 ** 40), offset: 0, length: 0, op: CLEAN }, expect: 0 },
    { name: 'by reference', value: { a: { ref: 9 }, offset: 0, length: 1, op: 0x80000001 }, expect: -EINVAL },
    { name: 'past the page', value: { a: at(300), offset: 4095, length: 2, op: CLEAN }, expect: -EINVAL },
    { name: 'no frame', value: { a: at(TOTAL_PAGES), offset: 0, length: 1, op: CLEAN }, expect: -EINVAL },
    {
      name: 'address of 64 bits',
      value: { a: { dev_bus_addr: 2n ** 64n - 1n }, length: 1, op: CLEAN },
      expect: -EINVAL,
    },
    { name: "Xen's frame", value: { a: at(NR_PAGES + 1), offset: 0, length: 1, op: CLEAN }, expect: -EPERM },
  ])('$name', ({ value, expect: expected }) => {
    expect(guest.op(abi.GNTTABOP_cache_flush, guest.put(abi.gnttab_cache_flush, value))).toBe(expected);
  });
});
