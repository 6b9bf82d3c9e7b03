/** set_trap_table, set_callbacks, nmi_op and callback_op: where a guest's kernel is entered. */
import { afterEach, describe, expect, it } from 'vitest';
import { MAX_TRAP_TABLE_ENTRIES } from '../../../src/base/limits.js';
import { trap_info } from '../../../src/xenner/abi/arch-x86.js';
import * as callback from '../../../src/xenner/abi/callback.js';
import { E2BIG, EFAULT, EINVAL, ENOSYS } from '../../../src/xenner/abi/errno.js';
import * as nmi from '../../../src/xenner/abi/nmi.js';
import { set_trap_table } from '../../../src/xenner/hypercall/00-set-trap-table.js';
import { set_callbacks } from '../../../src/xenner/hypercall/04-set-callbacks.js';
import { nmi_op } from '../../../src/xenner/hypercall/28-nmi-op.js';
import { callback_op } from '../../../src/xenner/hypercall/30-callback-op.js';
import { BAD_POINTERS, type Guest, guests, NON_CANONICAL } from './guest.js';

const { open, closeAll } = guests();
afterEach(closeAll);

const HANDLER = 0xffffffff81000000n;

/** An entry of the monitor's trap table: [address, cs, flags]. */
function trap(guest: Guest, vector: number): [bigint, number, number] {
  const words = guest.vcpus[0]!.area.words('traps');
  const rest = Number(words[vector * 2 + 1]!);
  return [words[vector * 2]!, rest & 0xffff, rest >>> 16];
}

const entry = (vector: number, address = HANDLER + BigInt(vector), flags = 0, cs = 0xe033) => ({
  vector,
  flags,
  cs,
  address,
});

describe('set_trap_table', () => {
  it('takes entries up to the one without an address', () => {
    const guest = open();
    const table = guest.putAll(trap_info, [
      entry(3, HANDLER, 3),
      entry(14, HANDLER, 4),
      entry(0, 0n),
      entry(6),
    ]);
    expect(guest.result(set_trap_table, [table])).toBe(0);
    expect([3, 14, 6, 0].map((vector) => trap(guest, vector))).toEqual([
      [HANDLER, 0xe033, 3],
      [HANDLER, 0xe033, 4],
      [0n, 0, 0],
      [0n, 0, 0],
    ]);
  });
  it('raises a code selector to ring 3', () => {
    const guest = open();
    guest.result(set_trap_table, [guest.putAll(trap_info, [entry(1, HANDLER, 0, 0xe030), entry(0, 0n)])]);
    expect(trap(guest, 1)).toEqual([HANDLER, 0xe033, 0]);
  });
  it('without a table clears all', () => {
    const guest = open();
    guest.result(set_trap_table, [guest.putAll(trap_info, [entry(0), entry(255), entry(0, 0n)])]);
    expect(trap(guest, 255)[0]).toBe(HANDLER + 255n);
    expect(guest.result(set_trap_table, [0])).toBe(0);
    expect([trap(guest, 0), trap(guest, 255)]).toEqual([
      [0n, 0, 0],
      [0n, 0, 0],
    ]);
  });
  it('does not reach beyond the table into what follows it', () => {
    const guest = open();
    const after = guest.vcpus[0]!.area.words('traps').length;
    expect(after).toBe(512);
  });
  it('keeps what came before a bad entry', () => {
    const guest = open();
    const table = guest.putAll(trap_info, [entry(1), entry(2, NON_CANONICAL), entry(3)]);
    expect(guest.result(set_trap_table, [table])).toBe(-EINVAL);
    expect([1, 2, 3].map((vector) => trap(guest, vector)[0])).toEqual([HANDLER + 1n, 0n, 0n]);
  });
  it('ends at some number of entries', () => {
    const guest = open();
    const table = guest.putAll(trap_info, new Array(MAX_TRAP_TABLE_ENTRIES).fill(entry(1)));
    expect(guest.result(set_trap_table, [table])).toBe(-E2BIG);
  });
  it.each(BAD_POINTERS.filter((at) => at !== 0n))('at %s', (at) => {
    expect(open().result(set_trap_table, [at])).toBe(-EFAULT);
  });
});

