/** Delivery: which bits an event sets, whom it wakes, and the host's end of a port. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { EINVAL, ENOSPC } from '../../../src/xenner/abi/errno.js';
import {
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_unbound,
} from '../../../src/xenner/abi/event-channel.js';
import { DOMID_SELF, shared_info, VIRQ_CONSOLE, VIRQ_TIMER } from '../../../src/xenner/abi/xen.js';
import { EventChannels } from '../../../src/xenner/event-channels.js';
import { DOMID, Harness } from '../hypercall/harness.js';

const PORTS = 4096;

class Guest extends Harness {
  readonly woken: number[] = [];
  readonly timerPorts: [vcpu: number, port: number][] = [];
  readonly events: EventChannels;

  constructor() {
    super({ vcpus: 2 });
    this.domain.wake = (id) => this.woken.push(id);
    this.domain.timerPort = (id, port) => this.timerPorts.push([id, port]);
    this.events = new EventChannels(this.domain);
  }

  #bitmap(member: string): number[] {
    const bits = this.memory.copyOut(gpa(this.domain.sharedInfo + shared_info.offsetof(member)), PORTS / 8);
    return Array.from({ length: PORTS }, (_, bit) => bit).filter((bit) => (bits[bit >> 3]! >> (bit & 7)) & 1);
  }
  get pending(): number[] {
    return this.#bitmap('evtchn_pending');
  }
  get masked(): number[] {
    return this.#bitmap('evtchn_mask');
  }
  mask(port: number): void {
    const byte = gpa(this.domain.sharedInfo + shared_info.offsetof('evtchn_mask') + (port >> 3));
    this.memory.writeU8(byte, this.memory.readU8(byte) | (1 << (port & 7)));
  }
  /** [evtchn_upcall_pending, evtchn_upcall_mask, evtchn_pending_sel] */
  upcall(id: number): [number, number, bigint] {
    const { vcpuInfo } = this.vcpus[id]!;
    return [
      this.memory.readU8(vcpuInfo),
      this.memory.readU8(gpa(vcpuInfo + 1)),
      this.memory.readU64(gpa(vcpuInfo + 8)),
    ];
  }
  /** What the guest's handler does. */
  acknowledge(id: number): void {
    const { vcpuInfo } = this.vcpus[id]!;
    this.memory.writeU8(vcpuInfo, 0);
    this.memory.writeU64(gpa(vcpuInfo + 8), 0n);
    this.memory.fill(gpa(this.domain.sharedInfo + shared_info.offsetof('evtchn_pending')), PORTS / 8, 0);
    this.woken.length = 0;
  }
  /** IPI ports up to `port`, which is the last. */
  bindUpTo(port: number, vcpu: number): void {
    while (this.events.bindIpi(vcpu) !== port);
  }
}

let guest: Guest;
beforeEach(() => {
  guest = new Guest();
});
afterEach(() => guest.close());

describe('an event sets the port, its selector bit and the upcall', () => {
  it.each([
    { port: 1, select: 1n },
    { port: 31, select: 1n },
    { port: 32, select: 1n },
    { port: 63, select: 1n },
    { port: 64, select: 2n },
    { port: 2047, select: 1n << 31n },
    { port: 2048, select: 1n << 32n },
    { port: 4095, select: 1n << 63n },
  ])('port $port', ({ port, select }) => {
    guest.bindUpTo(port, 1);
    expect(guest.events.send(port)).toBe(0);
    expect([guest.pending, guest.upcall(0), guest.upcall(1), guest.woken]).toEqual([
      [port],
      [0, 0, 0n],
      [1, 0, select],
      [1],
    ]);
    expect([guest.events.isPending(port), guest.events.isUpcallPending(1)]).toEqual([true, true]);
  });

  it('where its vcpu_info is now, leaving the neighbours alone', () => {
    const moved = guest.frame(100);
    guest.memory.fill(moved, 64, 0xa5);
    guest.memory.writeU8(moved, 0);
    guest.memory.writeU64(gpa(moved + 8), 0n);
    guest.vcpus[0]!.vcpuInfo = moved;
    guest.events.send(guest.events.bindIpi(0));
    expect([...guest.memory.copyOut(moved, 17)]).toEqual([
      1, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 1, 0, 0, 0, 0, 0, 0, 0, 0xa5,
    ]);
  });
});

