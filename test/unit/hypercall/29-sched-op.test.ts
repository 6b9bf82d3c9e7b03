/** sched_op, sched_op_compat and set_timer_op: giving up the CPU, for a while or for good. */
import { afterEach, describe, expect, it } from 'vitest';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { EFAULT, EINVAL, ENOSPC, ENOSYS, EPERM, ESRCH } from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/sched.js';
import { shared_info } from '../../../src/xenner/abi/xen.js';
import { sched_op_compat } from '../../../src/xenner/hypercall/06-sched-op-compat.js';
import { set_timer_op } from '../../../src/xenner/hypercall/15-set-timer-op.js';
import { sched_op } from '../../../src/xenner/hypercall/29-sched-op.js';
import { BAD_POINTERS, type Guest, guests, HOLE_VA, NOW, UNMAPPED_VA } from './guest.js';
import { DOMID } from './harness.js';

const { open, closeAll } = guests();
afterEach(closeAll);

function setPending(guest: Guest, port: number): void {
  const at = gpa(guest.domain.sharedInfo + shared_info.offsetof('evtchn_pending') + (port >>> 3));
  guest.memory.writeU8(at, guest.memory.readU8(at) | (1 << (port & 7)));
}

describe.each([
  ['sched_op', sched_op],
  ['sched_op_compat', sched_op_compat],
])('%s', (_name, call) => {
  it('yields', () => {
    expect(open().result(call, [abi.SCHEDOP_yield, UNMAPPED_VA])).toBe(0);
  });
  it('blocks with events enabled', () => {
    const guest = open();
    guest.upcall('evtchn_upcall_mask', 1);
    expect(guest.result(call, [abi.SCHEDOP_block, UNMAPPED_VA])).toBe(0);
    expect([guest.blocked, guest.upcall('evtchn_upcall_mask')]).toEqual([[0], 0]);
  });
  it('does not block when an event is there', () => {
    const guest = open();
    guest.upcall('evtchn_upcall_mask', 1);
    guest.upcall('evtchn_upcall_pending', 1);
    expect(guest.result(call, [abi.SCHEDOP_block, 0])).toBe(0);
    expect([guest.blocked, guest.upcall('evtchn_upcall_mask')]).toEqual([[], 0]);
  });
  it.each([8, 99, -1])('has no operation %i', (cmd) => {
    expect(open().result(call, [cmd, 0])).toBe(-ENOSYS);
  });
});

describe('shutdown', () => {
  const shutdown = (guest: Guest, reason: number, cmd = abi.SCHEDOP_shutdown) =>
    guest.result(sched_op, [cmd, guest.put(abi.sched_shutdown, { reason })]);

  it.each([0, 1, 2, 3, 4, 5, 6, 255])('for reason %i', (reason) => {
    const guest = open();
    expect([shutdown(guest, reason), guest.shutdowns]).toEqual([0, [reason]]);
    expect([guest.result(sched_op_compat, [2, reason]), guest.shutdowns]).toEqual([0, [reason, reason]]);
  });
  it('has a reason of 8 bits', () => {
    const guest = open();
    expect([shutdown(guest, 0x101), guest.shutdowns]).toEqual([0, [abi.SHUTDOWN_reboot]]);
  });
  it('reports the code that was set first', () => {
    const guest = open();
    expect(shutdown(guest, abi.SHUTDOWN_crash, abi.SCHEDOP_shutdown_code)).toBe(0);
    expect(shutdown(guest, abi.SHUTDOWN_reboot, abi.SCHEDOP_shutdown_code)).toBe(0);
    expect(guest.shutdowns).toEqual([]);
    expect([shutdown(guest, abi.SHUTDOWN_poweroff), guest.shutdowns]).toEqual([0, [abi.SHUTDOWN_crash]]);
  });
  it.each([
    [DOMID, -EPERM],
    [0, -EPERM],
    [0x7ff0, -ESRCH],
    [5, -ESRCH],
  ])('of domain %i', (domain_id, expected) => {
    const guest = open();
    const arg = guest.put(abi.sched_remote_shutdown, { domain_id, reason: 0 });
    expect([guest.result(sched_op, [abi.SCHEDOP_remote_shutdown, arg]), guest.shutdowns]).toEqual([
      expected,
      [],
    ]);
  });
});