describe('set_callbacks', () => {
  it('sets three, and leaves out a bad address without a word', () => {
    const guest = open();
    const { area } = guest.vcpus[0]!;
    area.setLow('syscall_flags', 1);
    expect(guest.result(set_callbacks, [HANDLER, HANDLER + 1n, HANDLER + 2n])).toBe(0);
    expect(guest.result(set_callbacks, [NON_CANONICAL, 0x1000, NON_CANONICAL])).toBe(0);
    expect([area.get('event_callback'), area.get('failsafe_callback'), area.get('syscall_callback')]).toEqual(
      [HANDLER, 0x1000n, HANDLER + 2n],
    );
    expect(area.low('syscall_flags')).toBe(0);
  });
});

describe('callback_op', () => {
  const register = (guest: Guest, type: number, address = HANDLER, flags = 0) =>
    guest.result(callback_op, [
      callback.CALLBACKOP_register,
      guest.put(callback.callback_register, { type, flags, address }),
    ]);
  const unregister = (guest: Guest, type: number) =>
    guest.result(callback_op, [
      callback.CALLBACKOP_unregister,
      guest.put(callback.callback_unregister, { type }),
    ]);

  it.each([
    [callback.CALLBACKTYPE_event, 0],
    [callback.CALLBACKTYPE_failsafe, 0],
    [callback.CALLBACKTYPE_syscall, 0],
    [callback.CALLBACKTYPE_sysenter_deprecated, -ENOSYS],
    [callback.CALLBACKTYPE_nmi, 0],
    [callback.CALLBACKTYPE_sysenter, -ENOSYS],
    [6, -ENOSYS],
    [callback.CALLBACKTYPE_syscall32, -ENOSYS],
    [0xffff, -ENOSYS],
  ])('registers type %i with %i', (type, expected) => {
    const guest = open();
    expect(register(guest, type)).toBe(expected);
    expect(register(guest, type, NON_CANONICAL)).toBe(-EINVAL);
  });
  it('keeps whether a syscall masks events', () => {
    const guest = open();
    register(guest, callback.CALLBACKTYPE_syscall, HANDLER, 0xffff);
    expect(guest.vcpus[0]!.area.get('syscall_flags')).toBe(1n);
    register(guest, callback.CALLBACKTYPE_syscall, HANDLER, 0xfffe);
    expect(guest.vcpus[0]!.area.get('syscall_flags')).toBe(0n);
  });
  it('has an NMI enter with events masked, and gives the entry back', () => {
    const guest = open();
    register(guest, callback.CALLBACKTYPE_nmi);
    expect(trap(guest, 2)).toEqual([HANDLER, 0xe033, 4]);
    expect(unregister(guest, callback.CALLBACKTYPE_nmi)).toBe(0);
    expect(trap(guest, 2)).toEqual([0n, 0, 0]);
  });
  it.each([
    [callback.CALLBACKTYPE_event, -EINVAL],
    [callback.CALLBACKTYPE_syscall, -EINVAL],
    [callback.CALLBACKTYPE_sysenter, -EINVAL],
    [callback.CALLBACKTYPE_syscall32, -EINVAL],
    [callback.CALLBACKTYPE_sysenter_deprecated, -ENOSYS],
    [99, -ENOSYS],
  ])('unregisters type %i with %i', (type, expected) => {
    expect(unregister(open(), type)).toBe(expected);
  });
  it.each([2, -1, 0x7fffffff])('has no operation %i', (cmd) => {
    expect(open().result(callback_op, [cmd, 0])).toBe(-ENOSYS);
  });
  it.each(BAD_POINTERS)('at %s', (at) => {
    const guest = open();
    expect([guest.result(callback_op, [0, at]), guest.result(callback_op, [1, at])]).toEqual([
      -EFAULT,
      -EFAULT,
    ]);
  });
});

describe('nmi_op', () => {
  it('registers and unregisters', () => {
    const guest = open();
    const arg = guest.put(nmi.xennmi_callback, { handler_address: HANDLER });
    expect(guest.result(nmi_op, [nmi.XENNMI_register_callback, arg])).toBe(0);
    expect(trap(guest, 2)).toEqual([HANDLER, 0xe033, 4]);
    expect(guest.result(nmi_op, [nmi.XENNMI_unregister_callback, 0])).toBe(0);
    expect(trap(guest, 2)[0]).toBe(0n);
  });
  it('refuses the rest', () => {
    const guest = open();
    const arg = guest.put(nmi.xennmi_callback, { handler_address: NON_CANONICAL });
    expect(
      [[0, arg] as const, [0, 0] as const, [2, arg] as const].map((args) => guest.result(nmi_op, args)),
    ).toEqual([-EINVAL, -EFAULT, -ENOSYS]);
  });
});
