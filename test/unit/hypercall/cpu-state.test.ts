/** stack_switch, fpu_taskswitch, debug registers and segment bases: registers that only the hypervisor can load. */
import { afterEach, describe, expect, it } from 'vitest';
import { EINVAL, ENODEV, EPERM } from '../../../src/xenner/abi/errno.js';
import { stack_switch } from '../../../src/xenner/hypercall/03-stack-switch.js';
import { fpu_taskswitch } from '../../../src/xenner/hypercall/05-fpu-taskswitch.js';
import { set_debugreg } from '../../../src/xenner/hypercall/08-set-debugreg.js';
import { get_debugreg } from '../../../src/xenner/hypercall/09-get-debugreg.js';
import { set_segment_base } from '../../../src/xenner/hypercall/25-set-segment-base.js';
import * as monitor from '../../../src/xenner/monitor/vcpu-area.js';
import { type Guest, guests, HOLE_VA, NON_CANONICAL } from './guest.js';

const { open, closeAll } = guests();
afterEach(closeAll);

const CR4_DE = 8;

it('stack_switch sets the stack pointer, whatever it is', () => {
  const guest = open();
  for (const sp of [0x1000n, NON_CANONICAL, 2n ** 64n - 1n]) {
    expect(guest.result(stack_switch, [0xe02b, sp])).toBe(0);
    expect(guest.vcpus[0]!.area.get('kernel_sp')).toBe(sp);
  }
});

it.each([
  [1, 1],
  [0, 0],
  [0x80000000, 1],
  [2n ** 32n, 0],
])('fpu_taskswitch %s makes TS %i', (set, ts) => {
  const guest = open();
  expect(guest.result(fpu_taskswitch, [set])).toBe(0);
  expect([guest.vcpus[0]!.area.low('cr0_ts'), guest.pending()]).toEqual([ts, monitor.PENDING_CR0_TS]);
});

describe('set_debugreg', () => {
  /** Sets and reads back: [result, value]. */
  function setAndGet(guest: Guest, register: number, value: number | bigint): [number, number | bigint] {
    return [guest.result(set_debugreg, [register, value]), guest.call(get_debugreg, [register])];
  }
  const io = 0x20000; // breakpoint 0 on I/O
  const cases: Array<{
    name: string;
    arrange?: (guest: Guest) => void;
    op: (guest: Guest) => unknown;
    expect: unknown;
  }> = [
    { name: 'DR0 takes an address', op: (g) => setAndGet(g, 0, 0x1234), expect: [0, 0x1234n] },
    {
      name: 'DR3 takes a kernel address',
      op: (g) => setAndGet(g, 3, 2n ** 64n - 1n),
      expect: [0, 2n ** 64n - 1n],
    },
    { name: 'DR1 in the hole', op: (g) => setAndGet(g, 1, HOLE_VA), expect: [-EPERM, 0n] },
    { name: 'DR2 not canonical', op: (g) => setAndGet(g, 2, NON_CANONICAL), expect: [-EPERM, 0n] },
    { name: 'DR6 has fixed bits', op: (g) => setAndGet(g, 6, 0), expect: [0, 0xffff0ff0n] },
    { name: 'DR6 has bits that stay 0', op: (g) => setAndGet(g, 6, 0xffffffff), expect: [0, 0xffffefffn] },
    { name: 'DR6 has 32 bits', op: (g) => setAndGet(g, 6, 2n ** 32n), expect: [-EINVAL, 0n] },
    {
      name: 'DR4 is DR6',
      op: (g) => [setAndGet(g, 4, 0xf), g.call(get_debugreg, [6])],
      expect: [[0, 0xffff0fffn], 0xffff0fffn],
    },
    {
      name: 'DR5 is DR7',
      op: (g) => [setAndGet(g, 5, 3), g.call(get_debugreg, [7])],
      expect: [[0, 0x403n], 0x403n],
    },
    { name: 'DR7 has fixed bits', op: (g) => setAndGet(g, 7, 0xd800), expect: [0, 0x400n] },
    { name: 'DR7 has 32 bits', op: (g) => setAndGet(g, 7, 2n ** 63n), expect: [-EINVAL, 0n] },
    { name: 'DR7 without general detect', op: (g) => setAndGet(g, 7, 0x2001), expect: [-EPERM, 0n] },
    { name: 'an I/O breakpoint needs CR4.DE', op: (g) => setAndGet(g, 7, io | 1), expect: [-EPERM, 0n] },
    { name: 'one that is off does not', op: (g) => setAndGet(g, 7, io), expect: [0, BigInt(io | 0x400)] },
    {
      name: 'an I/O breakpoint is shown but not loaded',
      arrange: (g) => g.vcpus[0]!.area.setLow('cr4', CR4_DE),
      op: (g) => [setAndGet(g, 7, io | 3 | 0x0c), g.vcpus[0]!.area.words('dr')[7]],
      expect: [[0, BigInt(io | 0x40f)], BigInt(io | 0x40c)],
    },
    {
      name: 'DR4 and DR5 are gone with CR4.DE',
      arrange: (g) => g.vcpus[0]!.area.setLow('cr4', CR4_DE),
      op: (g) => [setAndGet(g, 4, 0), setAndGet(g, 5, 0)],
      expect: [
        [-ENODEV, -ENODEV],
        [-ENODEV, -ENODEV],
      ],
    },
    { name: 'DR8', op: (g) => setAndGet(g, 8, 0), expect: [-ENODEV, -ENODEV] },
    { name: 'DR-1', op: (g) => setAndGet(g, -1, 0), expect: [-ENODEV, -ENODEV] },
  ];
  it.each(cases)('$name', ({ arrange, op, expect: expected }) => {
    const guest = open();
    arrange?.(guest);
    expect(op(guest)).toEqual(expected);
  });
  it('is loaded by the monitor, but for DR6', () => {
    const guest = open();
    guest.call(set_debugreg, [6, 0]);
    expect(guest.pending()).toBe(0);
    guest.call(set_debugreg, [7, 1]);
    expect(guest.pending()).toBe(monitor.PENDING_DEBUGREGS);
  });
});

describe('set_segment_base', () => {
  it.each([
    [0, 'fs_base', monitor.PENDING_FS_BASE],
    [1, 'gs_base_user', monitor.PENDING_GS_BASE_USER],
    [2, 'gs_base_kernel', monitor.PENDING_GS_BASE_KERNEL],
  ] as const)('%i is %s', (which, register, pending) => {
    const guest = open();
    const { area } = guest.vcpus[0]!;
    expect(guest.result(set_segment_base, [which, NON_CANONICAL])).toBe(-EINVAL);
    expect([area.get(register), guest.pending()]).toEqual([0n, 0]);
    expect(guest.result(set_segment_base, [which, 0xffffffff80001000n])).toBe(0);
    expect([area.get(register), guest.pending()]).toEqual([0xffffffff80001000n, pending]);
  });
  it('3 is the user selector: 16 bits', () => {
    const guest = open();
    expect(guest.result(set_segment_base, [3, 0x12345n])).toBe(0);
    expect([guest.vcpus[0]!.area.get('gs_selector'), guest.pending()]).toEqual([
      0x2345n,
      monitor.PENDING_GS_SELECTOR,
    ]);
  });
  it.each([4, -1, 0x80000000])('%i does not exist', (which) => {
    expect(open().result(set_segment_base, [which, 0])).toBe(-EINVAL);
  });
});
