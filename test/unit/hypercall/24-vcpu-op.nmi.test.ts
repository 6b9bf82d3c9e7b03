/** VCPUOP_send_nmi: one NMI at a time, whatever the guest's stack and handler are. */
import { afterEach, expect, it } from 'vitest';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { iret_context } from '../../../src/xenner/abi/arch-x86.js';
import { EINVAL } from '../../../src/xenner/abi/errno.js';
import { SHUTDOWN_crash } from '../../../src/xenner/abi/sched.js';
import { VCPUOP_send_nmi } from '../../../src/xenner/abi/vcpu.js';
import { iret } from '../../../src/xenner/hypercall/23-iret.js';
import { vcpu_op } from '../../../src/xenner/hypercall/24-vcpu-op.js';
import * as monitor from '../../../src/xenner/monitor/vcpu-area.js';
import { guests, HOLE_VA, READ_ONLY_VA, UNMAPPED_VA } from './guest.js';
import { va } from './harness.js';

const { open, closeAll } = guests();
afterEach(closeAll);

const HANDLER = 0xffffffff81234000n;
const block = monitor.blockOffset(0) + monitor.BLOCK_STACK_TOP - monitor.regs.size;

/** A guest in the middle of a hypercall, with a handler. */
function ready(flags = 4n) {
  const guest = open();
  const { area } = guest.vcpus[0]!;
  const rsp = guest.room(256) + 250n;
  area.set('registers', BigInt(block));
  area.set('kernel_ss', 0x2bn);
  const traps = area.words('traps');
  traps[4] = HANDLER;
  traps[5] = 0xe033n | (flags << 16n);
  const registers = { rcx: 1n, r11: 2n, rip: 0x1002n, rsp, rflags: 0x47746n, cs: 0xe061n, ss: 0xe069n };
  const at = gpa(area.gpa - monitor.BLOCK_VCPU_AREA + monitor.BLOCK_STACK_TOP - monitor.regs.size);
  guest.memory.copyIn(at, monitor.regs.create(registers));
  return {
    guest,
    rsp,
    at,
    send: (arg = 0n, vcpu = 0) => guest.result(vcpu_op, [VCPUOP_send_nmi, vcpu, arg]),
  };
}

