/** XENMEM_exchange: frames for others that lie together, or lower. */
import { afterEach, describe, expect, it } from 'vitest';
import { EFAULT, EINVAL, ENOMEM, EPERM, ESRCH } from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/memory.js';
import { DOMID_SELF } from '../../../src/xenner/abi/xen.js';
import { memory_op } from '../../../src/xenner/hypercall/12-memory-op.js';
import { FIRST_UNMAPPED_MFN as FREE, type Guest, guests, READ_ONLY_VA, UNMAPPED_VA } from './guest.js';
import { NR_PAGES } from './harness.js';
import { decrease, INVALID, list, m2p, type Reservation, readList } from './memory-guest.js';

const { open, closeAll } = guests();
afterEach(closeAll);

describe('exchange', () => {
  interface Side {
    mfns: readonly (number | bigint)[];
    order?: number;
    more?: Reservation;
  }
  function exchange(guest: Guest, given: Side, wanted: Side, done = 0n) {
    const side = ({ mfns, order = 0, more = {} }: Side) => ({
      extent_start: list(guest, mfns),
      nr_extents: BigInt(mfns.length),
      extent_order: order,
      domid: DOMID_SELF,
      ...more,
    });
    const out = side(wanted);
    const arg = guest.put(abi.xen_memory_exchange, { in: side(given), out, nr_exchanged: done });
    const result = guest.result(memory_op, [abi.XENMEM_exchange, arg]);
    const exchanged = Number(guest.get(abi.xen_memory_exchange, arg).nr_exchanged);
    const mfns = wanted.more === undefined ? readList(guest, out.extent_start, wanted.mfns.length) : [];
    return { result, exchanged, mfns };
  }
  const row = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

  it('joins single frames to an extent', () => {
    const guest = open();
    expect(exchange(guest, { mfns: row(FREE + 8, 8) }, { mfns: [300], order: 3 })).toEqual({
      result: 0,
      exchanged: 8,
      mfns: [FREE + 8],
    });
    expect([m2p(guest, FREE + 8), m2p(guest, FREE + 15)]).toEqual([300n, 307n]);
    expect([guest.domain.freeFrames.count, guest.domain.pages.isOwned(FREE + 8)]).toEqual([0, true]);
  });
  it('splits an extent', () => {
    const guest = open();
    expect(exchange(guest, { mfns: [FREE], order: 2 }, { mfns: [9, 8, 7, 6] })).toEqual({
      result: 0,
      exchanged: 1,
      mfns: row(FREE, 4),
    });
    expect(row(FREE, 4).map((mfn) => Number(m2p(guest, mfn)))).toEqual([9, 8, 7, 6]);
  });
  it('gives other frames where some are free, and keeps those that came', () => {
    const guest = open();
    decrease(guest, row(FREE, 4));
    expect(
      exchange(guest, { mfns: [FREE + 100, FREE + 200, FREE + 300, FREE + 400] }, { mfns: [1], order: 2 }),
    ).toEqual({
      result: 0,
      exchanged: 4,
      mfns: [FREE],
    });
    expect([guest.domain.freeFrames.count, guest.domain.pages.isOwned(FREE + 100)]).toEqual([4, false]);
    expect(m2p(guest, FREE + 100)).toBe(INVALID);
  });
  it('changes nothing of a chunk that fails, and tells which it was', () => {
    const guest = open();
    guest.domain.pages.setM2p(FREE + 3, 33, 0);
    const scattered = [...row(FREE, 2), FREE + 3, FREE + 9];
    expect(exchange(guest, { mfns: scattered }, { mfns: [5, 6], order: 1 })).toEqual({
      result: -ENOMEM,
      exchanged: 2,
      mfns: [FREE, 6],
    });
    expect([
      guest.domain.freeFrames.count,
      guest.domain.pages.isOwned(FREE + 9),
      m2p(guest, FREE + 3),
    ]).toEqual([0, true, 33n]);
  });
  it('goes on where it was interrupted', () => {
    const guest = open();
    const given = { mfns: [INVALID, FREE + 1] };
    expect(exchange(guest, given, { mfns: [1, 2] }, 1n)).toEqual({
      result: 0,
      exchanged: 2,
      mfns: [1, FREE + 1],
    });
    expect(exchange(guest, given, { mfns: [1, 2] }, 2n)).toEqual({ result: 0, exchanged: 2, mfns: [1, 2] });
  });
  const refused: Array<[string, Side, Side, number]> = [
    ['a frame in use', { mfns: [100] }, { mfns: [1] }, -EINVAL],
    ['a frame of Xen', { mfns: [NR_PAGES] }, { mfns: [1] }, -EINVAL],
    ['a frame beyond numbers', { mfns: [INVALID] }, { mfns: [1] }, -EINVAL],
    ['a frame twice', { mfns: [FREE, FREE] }, { mfns: [1], order: 1 }, -EINVAL],
    ['unequal sizes', { mfns: [FREE] }, { mfns: [1], order: 1 }, -EINVAL],
    [
      'sizes that wrap',
      { mfns: [FREE], more: { nr_extents: 2n ** 63n }, order: 1 },
      { mfns: [1], more: { nr_extents: 2n ** 63n }, order: 1 },
      -EINVAL,
    ],
    ['too large an extent', { mfns: [FREE] }, { mfns: [1], order: 10 }, -EPERM],
    [
      'more than it has',
      { mfns: [FREE], more: { nr_extents: 2n ** 40n } },
      { mfns: [1], more: { nr_extents: 2n ** 40n } },
      -ENOMEM,
    ],
    ['two domains', { mfns: [FREE], more: { domid: 3 } }, { mfns: [1] }, -EINVAL],
    ['domain 0', { mfns: [FREE], more: { domid: 0 } }, { mfns: [1], more: { domid: 0 } }, -EPERM],
    ['nobody', { mfns: [FREE], more: { domid: 3 } }, { mfns: [1], more: { domid: 3 } }, -ESRCH],
    [
      'a list in the hole',
      { mfns: [FREE], more: { extent_start: 0xffff800000000000n } },
      { mfns: [1] },
      -EFAULT,
    ],
    [
      'a list that is not there',
      { mfns: [FREE], more: { extent_start: UNMAPPED_VA } },
      { mfns: [1] },
      -EFAULT,
    ],
    [
      'an answer that cannot be written',
      { mfns: [FREE] },
      { mfns: [1], more: { extent_start: READ_ONLY_VA } },
      -EFAULT,
    ],
    ['an address limit of nothing', { mfns: [FREE] }, { mfns: [1], more: { mem_flags: 5 } }, -EINVAL],
    ['an address limit below all', { mfns: [FREE] }, { mfns: [1], more: { mem_flags: 20 } }, -ENOMEM],
  ];
  it.each(refused)('refuses %s', (_name, given, wanted, expected) => {
    const guest = open();
    expect(exchange(guest, given, wanted).result).toBe(expected);
    expect([guest.domain.freeFrames.count, guest.domain.pages.isOwned(FREE)]).toEqual([0, true]);
  });
});
