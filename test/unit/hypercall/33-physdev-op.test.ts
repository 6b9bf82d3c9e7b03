/** physdev_op and its old form: what a domain without a device is told. */
import { afterEach, describe, expect, it } from 'vitest';
import { EBUSY, EFAULT, EINVAL, ENOSPC, ENOSYS, EPERM, ESRCH } from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/physdev.js';
import { DOMID_SELF } from '../../../src/xenner/abi/xen.js';
import { physdev_op_compat } from '../../../src/xenner/hypercall/19-physdev-op-compat.js';
import { physdev_op } from '../../../src/xenner/hypercall/33-physdev-op.js';
import { PGT_writable_page } from '../../../src/xenner/monitor/vcpu-area.js';
import { BAD_POINTERS, type Guest, guests, HOLE_VA, UNMAPPED_VA } from './guest.js';
import { L1_MFN, NR_PAGES, va } from './harness.js';

const { open, closeAll } = guests();
afterEach(closeAll);

const BEYOND = 0xffffffff;

interface Case {
  name: string;
  op: (guest: Guest) => [cmd: number, arg: bigint | number];
  expect: number;
}

const iopl =
  (value: number) =>
  (guest: Guest): [number, bigint] => [
    abi.PHYSDEVOP_set_iopl,
    guest.put(abi.physdev_set_iopl, { iopl: value }),
  ];
const iobitmap =
  (bitmap: bigint, nr_ports: number) =>
  (guest: Guest): [number, bigint] => [
    abi.PHYSDEVOP_set_iobitmap,
    guest.put(abi.physdev_set_iobitmap, { bitmap, nr_ports }),
  ];
const pirq =
  (cmd: number, domid: number) =>
  (guest: Guest): [number, bigint] => [cmd, guest.put(abi.physdev_map_pirq, { domid })];

const cases: Case[] = [
  { name: 'iopl 0', op: iopl(0), expect: 0 },
  { name: 'iopl 3', op: iopl(3), expect: 0 },
  { name: 'iopl 4', op: iopl(4), expect: -EINVAL },
  { name: 'iopl beyond', op: iopl(BEYOND), expect: -EINVAL },
  { name: 'a bitmap of all ports', op: iobitmap(va(0), 65536), expect: 0 },
  { name: 'no bitmap', op: iobitmap(0n, 0), expect: 0 },
  { name: 'a bitmap of more', op: iobitmap(va(0), 65537), expect: -EINVAL },
  { name: 'a bitmap in the hole', op: iobitmap(HOLE_VA, 1), expect: -EINVAL },
  { name: 'eoi', op: (g) => [abi.PHYSDEVOP_eoi, g.put(abi.physdev_eoi, { irq: 1 })], expect: -EINVAL },
  { name: 'unmask notify', op: () => [abi.PHYSDEVOP_IRQ_UNMASK_NOTIFY, 0], expect: 0 },
  { name: 'map_pirq', op: pirq(abi.PHYSDEVOP_map_pirq, DOMID_SELF), expect: -EPERM },
  { name: 'map_pirq of domain 0', op: pirq(abi.PHYSDEVOP_map_pirq, 0), expect: -EPERM },
  { name: 'map_pirq of nobody', op: pirq(abi.PHYSDEVOP_map_pirq, 77), expect: -ESRCH },
  { name: 'unmap_pirq', op: pirq(abi.PHYSDEVOP_unmap_pirq, DOMID_SELF), expect: -EPERM },
  {
    name: 'get_free_pirq',
    op: (g) => [abi.PHYSDEVOP_get_free_pirq, g.put(abi.physdev_get_free_pirq, { type: 0 })],
    expect: -ENOSPC,
  },
  { name: 'free_irq_vector', op: () => [abi.PHYSDEVOP_free_irq_vector, 0], expect: -ENOSYS },
  { name: 'no such operation', op: () => [99, 0], expect: -ENOSYS },
  { name: 'a negative one', op: () => [-1, 0], expect: -ENOSYS },
];
it.each(cases)('$name', ({ op, expect: expected }) => {
  const guest = open();
  expect(guest.result(physdev_op, op(guest))).toBe(expected);
});