describe('whom it wakes', () => {
  const port = 1;
  beforeEach(() => guest.bindUpTo(port, 0));
  it('nobody when the port is pending already', () => {
    guest.events.send(port);
    guest.memory.writeU8(guest.vcpus[0]!.vcpuInfo, 0);
    guest.events.send(port);
    expect([guest.upcall(0)[0], guest.woken]).toEqual([0, [0]]);
  });
  it('nobody when the port is masked, until it is unmasked', () => {
    guest.mask(port);
    guest.events.send(port);
    expect([guest.pending, guest.upcall(0), guest.woken]).toEqual([[port], [0, 0, 0n], []]);
    expect(guest.events.unmask(port)).toBe(0);
    expect([guest.masked, guest.upcall(0), guest.woken]).toEqual([[], [1, 0, 1n], [0]]);
  });
  it('nobody when an unmasked port is unmasked', () => {
    guest.events.send(port);
    guest.acknowledge(0);
    guest.mask(port + 1);
    expect([guest.events.unmask(port), guest.masked, guest.woken]).toEqual([0, [port + 1], []]);
  });
  it('nobody when the upcall is pending already', () => {
    guest.events.send(port);
    guest.events.send(guest.events.bindIpi(0));
    expect([guest.pending, guest.woken]).toEqual([[1, 2], [0]]);
  });
  it('a poller, even though the port is masked', () => {
    guest.vcpus[1]!.polling = true;
    guest.mask(port);
    guest.events.send(port);
    expect([guest.events.isPending(port), guest.woken]).toEqual([true, [1]]);
  });
});

describe('virtual interrupts', () => {
  it('go to the vCPU that bound them', () => {
    guest.events.sendVirq(1, VIRQ_TIMER);
    expect(guest.pending).toEqual([]);
    const port = guest.events.bindVirq(VIRQ_TIMER, 1);
    expect(guest.timerPorts).toEqual([[1, port]]);
    guest.events.sendVirq(0, VIRQ_TIMER);
    expect(guest.pending).toEqual([]);
    guest.events.sendVirq(1, VIRQ_TIMER);
    expect([guest.pending, guest.woken]).toEqual([[port], [1]]);
  });
  it('are not the guest to send', () => {
    expect(guest.events.send(guest.events.bindVirq(VIRQ_TIMER, 0))).toBe(-EINVAL);
  });
  it('that are global follow bind_vcpu', () => {
    const port = guest.events.bindVirq(VIRQ_CONSOLE, 0);
    guest.events.bindVcpu(port, 1);
    guest.events.sendVirq(1, VIRQ_CONSOLE);
    expect([guest.pending, guest.woken]).toEqual([[port], [1]]);
  });
  it('stop with close, which forgets what was pending', () => {
    const port = guest.events.bindVirq(VIRQ_TIMER, 0);
    guest.events.sendVirq(0, VIRQ_TIMER);
    guest.events.close(port);
    expect([guest.pending, guest.events.isPending(port)]).toEqual([[], false]);
    guest.events.sendVirq(0, VIRQ_TIMER);
    expect(guest.pending).toEqual([]);
  });
});

describe('loopback', () => {
  it('marks the binder, then notifies across', () => {
    const first = guest.events.allocUnbound(DOMID_SELF, DOMID);
    expect(guest.events.send(first)).toBe(0);
    expect(guest.pending).toEqual([]);
    const second = guest.events.bindInterdomain(DOMID, first);
    expect(guest.pending).toEqual([second]);
    guest.acknowledge(0);
    guest.events.bindVcpu(first, 1);
    guest.events.send(second);
    expect([guest.pending, guest.woken]).toEqual([[first], [1]]);
  });
  it('becomes unbound when the other end closes', () => {
    const first = guest.events.allocUnbound(DOMID_SELF, DOMID_SELF);
    const second = guest.events.bindInterdomain(DOMID_SELF, first);
    guest.events.bindVcpu(second, 1);
    guest.events.close(first);
    expect(guest.events.status(DOMID_SELF, second)).toEqual({
      status: EVTCHNSTAT_unbound,
      vcpu: 1,
      u: { unbound: { dom: DOMID } },
    });
    expect(guest.events.bindInterdomain(DOMID_SELF, second)).toBe(first);
  });
});

