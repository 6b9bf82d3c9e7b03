/** iret: a frame on the guest's stack becomes the registers that it goes on with. */
import { afterEach, describe, expect, it } from 'vitest';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { iret_context, VGCF_in_syscall } from '../../../src/xenner/abi/arch-x86.js';
import { SHUTDOWN_crash } from '../../../src/xenner/abi/sched.js';
import { VMASST_TYPE_architectural_iopl } from '../../../src/xenner/abi/xen.js';
import { iret } from '../../../src/xenner/hypercall/23-iret.js';
import * as monitor from '../../../src/xenner/monitor/vcpu-area.js';
import { BAD_POINTERS, type Guest, guests } from './guest.js';
import { va } from './harness.js';

const { open, closeAll } = guests();
afterEach(closeAll);

const TOP = monitor.blockOffset(0) + monitor.BLOCK_STACK_TOP - monitor.regs.size;
const CALLER = {
  rcx: 0xc0n,
  r11: 0x11n,
  r15: 0x15n,
  rax: 23n,
  rip: 0x999n,
  cs: 0xe061n,
  ss: 0xe069n,
  rflags: 0x202n,
};
const FRAME = {
  rax: 0xaan,
  r11: 0xbbn,
  rcx: 0xccn,
  flags: 0n,
  rip: 0xffffffff81000000n,
  cs: 0xe030n,
  rflags: 0x246n,
  rsp: 0xffff888000001000n,
  ss: 0xe02bn,
};

/** A guest whose monitor stands in the hypercall, with `frame` on its stack. */
function inIret(frame: Partial<typeof FRAME>, offset = TOP): Guest {
  const guest = open();
  const rsp = guest.put(iret_context, { ...FRAME, ...frame });
  guest.vcpus[0]!.area.set('user_cr3', 0x8000n);
  guest.vcpus[0]!.area.set('registers', BigInt(offset));
  guest.memory.copyIn(gpa(physical(guest)), monitor.regs.create({ ...CALLER, rsp }));
  return guest;
}

/** The block lies around the vCPU's area as it does in the monitor's image. */
function physical(guest: Guest): number {
  return guest.vcpus[0]!.area.gpa - monitor.BLOCK_VCPU_AREA + monitor.BLOCK_STACK_TOP - monitor.regs.size;
}

function registers(guest: Guest) {
  return monitor.regs.decode(guest.memory.copyOut(gpa(physical(guest)), monitor.regs.size));
}

it('goes on in the kernel', () => {
  const guest = inIret({});
  expect(guest.call(iret, [])).toBe(0xaan);
  expect(registers(guest)).toMatchObject({
    r11: 0xbbn,
    rcx: 0xccn,
    rip: FRAME.rip,
    rsp: FRAME.rsp,
    rflags: 0x246n,
    // The monitor's own selectors for ring 1, and what is not in the frame.
    cs: CALLER.cs,
    ss: CALLER.ss,
    r15: CALLER.r15,
  });
  const { area } = guest.vcpus[0]!;
  expect([area.get('kernel_ss'), area.low('user'), guest.pending()]).toEqual([0xe02bn, 0, 0]);
});

it('goes on in user mode', () => {
  const guest = inIret({ cs: 0x12340000e033n, ss: 0x5678002bn });
  expect(guest.call(iret, [])).toBe(0xaan);
  expect(registers(guest)).toMatchObject({ cs: 0xe033n, ss: 0x2bn });
  expect([guest.vcpus[0]!.area.low('user'), guest.pending()]).toEqual([1, monitor.PENDING_SWAPGS]);
});

it('swaps GS back if it was to be swapped already', () => {
  const guest = inIret({ cs: 0xe033n });
  guest.vcpus[0]!.addPending(monitor.PENDING_SWAPGS | monitor.PENDING_CR3);
  guest.call(iret, []);
  expect(guest.pending()).toBe(monitor.PENDING_CR3);
});

it('leaves rcx and r11 as SYSRET does, if asked', () => {
  const guest = inIret({ flags: BigInt(VGCF_in_syscall), rflags: 0x3246n });
  guest.call(iret, []);
  expect(registers(guest)).toMatchObject({ rcx: FRAME.rip, r11: 0x3246n, rflags: 0x246n });
});

