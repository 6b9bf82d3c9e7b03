/** VCPUOP_initialise: a context becomes a vCPU that can be started, or nothing. */
import { afterEach, describe, expect, it } from 'vitest';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { vcpu_guest_context } from '../../../src/xenner/abi/arch-x86.js';
import { EEXIST, EINVAL } from '../../../src/xenner/abi/errno.js';
import { VCPUOP_initialise, VCPUOP_is_up, VCPUOP_up } from '../../../src/xenner/abi/vcpu.js';
import { vcpu_op } from '../../../src/xenner/hypercall/24-vcpu-op.js';
import * as monitor from '../../../src/xenner/monitor/vcpu-area.js';
import { FIRST_UNMAPPED_MFN, type Guest, guests, HOLE_VA, NON_CANONICAL } from './guest.js';
import { L1_MFN, L4_MFN, NR_PAGES } from './harness.js';

const { open, closeAll } = guests();
afterEach(closeAll);

type Context = ReturnType<typeof vcpu_guest_context.decode>;
const GDT_MFN = FIRST_UNMAPPED_MFN + 1;
const IN_KERNEL = 4n;
const ONLINE = 0x20n;
const CR3 = BigInt(L4_MFN) << 12n;

function context(change: Partial<Context> = {}): Partial<Context> {
  const zeros = vcpu_guest_context.decode(vcpu_guest_context.create({}));
  const trap_ctxt = zeros.trap_ctxt.map((trap, vector) => ({
    ...trap,
    vector,
    address: 0x5000n + BigInt(vector),
  }));
  return {
    ...zeros,
    flags: IN_KERNEL,
    user_regs: { ...zeros.user_regs, rip: 0x1111n, rsp: 0x2222n, rdi: 0x3333n, rflags: 0x1202n },
    trap_ctxt,
    gdt_frames: [BigInt(GDT_MFN), ...new Array<bigint>(15).fill(0n)],
    gdt_ents: 512n,
    kernel_sp: 0x4444n,
    ctrlreg: [0n, 0n, 0n, CR3, 0n, 0n, 0n, 0n],
    event_callback_eip: 0x6000n,
    failsafe_callback_eip: 0x6001n,
    syscall_callback_eip: 0x6002n,
    fs_base: 0x7000n,
    gs_base_kernel: 0x7001n,
    gs_base_user: 0x7002n,
    ...change,
  };
}

function initialise(guest: Guest, change: Partial<Context> = {}, vcpu = 1): number {
  return guest.result(vcpu_op, [VCPUOP_initialise, vcpu, guest.put(vcpu_guest_context, context(change))]);
}

function references(guest: Guest, mfn: number): number {
  return guest.memory.readU32(gpa(guest.domain.pageInfo + mfn * 8)) >>> monitor.PGT_count_shift;
}

const gdtSlot = (guest: Guest) => guest.memory.readU64(gpa(guest.domain.gdtL1 + 16 * 8));

it('fills the vCPU’s area, and holds its tables', () => {
  const guest = open({ vcpus: 2 });
  const before = references(guest, L4_MFN);
  expect(initialise(guest)).toBe(0);
  const { area, startRegisters, initialised, online } = guest.vcpus[1]!;
  expect([initialised, online, startRegisters]).toMatchObject([true, false, { rip: 0x1111n, rsp: 0x2222n }]);
  const names = ['cr3', 'kernel_sp', 'event_callback', 'failsafe_callback', 'syscall_callback'] as const;
  expect(names.map((name) => area.get(name))).toEqual([CR3, 0x4444n, 0x6000n, 0x6001n, 0x6002n]);
  const bases = ['fs_base', 'gs_base_kernel', 'gs_base_user', 'iopl'] as const;
  expect(bases.map((name) => area.get(name))).toEqual([0x7000n, 0x7001n, 0x7002n, 1n]);
  expect([area.words('traps')[0], area.words('traps')[255 * 2]]).toEqual([0x5000n, 0x50ffn]);
  expect(references(guest, L4_MFN)).toBe(before + 1);
  expect(guest.domain.pages.typeOf(GDT_MFN)).toBe(monitor.PGT_seg_desc_page);
  expect(gdtSlot(guest) >> 12n).toBe(BigInt(GDT_MFN));
});

it('then lets it go up', () => {
  const guest = open({ vcpus: 2 });
  initialise(guest);
  expect(guest.result(vcpu_op, [VCPUOP_up, 1, 0])).toBe(0);
  expect(guest.result(vcpu_op, [VCPUOP_is_up, 1, 0])).toBe(1);
});

it('starts it at once, if asked', () => {
  const guest = open({ vcpus: 2 });
  initialise(guest, { flags: IN_KERNEL | ONLINE });
  expect(guest.vcpus[1]!.online).toBe(true);
});