describe('host ports', () => {
  const statusOf = (port: number) => {
    const answer = guest.events.status(DOMID_SELF, port);
    return typeof answer === 'number' ? answer : answer.status;
  };
  const hostPortOf = (port: number) => {
    const answer = guest.events.status(DOMID_SELF, port);
    return typeof answer === 'number' ? answer : answer.u.interdomain?.port;
  };
  let calls: number[];
  const notify = (port: number) => calls.push(port);
  beforeEach(() => {
    calls = [];
  });

  it('notify in both directions', () => {
    const port = guest.events.bindHostPort(notify);
    expect([port, statusOf(port)]).toEqual([1, EVTCHNSTAT_interdomain]);
    expect([guest.events.send(port), calls, guest.pending]).toEqual([0, [port], []]);
    guest.events.setPending(port);
    expect([guest.pending, guest.woken]).toEqual([[port], [0]]);
  });
  it('outlive their guest end, which may bind again on another port', () => {
    const port = guest.events.bindHostPort(notify);
    const hostPort = hostPortOf(port)!;
    guest.events.close(port);
    expect([statusOf(port), guest.events.send(port)]).toEqual([EVTCHNSTAT_closed, -EINVAL]);
    guest.events.setPending(port);
    expect(guest.pending).toEqual([]);
    guest.events.bindIpi(0);
    guest.events.setPending(port);
    expect(guest.pending).toEqual([]);
    const again = guest.events.bindInterdomain(0, hostPort);
    expect([again, guest.pending, hostPortOf(again)]).toEqual([2, [2], hostPort]);
    expect([guest.events.send(again), calls]).toEqual([0, [again]]);
    expect(guest.events.bindInterdomain(0, hostPort)).toBe(-EINVAL);
  });
  it('can be bound again after reset', () => {
    const hostPort = hostPortOf(guest.events.bindHostPort(notify))!;
    guest.events.reset(DOMID_SELF);
    expect(guest.events.bindInterdomain(0, hostPort)).toBe(1);
  });
  it('connect to what the guest allocated for domain 0', () => {
    const port = guest.events.allocUnbound(DOMID_SELF, 0);
    guest.events.bindVcpu(port, 1);
    expect(guest.events.connectHostPort(port, notify)).toMatchObject({ port });
    expect(guest.events.connectHostPort(port, notify)).toBeUndefined();
    guest.events.send(port);
    guest.events.setPending(port);
    expect([calls, guest.pending, guest.woken]).toEqual([[port], [port], [1]]);
  });
  it.each([
    { name: 'free', port: () => 5 },
    { name: 'reserved', port: () => 0 },
    { name: 'none', port: () => 2 ** 32 - 1 },
    { name: 'for another domain', port: () => guest.events.allocUnbound(DOMID_SELF, DOMID_SELF) },
    { name: 'an IPI', port: () => guest.events.bindIpi(0) },
  ])('do not connect to a port that is $name', ({ port }) => {
    expect(guest.events.connectHostPort(port(), notify)).toBeUndefined();
  });
  it('leave nothing behind, however often a front end opens and closes', () => {
    for (let i = 0; i < 10; i++) {
      const port = guest.events.allocUnbound(DOMID_SELF, 0);
      guest.events.connectHostPort(port, notify);
      expect([port, hostPortOf(port)]).toEqual([1, 1]);
      guest.events.close(port);
      expect(guest.events.bindInterdomain(0, 1)).toBe(-EINVAL);
    }
  });
  it('that the host closes become unbound, and stay quiet', () => {
    const port = guest.events.allocUnbound(DOMID_SELF, 0);
    const end = guest.events.connectHostPort(port, notify)!;
    guest.events.closeHostEnd(end);
    expect([statusOf(port), guest.events.send(port), calls]).toEqual([EVTCHNSTAT_unbound, 0, []]);
    guest.events.setPending(port);
    guest.events.closeHostEnd(end);
    expect(guest.pending).toEqual([]);
    const again = guest.events.connectHostPort(port, notify);
    guest.events.closeHostEnd(end);
    expect([again?.port, statusOf(port)]).toEqual([port, EVTCHNSTAT_interdomain]);
  });
  it('run out like others', () => {
    guest.bindUpTo(4095, 0);
    expect(guest.events.bindHostPort(notify)).toBe(-ENOSPC);
    guest.events.close(7);
    expect([guest.events.bindHostPort(notify), hostPortOf(7)]).toEqual([7, 1]);
  });
});

it('bits of free ports are never pending, and unmask leaves them', () => {
  guest.memory.fill(guest.domain.sharedInfo, shared_info.size, 0xff);
  expect([
    guest.events.isPending(1),
    guest.events.isPending(4095),
    guest.events.isPending(2 ** 32 - 1),
  ]).toEqual([false, false, false]);
  expect([guest.events.unmask(1), guest.masked.length]).toEqual([0, PORTS]);
});
