/** GNTTABOP_copy: by frame and by reference, bounds, rights. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gpa } from '../../../src/kvm/guest-memory.js';
import * as abi from '../../../src/xenner/abi/grant-table.js';
import { PAGE } from '../mm/guest.js';
import { BEYOND, Guest, okay, READ, USED } from './grant-guest.js';
import { DOMID, L1_MFN, NR_PAGES, TOTAL_PAGES } from './harness.js';

let guest: Guest;
beforeEach(() => {
  guest = new Guest();
});
afterEach(() => guest.close());

describe('copying', () => {
  const bytesOf = (mfn: number, offset: number, length: number) => [
    ...guest.memory.copyOut(gpa(mfn * PAGE + offset), length),
  ];
  const filled = (value: number) => {
    const mfn = guest.page(true);
    guest.memory.fill(guest.frame(mfn), PAGE, value);
    return mfn;
  };

  it.each([
    { name: 'frame to frame', from: (mfn: number) => ({ gmfn: mfn }), to: (mfn: number) => ({ gmfn: mfn }) },
    {
      name: 'grant to frame',
      from: (mfn: number) => ({ ref: guest.grant(9, mfn, 5) }),
      to: (mfn: number) => ({ gmfn: mfn }),
    },
    {
      name: 'frame to grant',
      from: (mfn: number) => ({ gmfn: mfn }),
      to: (mfn: number) => ({ ref: guest.grant(10, mfn) }),
    },
    {
      name: 'grant to grant',
      from: (mfn: number) => ({ ref: guest.grant(9, mfn) }),
      to: (mfn: number) => ({ ref: guest.grant(10, mfn) }),
    },
  ])('$name', ({ from, to }) => {
    const [source, dest] = [filled(7), filled(0)];
    expect(guest.copy({ ...from(source), offset: 4090 }, { ...to(dest), offset: 100 }, 6)).toBe(okay);
    expect(bytesOf(dest, 99, 8)).toEqual([0, 7, 7, 7, 7, 7, 7, 0]);
    expect(guest.written).toEqual([[dest * PAGE + 100, 6]]);
    expect([guest.flags(9) & ~5, guest.flags(10) & ~1]).toEqual([0, 0]);
  });
  it('within a page as memmove does', () => {
    const mfn = filled(0);
    guest.memory.copyIn(guest.frame(mfn), Uint8Array.of(1, 2, 3, 4));
    expect(guest.copy({ gmfn: mfn }, { gmfn: mfn, offset: 1 }, 4)).toBe(okay);
    expect(bytesOf(mfn, 0, 6)).toEqual([1, 1, 2, 3, 4, 0]);
  });
  it('leaves the flags of a grant that is mapped as well', () => {
    const ref = guest.grant(9, filled(7));
    guest.map(ref, READ);
    expect([guest.copy({ gmfn: filled(1) }, { ref }), guest.flags(ref)]).toEqual([okay, USED]);
    expect([guest.copy({ ref }, { ref }), guest.flags(ref)]).toEqual([okay, USED]);
  });

  const there = () => ({ gmfn: filled(1) });
  const cases: Array<{ name: string; op: () => number; expect: number }> = [
    {
      name: 'nothing, of nowhere',
      op: () => guest.copy({ ref: BEYOND }, { gmfn: -1n & (2n ** 64n - 1n) }, 0),
      expect: okay,
    },
    { name: 'a whole page', op: () => guest.copy(there(), there(), 4096), expect: okay },
    {
      name: 'more than a page',
      op: () => guest.copy(there(), there(), 4097),
      expect: abi.GNTST_bad_copy_arg,
    },
    {
      name: 'past the end',
      op: () => guest.copy({ ...there(), offset: 4089 }, there()),
      expect: abi.GNTST_bad_copy_arg,
    },
    {
      name: 'to past the end',
      op: () => guest.copy(there(), { ...there(), offset: 0xffff }),
      expect: abi.GNTST_bad_copy_arg,
    },
    { name: 'no frame', op: () => guest.copy({ gmfn: TOTAL_PAGES }, there()), expect: abi.GNTST_bad_page },
    {
      name: 'a frame of 64 bits',
      op: () => guest.copy({ gmfn: 2n ** 64n - 1n }, there()),
      expect: abi.GNTST_bad_page,
    },
    {
      name: "Xen's frame",
      op: () => guest.copy({ gmfn: NR_PAGES + 1 }, there()),
      expect: abi.GNTST_bad_page,
    },
    {
      name: "to Xen's frame",
      op: () => guest.copy(there(), { gmfn: NR_PAGES + 1 }),
      expect: abi.GNTST_bad_page,
    },
    {
      name: 'to a page table',
      op: () => guest.copy(there(), { gmfn: L1_MFN }),
      expect: abi.GNTST_general_error,
    },
    { name: 'from a page table', op: () => guest.copy({ gmfn: L1_MFN }, there()), expect: okay },
    {
      name: 'frame of its own number',
      op: () => guest.copy({ ...there(), domid: DOMID }, there()),
      expect: abi.GNTST_permission_denied,
    },
    {
      name: 'frame of another',
      op: () => guest.copy(there(), { ...there(), domid: 99 }),
      expect: abi.GNTST_permission_denied,
    },
    {
      name: 'grant of nobody',
      op: () => guest.copy({ ref: 9, domid: 99 }, there()),
      expect: abi.GNTST_bad_domain,
    },
    {
      name: 'grant of the host',
      op: () => guest.copy({ ref: 9, domid: 0 }, there()),
      expect: abi.GNTST_bad_gntref,
    },
    {
      name: 'grant past the table',
      op: () => guest.copy({ ref: 512 }, there()),
      expect: abi.GNTST_bad_gntref,
    },
    { name: 'no grant', op: () => guest.copy({ ref: 9 }, there()), expect: abi.GNTST_general_error },
    {
      name: 'grant of no frame',
      op: () => guest.copy({ ref: guest.grant(9, BEYOND) }, there()),
      expect: abi.GNTST_bad_page,
    },
    {
      name: 'to a grant of a page table',
      op: () => guest.copy(there(), { ref: guest.grant(9, L1_MFN) }),
      expect: abi.GNTST_general_error,
    },
    {
      name: 'to a read-only grant',
      op: () => guest.copy(there(), { ref: guest.grant(9, filled(0), 5) }),
      expect: abi.GNTST_general_error,
    },
    {
      name: 'grant for another',
      op: () => guest.copy({ ref: guest.grant(9, filled(0), 1, 3) }, there()),
      expect: abi.GNTST_general_error,
    },
    {
      name: 'a good source, a bad destination',
      op: () => guest.copy({ ref: guest.grant(9, filled(0)) }, { ref: 10 }),
      expect: abi.GNTST_general_error,
    },
  ];
  it.each(cases)('$name', ({ op, expect: expected }) => {
    expect(op()).toBe(expected);
    expect(guest.flags(9) & (abi.GTF_reading | abi.GTF_writing)).toBe(0);
    if (expected !== okay) expect(guest.written).toEqual([]);
  });
});
