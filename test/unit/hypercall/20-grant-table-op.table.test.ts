/** The operations on a whole grant table, and what all operations share: lists, counts, pointers. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_GRANT_OPERATIONS } from '../../../src/base/limits.js';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { E2BIG, EFAULT, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/grant-table.js';
import { DOMID_SELF } from '../../../src/xenner/abi/xen.js';
import { PENDING_CR3 } from '../../../src/xenner/monitor/vcpu-area.js';
import { PAGE } from '../mm/guest.js';
import { BEYOND, copyPointer, Guest, NON_CANONICAL, okay, READ, WINDOW, WRITE } from './grant-guest.js';
import { DOMID, GRANT_MFN, HOLE_VA, READ_ONLY_VA, UNMAPPED_VA, va } from './harness.js';

let guest: Guest;
beforeEach(() => {
  guest = new Guest();
});
afterEach(() => guest.close());

describe('the table', () => {
  const setup = (nr_frames: number, frame_list = guest.room(64), dom = DOMID_SELF) => {
    const at = guest.put(abi.gnttab_setup_table, { dom, nr_frames, frame_list, status: 77 });
    const result = guest.op(abi.GNTTABOP_setup_table, at);
    return result === 0 ? guest.get(abi.gnttab_setup_table, at) : result;
  };
  const size = (dom: number) => {
    const at = guest.put(abi.gnttab_query_size, { dom, status: 77 });
    expect(guest.op(abi.GNTTABOP_query_size, at)).toBe(0);
    return guest.get(abi.gnttab_query_size, at);
  };
  it('grows, empty, and tells its frames', () => {
    expect(size(DOMID_SELF)).toMatchObject({ nr_frames: 1, max_nr_frames: 4, status: okay });
    guest.grant(1000, 300);
    guest.grant(3, 300);
    const answer = setup(3);
    const list = (answer as { frame_list: bigint }).frame_list;
    expect([0n, 8n, 16n, 24n].map((at) => guest.vcpus[0]!.guest.readU64(list + at))).toEqual([
      BigInt(GRANT_MFN),
      BigInt(GRANT_MFN + 1),
      BigInt(GRANT_MFN + 2),
      0n,
    ]);
    expect([guest.flags(1000), guest.flags(3)]).toEqual([0, 1]);
    guest.grant(1000, 300);
    expect([setup(2), setup(0, 0n), size(DOMID)]).toMatchObject([
      { status: okay },
      { status: okay },
      { nr_frames: 3 },
    ]);
    expect(guest.flags(1000)).toBe(1);
    expect(guest.map(1000, READ).status).toBe(okay);
  });
  it.each([
    { name: 'too many frames', op: () => setup(5), expect: { status: abi.GNTST_general_error } },
    { name: 'far too many frames', op: () => setup(BEYOND), expect: { status: abi.GNTST_general_error } },
    {
      name: 'of the host',
      op: () => setup(1, guest.room(8), 0),
      expect: { status: abi.GNTST_permission_denied },
    },
    { name: 'of nobody', op: () => setup(1, guest.room(8), 9), expect: { status: abi.GNTST_bad_domain } },
    {
      name: 'list that is not mapped',
      op: () => setup(1, UNMAPPED_VA),
      expect: { status: abi.GNTST_bad_virt_addr },
    },
    {
      name: 'list that is read-only',
      op: () => setup(1, READ_ONLY_VA),
      expect: { status: abi.GNTST_bad_virt_addr },
    },
  ])('setup_table, $name', ({ op, expect: expected }) => {
    expect(op()).toMatchObject(expected);
  });
  it('setup_table, list in the hole', () => {
    expect([setup(1, HOLE_VA), setup(0, NON_CANONICAL)]).toEqual([-EFAULT, -EFAULT]);
  });
  it('query_size of others', () => {
    expect([size(0), size(9)]).toMatchObject([
      { status: abi.GNTST_permission_denied },
      { status: abi.GNTST_bad_domain },
    ]);
  });
  it.each([
    { version: 1, expect: 0 },
    { version: 2, expect: -ENOSYS },
    { version: 0, expect: -EINVAL },
    { version: BEYOND, expect: -EINVAL },
  ])('set_version $version', ({ version, expect: expected }) => {
    const at = guest.put(abi.gnttab_set_version, { version });
    expect([guest.op(abi.GNTTABOP_set_version, at), guest.get(abi.gnttab_set_version, at).version]).toEqual([
      expected,
      1,
    ]);
  });
  it.each([
    { dom: DOMID_SELF, expect: [0, 1] },
    { dom: DOMID, expect: [0, 1] },
    { dom: 0, expect: [-EPERM, 9] },
    { dom: 3, expect: [-ESRCH, 9] },
  ])('get_version of $dom', ({ dom, expect: expected }) => {
    const at = guest.put(abi.gnttab_get_version, { dom, version: 9 });
    expect([guest.op(abi.GNTTABOP_get_version, at), guest.get(abi.gnttab_get_version, at).version]).toEqual(
      expected,
    );
  });
  it.each([
    { dom: DOMID_SELF, nr_frames: 0, expect: okay },
    { dom: DOMID_SELF, nr_frames: 1, expect: abi.GNTST_general_error },
    { dom: 0, nr_frames: 1, expect: abi.GNTST_permission_denied },
    { dom: 3, nr_frames: 0, expect: abi.GNTST_bad_domain },
  ])('get_status_frames $nr_frames of $dom', ({ dom, nr_frames, expect: expected }) => {
    const at = guest.put(abi.gnttab_get_status_frames, { dom, nr_frames, status: 77 });
    expect(guest.op(abi.GNTTABOP_get_status_frames, at)).toBe(0);
    expect(guest.get(abi.gnttab_get_status_frames, at).status).toBe(expected);
  });
  it('is seeded for the host', () => {
    guest.grants.seed(abi.GNTTAB_RESERVED_CONSOLE, 300);
    expect(guest.get(abi.grant_entry_v1, va(GRANT_MFN * PAGE))).toEqual({ flags: 1, domid: 0, frame: 300 });
  });
});

describe('batches', () => {
  const copies = (...offsets: number[]) =>
    guest.putAll(
      abi.gnttab_copy,
      offsets.map((offset) => ({
        source: copyPointer({ gmfn: 300, offset }),
        dest: copyPointer({ gmfn: 300 }),
        len: 8,
        status: 77,
      })),
    );
  it('go on after an operation that fails', () => {
    const list = copies(0, 4095, 8);
    expect(guest.op(abi.GNTTABOP_copy, list, 3)).toBe(0);
    expect([0, 1, 2].map((i) => guest.get(abi.gnttab_copy, list, i).status)).toEqual([
      okay,
      abi.GNTST_bad_copy_arg,
      okay,
    ]);
  });
  it('end where the list ends, with what came before done', () => {
    const at = va(512 * PAGE - abi.gnttab_unmap_grant_ref.size);
    const { handle } = guest.map(guest.grant(9, guest.page()), WRITE);
    guest.memory.copyIn(
      gpa(512 * PAGE - abi.gnttab_unmap_grant_ref.size),
      abi.gnttab_unmap_grant_ref.create({ host_addr: WINDOW, handle }),
    );
    expect(guest.op(abi.GNTTABOP_unmap_grant_ref, at, 2)).toBe(-EFAULT);
    expect([guest.window, guest.flags(9), guest.pending[1]! & PENDING_CR3]).toEqual([0n, 1, PENDING_CR3]);
  });
  it("of nothing are fine, at an address that is the guest's to name", () => {
    const results = [0n, UNMAPPED_VA, HOLE_VA, NON_CANONICAL].map((list) =>
      guest.op(abi.GNTTABOP_copy, list, 0),
    );
    expect(results).toEqual([0, 0, -EFAULT, -EFAULT]);
  });
  it.each([1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 0, 6])('operation %i on what cannot be read', (cmd) => {
    if (cmd === abi.GNTTABOP_dump_table) return expect(guest.op(cmd, UNMAPPED_VA)).toBe(-ENOSYS);
    const addresses = [UNMAPPED_VA, HOLE_VA, NON_CANONICAL, 2n ** 64n - 4n];
    expect(addresses.map((at) => guest.op(cmd, at))).toEqual(addresses.map(() => -EFAULT));
  });
  it('whose answer cannot be written fail', () => {
    // A page table of zeros reads as: copy 0 bytes; set version 0.
    expect([
      guest.op(abi.GNTTABOP_copy, READ_ONLY_VA),
      guest.op(abi.GNTTABOP_set_version, READ_ONLY_VA),
    ]).toEqual([-EFAULT, -EFAULT]);
  });
  it.each([
    { name: 'operation 13', op: () => guest.op(13, 0n), expect: -ENOSYS },
    { name: 'operation 99', op: () => guest.op(99, 0n), expect: -ENOSYS },
    {
      name: 'the state of a continuation',
      op: () => guest.op(abi.GNTTABOP_copy | 0x1000, 0n),
      expect: -EINVAL,
    },
    { name: 'a negative operation', op: () => guest.op(BEYOND, 0n), expect: -EINVAL },
    { name: 'a negative count', op: () => guest.op(abi.GNTTABOP_copy, 0n, 2n ** 31n), expect: -EINVAL },
    { name: 'a count of 64 bits', op: () => guest.op(abi.GNTTABOP_copy, 0n, 2n ** 32n), expect: 0 },
    {
      name: 'more than the limit',
      op: () => guest.op(abi.GNTTABOP_copy, 0n, MAX_GRANT_OPERATIONS + 1),
      expect: -E2BIG,
    },
    { name: 'two tables', op: () => guest.op(abi.GNTTABOP_setup_table, 0n, 2), expect: -EINVAL },
    { name: 'no size', op: () => guest.op(abi.GNTTABOP_query_size, 0n, 0), expect: -EINVAL },
    { name: 'a transfer', op: () => guest.op(abi.GNTTABOP_transfer, WINDOW), expect: -EOPNOTSUPP },
    { name: 'a transfer from the hole', op: () => guest.op(abi.GNTTABOP_transfer, HOLE_VA), expect: -EFAULT },
  ])('$name', ({ op, expect: expected }) => {
    expect(op()).toBe(expected);
  });
});
