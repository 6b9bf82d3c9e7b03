/** EVTCHNOP_*: what each call answers, and what hostile arguments get. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOSPC,
  ENOSYS,
  EPERM,
  ESRCH,
} from '../../../src/xenner/abi/errno.js';
import * as abi from '../../../src/xenner/abi/event-channel.js';
import { DOMID_SELF, VIRQ_ARGO, VIRQ_CONSOLE, VIRQ_DEBUG, VIRQ_TIMER } from '../../../src/xenner/abi/xen.js';
import { EventChannels } from '../../../src/xenner/event-channels.js';
import { event_channel_op_compat } from '../../../src/xenner/hypercall/16-event-channel-op-compat.js';
import { event_channel_op } from '../../../src/xenner/hypercall/32-event-channel-op.js';
import { DOMID, Harness, HOLE_VA, READ_ONLY_VA, UNMAPPED_VA, va } from './harness.js';

const BEYOND = 0xffffffff;
const open: Harness[] = [];

class Guest extends Harness {
  readonly events: EventChannels;
  readonly woken: number[] = [];

  constructor(vcpus = 2) {
    super({ vcpus });
    this.domain.wake = (id) => this.woken.push(id);
    this.domain.timerPort = () => {};
    this.events = new EventChannels(this.domain);
    this.domain.events = this.events;
    open.push(this);
  }

  op(cmd: number, arg: bigint): number {
    return Number(this.call(event_channel_op, [cmd, arg]));
  }

  allocUnbound(remote_dom: number, dom = DOMID_SELF): number {
    const arg = this.put(abi.evtchn_alloc_unbound, { dom, remote_dom, port: 0 });
    return this.op(abi.EVTCHNOP_alloc_unbound, arg) || this.get(abi.evtchn_alloc_unbound, arg).port;
  }
  bindInterdomain(remote_dom: number, remote_port: number): number {
    const arg = this.put(abi.evtchn_bind_interdomain, { remote_dom, remote_port });
    return (
      this.op(abi.EVTCHNOP_bind_interdomain, arg) || this.get(abi.evtchn_bind_interdomain, arg).local_port
    );
  }
  bindVirq(virq: number, vcpu: number): number {
    const arg = this.put(abi.evtchn_bind_virq, { virq, vcpu });
    return this.op(abi.EVTCHNOP_bind_virq, arg) || this.get(abi.evtchn_bind_virq, arg).port;
  }
  bindIpi(vcpu: number): number {
    const arg = this.put(abi.evtchn_bind_ipi, { vcpu });
    return this.op(abi.EVTCHNOP_bind_ipi, arg) || this.get(abi.evtchn_bind_ipi, arg).port;
  }
  bindPirq(pirq: number): number {
    return this.op(abi.EVTCHNOP_bind_pirq, this.put(abi.evtchn_bind_pirq, { pirq }));
  }
  bindVcpu(port: number, vcpu: number): number {
    return this.op(abi.EVTCHNOP_bind_vcpu, this.put(abi.evtchn_bind_vcpu, { port, vcpu }));
  }
  closePort(port: number): number {
    return this.op(abi.EVTCHNOP_close, this.put(abi.evtchn_close, { port }));
  }
  send(port: number): number {
    return this.op(abi.EVTCHNOP_send, this.put(abi.evtchn_send, { port }));
  }
  unmask(port: number): number {
    return this.op(abi.EVTCHNOP_unmask, this.put(abi.evtchn_unmask, { port }));
  }
  reset(dom: number): number {
    return this.op(abi.EVTCHNOP_reset, this.put(abi.evtchn_reset, { dom }));
  }
  status(port: number, dom = DOMID_SELF) {
    const arg = this.put(abi.evtchn_status, { dom, port });
    const error = this.op(abi.EVTCHNOP_status, arg);
    return error === 0 ? this.get(abi.evtchn_status, arg) : error;
  }
}

afterEach(() => {
  for (const guest of open.splice(0)) guest.close();
});

describe('binding', () => {
  const cases: Array<{ name: string; op: (guest: Guest) => unknown; expect: unknown }> = [
    { name: 'alloc_unbound gives the lowest free port, 1', op: (g) => g.allocUnbound(0), expect: 1 },
    { name: 'alloc_unbound by own domid', op: (g) => g.allocUnbound(0, DOMID), expect: 1 },
    { name: 'alloc_unbound for domain 0', op: (g) => g.allocUnbound(DOMID, 0), expect: -EPERM },
    { name: 'alloc_unbound for nobody', op: (g) => g.allocUnbound(DOMID, 9), expect: -ESRCH },
    { name: 'bind_virq on vCPU 1', op: (g) => g.bindVirq(VIRQ_TIMER, 1), expect: 1 },
    {
      name: 'bind_virq twice',
      op: (g) => [g.bindVirq(VIRQ_TIMER, 0), g.bindVirq(VIRQ_TIMER, 0), g.bindVirq(VIRQ_TIMER, 1)],
      expect: [1, -EEXIST, 2],
    },
    {
      name: 'bind_virq again after close',
      op: (g) => [g.bindVirq(VIRQ_DEBUG, 0), g.closePort(1), g.bindVirq(VIRQ_DEBUG, 0)],
      expect: [1, 0, 1],
    },
    { name: 'bind_virq global', op: (g) => g.bindVirq(VIRQ_CONSOLE, 0), expect: 1 },
    { name: 'bind_virq global elsewhere', op: (g) => g.bindVirq(VIRQ_CONSOLE, 1), expect: -EINVAL },
    { name: 'bind_virq global on no vCPU', op: (g) => g.bindVirq(VIRQ_ARGO, BEYOND), expect: -EINVAL },
    { name: 'bind_virq 24', op: (g) => g.bindVirq(24, 0), expect: -EINVAL },
    { name: 'bind_virq beyond', op: (g) => g.bindVirq(BEYOND, 0), expect: -EINVAL },
    { name: 'bind_virq on no vCPU', op: (g) => g.bindVirq(VIRQ_TIMER, 2), expect: -ENOENT },
    { name: 'bind_ipi', op: (g) => g.bindIpi(1), expect: 1 },
    { name: 'bind_ipi on no vCPU', op: (g) => g.bindIpi(BEYOND), expect: -ENOENT },
    { name: 'bind_pirq', op: (g) => g.bindPirq(1), expect: -EPERM },
    { name: 'bind_pirq beyond', op: (g) => g.bindPirq(BEYOND), expect: -EINVAL },
    {
      name: 'bind_interdomain to itself',
      op: (g) => [g.allocUnbound(DOMID_SELF), g.bindInterdomain(DOMID_SELF, 1)],
      expect: [1, 2],
    },
    {
      name: 'bind_interdomain by own domid',
      op: (g) => [g.allocUnbound(DOMID), g.bindInterdomain(DOMID, 1), g.bindInterdomain(DOMID, 1)],
      expect: [1, 2, -EINVAL],
    },
    {
      name: 'bind_interdomain to a port meant for another domain',
      op: (g) => [g.allocUnbound(3), g.bindInterdomain(DOMID_SELF, 1), g.allocUnbound(0)],
      expect: [1, -EINVAL, 2],
    },
    {
      name: 'bind_interdomain to the port that it will get itself',
      op: (g) => g.bindInterdomain(DOMID_SELF, 1),
      expect: -EINVAL,
    },
    { name: 'bind_interdomain beyond', op: (g) => g.bindInterdomain(DOMID_SELF, BEYOND), expect: -EINVAL },
    { name: 'bind_interdomain to no host port', op: (g) => g.bindInterdomain(0, 1), expect: -EINVAL },
    { name: 'bind_interdomain to nobody', op: (g) => g.bindInterdomain(1, 1), expect: -ESRCH },
    {
      name: 'bind_vcpu: what may move, and what may not',
      op: (g) => [
        [g.allocUnbound(0), g.bindVirq(VIRQ_CONSOLE, 0), g.bindVirq(VIRQ_TIMER, 0), g.bindIpi(0)],
        [1, 2, 3, 4, 5, 0, BEYOND].map((port) => g.bindVcpu(port, 1)),
        g.bindVcpu(1, 2),
      ],
      expect: [[1, 2, 3, 4], [0, 0, -EINVAL, -EINVAL, -EINVAL, -EINVAL, -EINVAL], -ENOENT],
    },
    {
      name: 'close: free, reserved and beyond',
      op: (g) => [1, 0, 4096, BEYOND].map((port) => g.closePort(port)),
      expect: [-EINVAL, -EINVAL, -EINVAL, -EINVAL],
    },
    {
      name: 'ports run out at 4095',
      op: (g) => {
        for (let i = 0; i < 4095; i++) g.events.bindIpi(0);
        return [
          g.allocUnbound(0),
          g.bindVirq(0, 0),
          g.bindIpi(0),
          g.bindInterdomain(DOMID, 1),
          g.status(4095),
        ];
      },
      expect: [-ENOSPC, -ENOSPC, -ENOSPC, -ENOSPC, expect.objectContaining({ status: abi.EVTCHNSTAT_ipi })],
    },
    { name: 'reset another', op: (g) => [g.reset(0), g.reset(5)], expect: [-EPERM, -ESRCH] },
    {
      name: 'reset closes all',
      op: (g) => [g.bindVirq(VIRQ_TIMER, 1), g.bindIpi(0), g.reset(DOMID_SELF), g.bindVirq(VIRQ_TIMER, 1)],
      expect: [1, 2, 0, 1],
    },
  ];
  it.each(cases)('$name', ({ op, expect: expected }) => {
    expect(op(new Guest())).toEqual(expected);
  });
});

describe('status', () => {
  const base = { dom: DOMID_SELF, vcpu: 0 };
  it('names what each port is', () => {
    const guest = new Guest();
    guest.allocUnbound(3);
    guest.bindVirq(VIRQ_DEBUG, 1);
    guest.bindIpi(1);
    guest.allocUnbound(DOMID_SELF);
    guest.bindInterdomain(DOMID_SELF, 4);
    const host = guest.events.bindHostPort(() => undefined);
    expect([1, 2, 3, 4, 5, host, 7, 0].map((port) => guest.status(port))).toMatchObject([
      { ...base, port: 1, status: abi.EVTCHNSTAT_unbound, u: { unbound: { dom: 3 } } },
      { ...base, port: 2, vcpu: 1, status: abi.EVTCHNSTAT_virq, u: { virq: VIRQ_DEBUG } },
      { ...base, port: 3, vcpu: 1, status: abi.EVTCHNSTAT_ipi },
      { ...base, port: 4, status: abi.EVTCHNSTAT_interdomain, u: { interdomain: { dom: DOMID, port: 5 } } },
      { ...base, port: 5, status: abi.EVTCHNSTAT_interdomain, u: { interdomain: { dom: DOMID, port: 4 } } },
      { ...base, port: 6, status: abi.EVTCHNSTAT_interdomain, u: { interdomain: { dom: 0 } } },
      { ...base, port: 7, status: abi.EVTCHNSTAT_closed },
      { ...base, port: 0, status: abi.EVTCHNSTAT_closed },
    ]);
  });
  it('knows ports 64 at a time, as they come into being', () => {
    const guest = new Guest();
    expect(guest.status(63)).toMatchObject({ status: abi.EVTCHNSTAT_closed });
    expect([guest.status(64), guest.unmask(64), guest.status(BEYOND)]).toEqual([-EINVAL, -EINVAL, -EINVAL]);
    for (let i = 0; i < 64; i++) guest.events.bindIpi(0);
    expect([guest.status(127), guest.unmask(127)]).toMatchObject([{ status: abi.EVTCHNSTAT_closed }, 0]);
    expect(guest.status(128)).toBe(-EINVAL);
  });
  it('of other domains', () => {
    const guest = new Guest();
    expect([guest.status(1, 0), guest.status(1, 2), guest.status(1, 0x7ff4)]).toEqual([
      -EPERM,
      -ESRCH,
      -ESRCH,
    ]);
  });
});

describe('pointers', () => {
  const operations = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  const unreadable = [UNMAPPED_VA, HOLE_VA, 0x8000_0000_0000_0000n, 0n, 2n ** 64n - 1n];
  it.each(operations)('operation %i on what cannot be read', (cmd) => {
    const guest = new Guest();
    expect(unreadable.map((at) => guest.op(cmd, at))).toEqual(unreadable.map(() => -EFAULT));
    expect(guest.allocUnbound(0)).toBe(1);
  });
  it('keeps the binding when the answer cannot be written', () => {
    const guest = new Guest();
    // A page-table page reads as zeros: dom 0 for alloc_unbound, vCPU 0 for the others.
    expect(guest.op(abi.EVTCHNOP_bind_ipi, READ_ONLY_VA)).toBe(-EFAULT);
    expect(guest.status(1)).toMatchObject({ status: abi.EVTCHNSTAT_ipi });
  });
  it.each([11, 12, 13, 14, 15, -1, 0x7fffffff])('operation %i does not exist', (cmd) => {
    expect(new Guest().op(cmd, UNMAPPED_VA)).toBe(-ENOSYS);
  });
});

describe('event_channel_op_compat', () => {
  const compat = (guest: Guest, cmd: number, u: object) => {
    const at = guest.put(abi.evtchn_op, { cmd, u });
    return [Number(guest.call(event_channel_op_compat, [at])), guest.get(abi.evtchn_op, at)] as const;
  };
  it('answers in place', () => {
    const guest = new Guest();
    const [result, op] = compat(guest, abi.EVTCHNOP_bind_ipi, { bind_ipi: { vcpu: 1 } });
    expect([result, op.u.bind_ipi.port]).toEqual([0, 1]);
    expect(compat(guest, abi.EVTCHNOP_close, { close: { port: 9 } })[0]).toBe(-EINVAL);
  });
  it.each([abi.EVTCHNOP_reset, abi.EVTCHNOP_init_control, BEYOND])('never had operation %i', (cmd) => {
    expect(compat(new Guest(), cmd, {})[0]).toBe(-ENOSYS);
  });
  it('on what cannot be read', () => {
    const guest = new Guest();
    expect([UNMAPPED_VA, va(512 * 4096 - 4)].map((at) => guest.call(event_channel_op_compat, [at]))).toEqual([
      -EFAULT,
      -EFAULT,
    ]);
  });
});