describe('flags', () => {
  it.each([
    ['IF masks nothing', 0x246n, 0x246n, 0],
    ['without IF events are masked', 0x046n, 0x246n, 1],
    ['VM and IOPL stay out', 0x23246n, 0x246n, 0],
    ['TF, DF, NT, AC, RF and ID come in', 0x254700n, 0x254702n, 0],
  ])('%s', (_name, given, got, mask) => {
    const guest = inIret({ rflags: given });
    guest.upcall('evtchn_upcall_mask', mask ^ 1);
    guest.call(iret, []);
    expect([registers(guest).rflags, guest.upcall('evtchn_upcall_mask')]).toEqual([got, mask]);
  });
  it.each([
    [0n, 0],
    [1n << BigInt(VMASST_TYPE_architectural_iopl), 3],
  ])('IOPL counts for a guest that asked for an architectural one: vm_assist %s', (vmAssist, iopl) => {
    const guest = inIret({ rflags: 0x3246n });
    guest.domain.vmAssist = vmAssist;
    guest.call(iret, []);
    expect(guest.vcpus[0]!.area.low('iopl')).toBe(iopl);
  });
});

describe('to a kernel with a null ss', () => {
  const HANDLER = 0xffffffff81111000n;
  it('is a #GP where it would have gone', () => {
    const guest = inIret({ ss: 3n, rsp: va(200 * 4096 + 8), rip: 0x1234n });
    const { area, guest: memory } = guest.vcpus[0]!;
    area.words('traps')[26] = HANDLER;
    area.words('traps')[27] = 0x4e033n;
    expect(guest.call(iret, [])).toBe(0xaan);
    const sp = va(200 * 4096) - 64n;
    expect(registers(guest)).toMatchObject({ rip: HANDLER, rsp: sp });
    const frame = Array.from({ length: 8 }, (_, i) => memory.readU64(sp + BigInt(i * 8)));
    expect(frame).toEqual([0xccn, 0xbbn, 0n, 0x1234n, 0xe030n, 0x246n, va(200 * 4096 + 8), 3n]);
    expect(guest.upcall('evtchn_upcall_mask')).toBe(1);
  });
  it('without a handler is the end', () => {
    const guest = inIret({ ss: 0n });
    expect(guest.call(iret, [])).toBe(0n);
    expect(guest.shutdowns).toEqual([SHUTDOWN_crash]);
  });
});

describe('a guest that broke something crashes', () => {
  it.each(BAD_POINTERS)('its stack: %s', (rsp) => {
    const guest = inIret({});
    guest.memory.copyIn(gpa(physical(guest)), monitor.regs.create({ ...CALLER, rsp }));
    expect(guest.call(iret, [])).toBe(0n);
    expect(guest.shutdowns).toEqual([SHUTDOWN_crash]);
    expect(registers(guest)).toMatchObject(CALLER);
  });
  it('its user page tables, which are none', () => {
    const guest = inIret({ cs: 0xe033n });
    guest.vcpus[0]!.area.set('user_cr3', 0n);
    expect([guest.call(iret, []), guest.shutdowns, guest.vcpus[0]!.area.low('user')]).toEqual([
      0n,
      [SHUTDOWN_crash],
      0,
    ]);
  });
  const block = monitor.blockOffset(0);
  it.each([
    ['above the stack', TOP + 8],
    ['below the stack: the vCPU area', block + monitor.BLOCK_VCPU_AREA],
    ['one word below', block + monitor.BLOCK_VCPU_AREA + monitor.vcpu_area.size - 8],
    ['unaligned', TOP - 4],
    ["another vCPU's", TOP + monitor.BLOCK_SIZE],
    ["the monitor's text", 0],
    ['beyond numbers', 2n ** 64n - 1n],
  ])('its register frame: %s', (_name, offset) => {
    const guest = inIret({});
    const rsp = guest.put(iret_context, FRAME);
    // Registers that would do, if the place would.
    const distance = Number(offset) - TOP;
    if (Math.abs(distance) < monitor.BLOCK_SIZE)
      guest.memory.copyIn(gpa(physical(guest) + distance), monitor.regs.create({ ...CALLER, rsp }));
    guest.vcpus[0]!.area.set('registers', BigInt(offset));
    const before = guest.memory.copyOut(gpa(guest.vcpus[0]!.area.gpa), 0x6000);
    expect(guest.call(iret, [])).toBe(0n);
    expect(guest.shutdowns).toEqual([SHUTDOWN_crash]);
    expect(guest.memory.copyOut(gpa(guest.vcpus[0]!.area.gpa), 0x6000)).toEqual(before);
  });
});

it('takes a frame anywhere on its stack', () => {
  const lowest = monitor.BLOCK_VCPU_AREA + monitor.vcpu_area.size;
  const guest = open();
  const rsp = guest.put(iret_context, FRAME);
  const at = guest.vcpus[0]!.area.gpa - monitor.BLOCK_VCPU_AREA + lowest;
  guest.vcpus[0]!.area.set('registers', BigInt(monitor.blockOffset(0) + lowest));
  guest.memory.copyIn(gpa(at), monitor.regs.create({ ...CALLER, rsp }));
  expect(guest.call(iret, [])).toBe(0xaan);
  expect(monitor.regs.decode(guest.memory.copyOut(gpa(at), monitor.regs.size)).rip).toBe(FRAME.rip);
});