it.each([
  [4n, 0, 1],
  [4n, 1, 1],
  [0n, 0, 0],
])('enters the handler (flags %i, mask %i)', (flags, mask, maskInside) => {
  const { guest, rsp, at, send } = ready(flags);
  guest.upcall('evtchn_upcall_mask', mask);
  expect(send()).toBe(0);
  const sp = (rsp & ~15n) - 56n;
  expect(monitor.regs.decode(guest.memory.copyOut(at, monitor.regs.size))).toMatchObject({
    rip: HANDLER,
    rsp: sp,
    rflags: 0x246n,
    cs: 0xe061n,
  });
  const frame = Array.from({ length: 7 }, (_, i) => guest.vcpus[0]!.guest.readU64(sp + BigInt(i * 8)));
  const shownFlags = mask === 0 ? 0x44746n | 0x200n : 0x44546n;
  expect(frame).toEqual([1n, 2n, 0x1002n, 0xe030n | (BigInt(mask) << 32n), shownFlags, rsp, 0x2bn]);
  expect([guest.upcall('evtchn_upcall_mask'), guest.vcpus[0]!.area.low('kernel_ss')]).toEqual([
    maskInside,
    0xe02b,
  ]);
});
it('waits for the iret of the handler, which the monitor may not serve', () => {
  const { guest, at, send } = ready();
  const { area, nmi } = guest.vcpus[0]!;
  area.setLow('fast_paths', monitor.DOMAIN_FAST_PATHS);
  send();
  expect([nmi.inHandler, area.low('fast_paths')]).toEqual([true, 0]);
  const inside = monitor.regs.decode(guest.memory.copyOut(at, monitor.regs.size));
  expect([send(), send(), nmi.pending]).toEqual([0, 0, true]);
  expect(monitor.regs.decode(guest.memory.copyOut(at, monitor.regs.size))).toEqual(inside);
  const back = { rip: 0x7777n, cs: 0xe030n, rflags: 0x202n, rsp: va(210 * 4096), ss: 0xe02bn, rax: 5n };
  const frame = guest.put(iret_context, back);
  guest.memory.writeU64(gpa(at + monitor.regs.offsetof('rsp')), frame);
  expect(guest.call(iret, [])).toBe(5n);
  // The second one, on top of where the first returned to; the third was the second.
  expect(monitor.regs.decode(guest.memory.copyOut(at, monitor.regs.size))).toMatchObject({
    rip: HANDLER,
    rsp: va(210 * 4096) - 56n,
  });
  expect([nmi.pending, nmi.inHandler, area.low('fast_paths')]).toEqual([false, true, 0]);
  guest.memory.writeU64(gpa(at + monitor.regs.offsetof('rsp')), frame);
  guest.call(iret, []);
  expect(monitor.regs.decode(guest.memory.copyOut(at, monitor.regs.size)).rip).toBe(0x7777n);
  expect([nmi.inHandler, area.low('fast_paths')]).toEqual([false, monitor.DOMAIN_FAST_PATHS]);
});
it('waits, and enters from user mode on the kernel’s stack', () => {
  const { guest, at, send } = ready();
  const { area } = guest.vcpus[0]!;
  area.set('user_cr3', 0x8000n);
  area.set('kernel_sp', va(220 * 4096 + 12));
  send();
  send();
  const frame = guest.put(iret_context, { rip: 0x400n, cs: 0x33n, rflags: 0x202n, rsp: 0x500n, ss: 0x2bn });
  guest.memory.writeU64(gpa(at + monitor.regs.offsetof('rsp')), frame);
  guest.call(iret, []);
  const sp = va(220 * 4096) - 56n;
  expect(monitor.regs.decode(guest.memory.copyOut(at, monitor.regs.size))).toMatchObject({
    rip: HANDLER,
    rsp: sp,
    cs: BigInt(monitor.SEL_KERNEL_CS),
    ss: BigInt(monitor.SEL_KERNEL_SS),
  });
  const words = Array.from({ length: 5 }, (_, i) => guest.vcpus[0]!.guest.readU64(sp + BigInt(16 + i * 8)));
  expect(words).toEqual([0x400n, 0x33n, 0x202n, 0x500n, 0x2bn]);
  // Out to user mode and in again: GS stays the kernel's.
  expect([area.low('user'), guest.pending()]).toEqual([0, 0]);
});
it('takes no argument, and has another vCPU come for its own', () => {
  const { guest, send } = ready();
  expect(send(1n)).toBe(-EINVAL);
  const two = open({ vcpus: 2 });
  const [first, second] = two.vcpus;
  expect(two.result(vcpu_op, [VCPUOP_send_nmi, 1, 0])).toBe(0);
  expect([first!, second!].map(({ nmi, area }) => [nmi.pending, nmi.inHandler, area.low('nmi')])).toEqual([
    [false, false, 0],
    [true, false, 1],
  ]);
  expect(guest.shutdowns).toEqual([]);
});
it('crashes a guest without a handler', () => {
  const { guest, send } = ready();
  guest.vcpus[0]!.area.words('traps')[4] = 0n;
  expect([send(), guest.shutdowns]).toEqual([0, [SHUTDOWN_crash]]);
});
it.each([READ_ONLY_VA + 128n, UNMAPPED_VA, HOLE_VA + 0x1000n, 8n])(
  'crashes a guest whose stack is %s',
  (rsp) => {
    const { guest, at, send } = ready();
    guest.memory.writeU64(gpa(at + monitor.regs.offsetof('rsp')), rsp);
    expect([send(), guest.shutdowns]).toEqual([0, [SHUTDOWN_crash]]);
  },
);