describe('poll', () => {
  function poll(
    guest: Guest,
    ports: readonly number[],
    more: { timeout?: bigint; nr_ports?: number; at?: bigint } = {},
  ) {
    const list = more.at ?? guest.room(4 * 256);
    const bytes = new Uint8Array(Uint32Array.from(ports).buffer);
    if (more.at === undefined) guest.vcpus[0]!.guest.write(list, bytes);
    const { timeout = 0n, nr_ports = ports.length } = more;
    return guest.result(sched_op, [
      abi.SCHEDOP_poll,
      guest.put(abi.sched_poll, { ports: list, nr_ports, timeout }),
    ]);
  }
  /** Bound and masked, as a guest that polls has it. */
  function masked(ports: number): Guest {
    const guest = open();
    for (let i = 0; i < ports; i++) guest.domain.events.bindIpi(0);
    guest.upcall('evtchn_upcall_mask', 1);
    return guest;
  }

  it('sleeps for its ports and its time-out', () => {
    const guest = masked(3);
    expect(poll(guest, [1, 3], { timeout: 77n })).toBe(0);
    expect(guest.polls).toEqual([{ ports: [1, 3], timeoutNs: 77 }]);
  });
  const cases: Array<{ name: string; op: (guest: Guest) => number; expect: number; sleeps: boolean }> = [
    {
      name: 'a port that is pending',
      op: (g) => {
        setPending(g, 2);
        return poll(g, [1, 2, 9999]);
      },
      expect: 0,
      sleeps: false,
    },
    {
      name: 'an event that can be delivered, before it looks at the ports',
      op: (g) => {
        g.upcall('evtchn_upcall_pending', 1);
        g.upcall('evtchn_upcall_mask', 0);
        return poll(g, [9999]);
      },
      expect: 0,
      sleeps: false,
    },
    { name: 'no ports', op: (g) => poll(g, [], { timeout: 5n }), expect: 0, sleeps: true },
    { name: '128 ports', op: (g) => poll(g, new Array(128).fill(1)), expect: 0, sleeps: true },
    { name: '129 ports', op: (g) => poll(g, new Array(129).fill(1)), expect: -EINVAL, sleeps: false },
    {
      name: 'very many ports',
      op: (g) => poll(g, [1], { nr_ports: 0xffffffff }),
      expect: -EINVAL,
      sleeps: false,
    },
    { name: 'a port that cannot be', op: (g) => poll(g, [1, 4096]), expect: -EINVAL, sleeps: false },
    { name: 'a port beyond', op: (g) => poll(g, [0xffffffff]), expect: -EINVAL, sleeps: false },
    { name: 'ports in the hole', op: (g) => poll(g, [1], { at: HOLE_VA }), expect: -EFAULT, sleeps: false },
    {
      name: 'ports that are not there',
      op: (g) => poll(g, [1], { at: UNMAPPED_VA }),
      expect: -EFAULT,
      sleeps: false,
    },
  ];
  it.each(cases)('$name', ({ op, expect: expected, sleeps }) => {
    const guest = masked(3);
    expect([op(guest), guest.polls.length > 0]).toEqual([expected, sleeps]);
  });
  it('for a time that wrapped: it is over', () => {
    const guest = masked(1);
    poll(guest, [1], { timeout: 2n ** 63n });
    expect(guest.polls[0]!.timeoutNs).toBe(1);
  });
});

describe('watchdog', () => {
  const watchdog = (guest: Guest, id: number, timeout: number) =>
    guest.result(sched_op, [abi.SCHEDOP_watchdog, guest.put(abi.sched_watchdog, { id, timeout })]);
  it('gives out two, with the earlier deadline to look for', () => {
    const guest = open();
    expect([watchdog(guest, 0, 60), watchdog(guest, 0, 30), watchdog(guest, 0, 1)]).toEqual([1, 2, -ENOSPC]);
    expect(guest.domain.watchdogs.deadline).toBe(NOW + 30e9);
    expect([watchdog(guest, 2, 90), guest.domain.watchdogs.deadline]).toEqual([0, NOW + 60e9]);
  });
  it('takes them back', () => {
    const guest = open();
    watchdog(guest, 0, 60);
    expect([watchdog(guest, 1, 0), guest.domain.watchdogs.deadline]).toEqual([0, Number.POSITIVE_INFINITY]);
    expect([watchdog(guest, 1, 5), watchdog(guest, 0, 0)]).toEqual([-EINVAL, 1]);
    // Time is up at once.
    expect(guest.domain.watchdogs.deadline).toBe(NOW);
  });
  it.each([1, 2, 3, 0xffffffff])('does not know %i', (id) => {
    expect(watchdog(open(), id, 5)).toBe(-EINVAL);
  });
});

it('pin_override is for a hardware domain', () => {
  expect(open().result(sched_op, [abi.SCHEDOP_pin_override, UNMAPPED_VA])).toBe(-EPERM);
});

it.each([2, 3, 4, 5, 6])('operation %i on what cannot be read', (cmd) => {
  const guest = open();
  expect(BAD_POINTERS.map((at) => guest.result(sched_op, [cmd, at]))).toEqual(
    BAD_POINTERS.map(() => -EFAULT),
  );
  expect([guest.shutdowns, guest.polls]).toEqual([[], []]);
});

describe('set_timer_op', () => {
  it.each([
    ['0 stops it', 0n, 0],
    ['a time', 6_000_000_000n, 6e9],
    ['the past', 1n, 1],
    ['almost 13 days', BigInt(NOW) + 2n ** 50n - 1n, NOW + 2 ** 50 - 1],
    ['13 days', BigInt(NOW) + 2n ** 50n, NOW + 100e6],
    ['for ever', 2n ** 63n - 1n, NOW + 100e6],
    ['a time that wrapped', 2n ** 63n, NOW + 100e6],
    ['minus 1', 2n ** 64n - 1n, NOW + 100e6],
  ])('%s', (_name, timeout, deadline) => {
    const guest = open();
    expect(guest.result(set_timer_op, [timeout])).toBe(0);
    expect(guest.timers).toEqual([[0, deadline]]);
  });
});