it('set_iopl is what port instructions are checked against', () => {
  const guest = open();
  guest.result(physdev_op, iopl(3)(guest));
  guest.result(physdev_op, iopl(9)(guest));
  expect(guest.vcpus[0]!.area.get('iopl')).toBe(3n);
});

describe('irq_status_query', () => {
  const query = (guest: Guest, irq: number) => {
    const arg = guest.put(abi.physdev_irq_status_query, { irq, flags: 0xff });
    return [
      guest.result(physdev_op, [abi.PHYSDEVOP_irq_status_query, arg]),
      guest.get(abi.physdev_irq_status_query, arg).flags,
    ];
  };
  it('says that an interrupt needs its end told', () => {
    expect([query(open(), 0), query(open(), 55)]).toEqual([
      [0, abi.XENIRQSTAT_needs_eoi],
      [0, abi.XENIRQSTAT_needs_eoi],
    ]);
  });
  it.each([56, 0x7fffffff, BEYOND])('knows no interrupt %i', (irq) => {
    expect(query(open(), irq)).toEqual([-EINVAL, 0xff]);
  });
});

describe('pirq_eoi_gmfn', () => {
  const map = (guest: Guest, gmfn: number | bigint, cmd = abi.PHYSDEVOP_pirq_eoi_gmfn_v2) =>
    guest.result(physdev_op, [cmd, guest.put(abi.physdev_pirq_eoi_gmfn, { gmfn: BigInt(gmfn) })]);
  it('holds one page', () => {
    const guest = open();
    expect([map(guest, 600), map(guest, 601, abi.PHYSDEVOP_pirq_eoi_gmfn_v1)]).toEqual([0, -EBUSY]);
    const { pages, pirqEoiMfn } = guest.domain;
    expect([pirqEoiMfn, pages.typeOf(600), pages.typeOf(601)]).toEqual([600, PGT_writable_page, 0]);
  });
  it.each([L1_MFN, NR_PAGES, BEYOND, 2n ** 64n - 1n])('refuses frame %s', (mfn) => {
    expect(map(open(), mfn)).toBe(-EINVAL);
  });
});

describe('without privilege', () => {
  const readFirst = [8, 9, 10, 15, 16, 19, 21];
  it.each(readFirst)('operation %i reads its argument first', (cmd) => {
    const guest = open();
    expect(guest.result(physdev_op, [cmd, guest.room(64)])).toBe(-EPERM);
    expect(guest.result(physdev_op, [cmd, UNMAPPED_VA])).toBe(-EFAULT);
  });
  it.each([20, 24, 25, 26, 27, 30, 31])('operation %i reads nothing', (cmd) => {
    expect(open().result(physdev_op, [cmd, UNMAPPED_VA])).toBe(-EPERM);
  });
});

it.each([5, 6, 7, 12, 13, 14, 17, 23, 28])('operation %i on what cannot be read', (cmd) => {
  const guest = open();
  expect(BAD_POINTERS.map((at) => guest.result(physdev_op, [cmd, at]))).toEqual(
    BAD_POINTERS.map(() => -EFAULT),
  );
});

describe('physdev_op_compat', () => {
  it('takes its argument from a union', () => {
    const guest = open();
    const arg = guest.put(abi.physdev_op, {
      cmd: abi.PHYSDEVOP_irq_status_query,
      u: { irq_status_query: { irq: 3 } },
    });
    expect(guest.result(physdev_op_compat, [arg])).toBe(0);
    expect(guest.get(abi.physdev_op, arg).u.irq_status_query).toEqual({
      irq: 3,
      flags: abi.XENIRQSTAT_needs_eoi,
    });
  });
  it.each([
    ['an operation that does not exist', 99, -ENOSYS],
    ['a bad level', abi.PHYSDEVOP_set_iopl, -EINVAL],
  ])('%s', (_name, cmd, expected) => {
    const guest = open();
    const arg = guest.put(abi.physdev_op, { cmd, u: { set_iopl: { iopl: 7 } } });
    expect(guest.result(physdev_op_compat, [arg])).toBe(expected);
  });
  it.each([...BAD_POINTERS, va(512 * 4096 - 16)])('at %s', (at) => {
    expect(open().result(physdev_op_compat, [at])).toBe(-EFAULT);
  });
});
