/** GNTTABOP_map_grant_ref: the entry written, the references and flags kept, and what is refused. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_GRANT_MAPPINGS } from '../../../src/base/limits.js';
import * as abi from '../../../src/xenner/abi/grant-table.js';
import { DOMID_SELF } from '../../../src/xenner/abi/xen.js';
import { PENDING_CR3 } from '../../../src/xenner/monitor/vcpu-area.js';
import { PAGE } from '../mm/guest.js';
import {
  BEYOND,
  BY_ENTRY,
  DEVICE,
  Guest,
  NON_CANONICAL,
  NX,
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
import { DOMID, HOLE_VA, L1_MFN, NR_PAGES, TOTAL_PAGES, UNMAPPED_VA } from './harness.js';

let guest: Guest;
beforeEach(() => {
  guest = new Guest();
});
afterEach(() => guest.close());

describe('mapping', () => {
  it('writes an entry with its references, and unmapping takes both away', () => {
    const mfn = guest.page();
    const ref = guest.grant(9, mfn);
    const op = guest.map(ref, WRITE);
    expect(op).toMatchObject({ status: okay, handle: 0, dev_bus_addr: BigInt(mfn * PAGE) });
    expect([guest.window, guest.flags(ref), guest.count(mfn)]).toEqual([
      BigInt(mfn * PAGE) | 0x63n | NX,
      WRITTEN,
      1,
    ]);
    expect([guest.unmap(op.handle), guest.window, guest.flags(ref), guest.count(mfn)]).toEqual([
      okay,
      0n,
      abi.GTF_permit_access,
      0,
    ]);
    expect(guest.pending.map((bits) => bits & PENDING_CR3)).toEqual([PENDING_CR3, PENDING_CR3]);
    expect(guest.unmap(op.handle)).toBe(abi.GNTST_bad_handle);
  });

  it.each([
    { name: 'read-only', flags: READ, bits: 0x61n },
    { name: 'for applications', flags: WRITE | abi.GNTMAP_application_map, bits: 0x67n },
    { name: 'with bits of the guest', flags: WRITE | 0x50000, bits: 0xa63n },
  ])('$name', ({ flags, bits }) => {
    const mfn = guest.page();
    expect(guest.map(guest.grant(9, mfn), flags).status).toBe(okay);
    expect(guest.window).toBe(BigInt(mfn * PAGE) | bits | NX);
  });

  it('by the address of the entry', () => {
    const ref = guest.grant(9, guest.page());
    const { status, handle } = guest.map(ref, BY_ENTRY, WINDOW_PTE);
    expect([status, guest.window & 0xfffn]).toEqual([okay, 0x63n]);
    expect([guest.unmap(handle, WINDOW_PTE), guest.window]).toEqual([okay, 0n]);
  });

  it('drops what the entry referred to before', () => {
    const [old, mfn] = [guest.page(), guest.page()];
    guest.setEntryMapping(WINDOW_MFN, BigInt(old * PAGE) | 3n);
    expect(guest.count(old)).toBe(1);
    guest.map(guest.grant(9, mfn), WRITE);
    expect([guest.count(old), guest.count(mfn)]).toEqual([0, 1]);
  });

  it('twice: the flags say what is still in use', () => {
    const ref = guest.grant(9, guest.page());
    const reader = guest.map(ref, READ);
    expect(guest.flags(ref)).toBe(USED);
    const writer = guest.map(ref, WRITE, SECOND);
    expect([writer.status, writer.handle, guest.flags(ref)]).toEqual([okay, 1, WRITTEN]);
    expect([guest.unmap(writer.handle, SECOND), guest.flags(ref)]).toEqual([okay, USED]);
    expect([guest.unmap(reader.handle), guest.flags(ref)]).toEqual([okay, abi.GTF_permit_access]);
  });

  it('keeps the frame and the right of its beginning, whatever the entry says later', () => {
    const [mfn, other] = [guest.page(), guest.page()];
    guest.map(guest.grant(9, mfn), READ);
    guest.grant(9, other, abi.GTF_permit_access | abi.GTF_readonly, 3);
    const second = guest.map(9, READ, SECOND);
    expect([second.status, second.dev_bus_addr]).toEqual([okay, BigInt(mfn * PAGE)]);
    expect(guest.map(9, WRITE, SECOND).status).toBe(abi.GNTST_general_error);
  });

  it('for a device holds the page type without an entry', () => {
    const mfn = guest.page();
    const { status, handle, dev_bus_addr } = guest.map(guest.grant(9, mfn), DEVICE);
    expect([status, guest.window, guest.count(mfn), guest.flags(9)]).toEqual([okay, 0n, 1, WRITTEN]);
    expect(guest.unmap(handle, WINDOW, dev_bus_addr + 1n)).toBe(abi.GNTST_bad_dev_addr);
    expect(guest.unmap(handle)).toBe(okay);
    expect(guest.flags(9)).toBe(WRITTEN);
    expect([guest.unmap(handle, 0n, dev_bus_addr), guest.count(mfn), guest.flags(9)]).toEqual([okay, 0, 1]);
    expect(guest.unmap(handle)).toBe(abi.GNTST_bad_handle);
  });

  it('for both, taken away one by one', () => {
    const mfn = guest.page();
    const { handle, dev_bus_addr } = guest.map(guest.grant(9, mfn), DEVICE | WRITE);
    expect(guest.count(mfn)).toBe(2);
    expect([guest.unmap(handle), guest.count(mfn), guest.flags(9)]).toEqual([okay, 1, WRITTEN]);
    expect([guest.unmap(handle, WINDOW, dev_bus_addr), guest.count(mfn), guest.flags(9)]).toEqual([
      okay,
      0,
      1,
    ]);
  });

  it('fails whole when the entry cannot be written', () => {
    const mfn = guest.page();
    expect(guest.map(guest.grant(9, mfn), DEVICE | WRITE, UNMAPPED_VA).status).toBe(abi.GNTST_general_error);
    expect([guest.count(mfn), guest.flags(9)]).toEqual([0, abi.GTF_permit_access]);
  });

  const refused: Array<{ name: string; op: () => { status: number }; expect: number }> = [
    { name: 'no kind', op: () => guest.map(guest.grant(9, 300), 0), expect: abi.GNTST_bad_gntref },
    { name: 'past the table', op: () => guest.map(512, WRITE), expect: abi.GNTST_bad_gntref },
    { name: 'far past the table', op: () => guest.map(BEYOND, WRITE), expect: abi.GNTST_bad_gntref },
    { name: 'nothing granted', op: () => guest.map(20, WRITE), expect: abi.GNTST_general_error },
    { name: 'DOMID_SELF', op: () => guest.map(9, WRITE, WINDOW, DOMID_SELF), expect: abi.GNTST_bad_domain },
    { name: 'nobody', op: () => guest.map(9, WRITE, WINDOW, 99), expect: abi.GNTST_bad_domain },
    { name: 'the host', op: () => guest.map(9, WRITE, WINDOW, 0), expect: abi.GNTST_bad_gntref },
    {
      name: 'granted to another domain',
      op: () => guest.map(guest.grant(9, 300, abi.GTF_permit_access, 3), READ),
      expect: abi.GNTST_general_error,
    },
    {
      name: 'read-only grant to write',
      op: () => guest.map(guest.grant(9, 300, abi.GTF_permit_access | abi.GTF_readonly), WRITE),
      expect: abi.GNTST_general_error,
    },
    {
      name: 'transfer grant',
      op: () => guest.map(guest.grant(9, 300, abi.GTF_accept_transfer), READ),
      expect: abi.GNTST_general_error,
    },
    {
      name: 'transitive grant',
      op: () => guest.map(guest.grant(9, 300, abi.GTF_transitive), READ),
      expect: abi.GNTST_general_error,
    },
    {
      name: 'a part of a page',
      op: () => guest.map(guest.grant(9, 300, abi.GTF_permit_access | abi.GTF_sub_page), READ),
      expect: abi.GNTST_general_error,
    },
    { name: 'no frame', op: () => guest.map(guest.grant(9, BEYOND), READ), expect: abi.GNTST_bad_page },
    {
      name: 'past memory',
      op: () => guest.map(guest.grant(9, TOTAL_PAGES), READ),
      expect: abi.GNTST_bad_page,
    },
    {
      name: "Xen's frame",
      op: () => guest.map(guest.grant(9, NR_PAGES + 1), READ),
      expect: abi.GNTST_bad_page,
    },
    {
      name: 'page table to write',
      op: () => guest.map(guest.grant(9, L1_MFN), WRITE),
      expect: abi.GNTST_general_error,
    },
    {
      name: 'page table for a device to write',
      op: () => guest.map(guest.grant(9, L1_MFN), DEVICE),
      expect: abi.GNTST_general_error,
    },
    ...[UNMAPPED_VA, HOLE_VA, NON_CANONICAL, 0n, 2n ** 64n - 1n].map((address) => ({
      name: `address 0x${address.toString(16)}`,
      op: () => guest.map(guest.grant(9, guest.page()), WRITE, address),
      expect: abi.GNTST_general_error,
    })),
    ...[
      WINDOW_PTE + 4n,
      BigInt(300 * PAGE),
      BigInt(TOTAL_PAGES * PAGE),
      BigInt((NR_PAGES + 1) * PAGE),
      2n ** 52n,
      2n ** 64n - 8n,
      2n ** 53n + 8n,
    ].map((address) => ({
      name: `entry at 0x${address.toString(16)}`,
      op: () => guest.map(guest.grant(9, guest.page()), BY_ENTRY, address),
      expect: abi.GNTST_general_error,
    })),
  ];
  it.each(refused)('refuses: $name', ({ op, expect: expected }) => {
    const answer = op();
    expect([answer.status, guest.window]).toEqual([expected, 0n]);
    expect(guest.flags(9) & (abi.GTF_reading | abi.GTF_writing)).toBe(0);
  });

  it('counts to 128 and no further', () => {
    guest.grant(9, guest.page());
    const ops = Array.from({ length: 129 }, () => ({ host_addr: WINDOW, flags: READ, ref: 9, dom: DOMID }));
    const list = guest.putAll(abi.gnttab_map_grant_ref, ops);
    expect(guest.op(abi.GNTTABOP_map_grant_ref, list, 129)).toBe(0);
    expect(guest.get(abi.gnttab_map_grant_ref, list, 127)).toMatchObject({ status: okay, handle: 127 });
    expect(guest.get(abi.gnttab_map_grant_ref, list, 128).status).toBe(abi.GNTST_general_error);
  });

  it('has handles enough, but not for ever', () => {
    guest.grants.grow(4);
    const flags = READ;
    const mfn = guest.page();
    let held = 0;
    let last: unknown;
    for (let ref = 0; ref < 2048 && held <= MAX_GRANT_MAPPINGS; ref++) {
      guest.grant(ref, mfn);
      for (let i = 0; i < 128; i++, held++) {
        last = guest.grants.map(guest.vcpus[0]!, { host_addr: WINDOW, flags, ref, dom: DOMID });
        if (typeof last === 'number') break;
      }
      if (typeof last === 'number') break;
    }
    expect([held, last]).toEqual([MAX_GRANT_MAPPINGS, abi.GNTST_no_space]);
    expect(guest.unmap(5)).toBe(okay);
    expect(guest.map(2047, READ).status).toBe(abi.GNTST_general_error);
    guest.grant(2047, mfn);
    expect(guest.map(2047, READ)).toMatchObject({ status: okay, handle: 5 });
  });
});