it('happens once', () => {
  const guest = open({ vcpus: 2 });
  expect([initialise(guest), initialise(guest), initialise(guest, {}, 0)]).toEqual([0, -EEXIST, -EEXIST]);
});

it('takes a base from a selector that is not null', () => {
  const guest = open({ vcpus: 2 });
  const registers = context().user_regs!;
  initialise(guest, { user_regs: { ...registers, fs: 0x33, gs: 0x3 } });
  const { area } = guest.vcpus[1]!;
  expect([area.get('fs_base'), area.get('gs_base_user')]).toEqual([0n, 0x7002n]);
});

it('leaves out debug registers that nobody may have', () => {
  const guest = open({ vcpus: 2 });
  initialise(guest, { debugreg: [0x9000n, HOLE_VA, 0n, 0n, 0n, 0n, 0n, 0x2001n] });
  expect([...guest.vcpus[1]!.area.words('dr').slice(0, 2)]).toEqual([0x9000n, 0n]);
});

it('holds a user L4 and an LDT', () => {
  const guest = open({ vcpus: 2 });
  const before = references(guest, L4_MFN);
  const ctrlreg = [0n, CR3, 0n, CR3, 0n, 0n, 0n, 0n];
  expect(initialise(guest, { ctrlreg, ldt_base: 0x8000n, ldt_ents: 8192n })).toBe(0);
  expect(references(guest, L4_MFN)).toBe(before + 2);
  const { area } = guest.vcpus[1]!;
  expect([area.get('user_cr3'), area.get('ldt_base'), area.get('ldt_entries')]).toEqual([
    CR3,
    0x8000n,
    8192n,
  ]);
  expect(guest.pending(1) & monitor.PENDING_LDT).toBe(monitor.PENDING_LDT);
});

describe('refuses', () => {
  const { user_regs, trap_ctxt } = context() as Context;
  const ctrlreg = (cr3: bigint, cr1 = 0n) => [0n, cr1, 0n, cr3, 0n, 0n, 0n, 0n];
  const cases: Array<[string, Partial<Context>]> = [
    ['rip', { user_regs: { ...user_regs, rip: NON_CANONICAL } }],
    ['rsp', { user_regs: { ...user_regs, rsp: NON_CANONICAL } }],
    ['kernel_sp', { kernel_sp: NON_CANONICAL }],
    ['fs_base', { fs_base: NON_CANONICAL }],
    ['gs_base_kernel', { gs_base_kernel: NON_CANONICAL }],
    ['gs_base_user', { gs_base_user: NON_CANONICAL }],
    ['event callback', { event_callback_eip: NON_CANONICAL }],
    ['syscall callback', { syscall_callback_eip: NON_CANONICAL }],
    ['failsafe callback', { failsafe_callback_eip: NON_CANONICAL }],
    ['a trap', { trap_ctxt: trap_ctxt.map((t, i) => (i === 255 ? { ...t, address: NON_CANONICAL } : t)) }],
    ['an LDT in the hole', { ldt_base: HOLE_VA, ldt_ents: 1n }],
    ['an LDT not at a page', { ldt_base: 0x8008n, ldt_ents: 1n }],
    ['an LDT too long', { ldt_base: 0x8000n, ldt_ents: 8193n }],
    ['user mode', { flags: 0n }],
    ['a GDT too long', { gdt_ents: 7169n }],
    ['a GDT beyond numbers', { gdt_ents: 2n ** 64n - 1n }],
    ['a GDT in a page table', { gdt_frames: [BigInt(L1_MFN)] }],
    ['a GDT of Xen', { gdt_frames: [BigInt(NR_PAGES)] }],
    ['an L1 as L4', { ctrlreg: ctrlreg(BigInt(L1_MFN) << 12n) }],
    ['an L4 of Xen', { ctrlreg: ctrlreg(BigInt(NR_PAGES) << 12n) }],
    ['an L4 beyond numbers', { ctrlreg: ctrlreg(2n ** 64n - 1n) }],
    ['an L1 as user L4', { ctrlreg: ctrlreg(CR3, BigInt(L1_MFN) << 12n) }],
  ];
  it.each(cases)('%s', (_name, change) => {
    const guest = open({ vcpus: 2 });
    const before = [references(guest, L4_MFN), references(guest, L1_MFN)];
    expect(initialise(guest, change)).toBe(-EINVAL);
    expect([guest.vcpus[1]!.initialised, guest.vcpus[1]!.area.get('kernel_sp')]).toEqual([false, 0n]);
    // No reference is left behind.
    expect([references(guest, L4_MFN), references(guest, L1_MFN)]).toEqual(before);
    expect([references(guest, GDT_MFN), gdtSlot(guest)]).toEqual([0, 0n]);
  });
});
