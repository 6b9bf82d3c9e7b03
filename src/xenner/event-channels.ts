/**
 * Event channels of one domain: what each port is bound to, and Xen's rules for changing it (xen/common/event_channel.c).
 * Everything runs on the vCPU thread; other threads post into an EventInbox instead.
 *
 * The host plays domain 0: back ends hold the other end of a port. A port that the host made (console, store) keeps its
 * host end when the guest closes it, as a daemon's does, and the guest may bind to that end again.
 */
import type { Gpa } from '../kvm/guest-memory.js';
import { EEXIST, EINVAL, ENOENT, ENOSPC, EPERM, ESRCH } from './abi/errno.js';
import {
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_ipi,
  EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq,
} from './abi/event-channel.js';
import { DOMID_SELF, NR_VIRQS, VIRQ_TIMER } from './abi/xen.js';
import { EventBits, type EventHost, type EventVcpu, type Poller } from './event-bits.js';
import {
  type Channel,
  EVTCHNS_PER_BUCKET,
  EventTable,
  HOST_DOMID,
  type HostEnd,
  isGlobalVirq,
  type Notify,
  toUnbound,
} from './event-table.js';

export { HOST_DOMID } from './event-table.js';

import { NR_PORTS } from './monitor/vcpu-area.js';
import type { Json, Saved } from './save/saved.js';

/** d->nr_pirqs of a domU: extra_domU_irqs (32) above an I/O APIC of 24 pins. None is ever granted. */
const NR_PIRQS = 24 + 32;

/** struct evtchn_status without what was asked; `u` as the union has it. */
export interface EventStatus {
  readonly status: number;
  readonly vcpu: number;
  readonly u: {
    readonly unbound?: { readonly dom: number };
    readonly interdomain?: { readonly dom: number; readonly port: number };
    readonly virq?: number;
  };
}

export interface ChannelHost extends EventHost {
  readonly domid: number;
  readonly vcpus: readonly (EventVcpu & Poller)[];
  /** A byte an event channel, for the monitor. */
  readonly ports: Gpa;
  /** VIRQ_TIMER of this vCPU is bound to another port; 0 is none. */
  timerPort(vcpuId: number, port: number): void;
}

/** All operations return 0 or a port, or a negative Xen errno. Numbers from the guest are unsigned 32-bit. */
export class EventChannels {
  readonly #host: ChannelHost;
  readonly #bits: EventBits;
  readonly #table: EventTable;

  constructor(host: ChannelHost) {
    this.#host = host;
    this.#table = new EventTable(host.memory.bytes(host.ports, NR_PORTS));
    this.#bits = new EventBits(host);
  }

  /* For the guest */

  allocUnbound(dom: number, remoteDom: number): number {
    const error = this.#checkTarget(dom);
    if (error !== 0) return error;
    const remoteDomid = remoteDom === DOMID_SELF ? this.#host.domid : remoteDom;
    return this.#bind({ state: EVTCHNSTAT_unbound, vcpu: this.#vcpu0, remoteDomid });
  }

  bindInterdomain(remoteDom: number, remotePort: number): number {
    if (this.#isSelf(remoteDom)) return this.#bindLoopback(remotePort);
    return remoteDom === HOST_DOMID ? this.#bindToHost(remotePort) : -ESRCH;
  }

  bindVirq(virq: number, vcpuId: number): number {
    if (virq >= NR_VIRQS || (isGlobalVirq(virq) && vcpuId !== 0)) return -EINVAL;
    const vcpu = this.#host.vcpus[vcpuId];
    if (vcpu === undefined) return -ENOENT;
    const ports = this.#table.virqPorts[vcpuId]!;
    if (ports[virq] !== 0) return -EEXIST;
    const port = this.#bind({ state: EVTCHNSTAT_virq, vcpu, virq });
    if (port > 0) this.#setVirqPort(vcpuId, virq, port);
    return port;
  }

  /** There are no physical interrupts to give away: what a domU without devices is told. */
  bindPirq(pirq: number): number {
    return pirq < NR_PIRQS ? -EPERM : -EINVAL;
  }

  bindIpi(vcpuId: number): number {
    const vcpu = this.#host.vcpus[vcpuId];
    return vcpu === undefined ? -ENOENT : this.#bind({ state: EVTCHNSTAT_ipi, vcpu });
  }

  bindVcpu(port: number, vcpuId: number): number {
    const vcpu = this.#host.vcpus[vcpuId];
    if (vcpu === undefined) return -ENOENT;
    const channel = this.#table.channels[port];
    if (channel === undefined || channel.state === EVTCHNSTAT_ipi) return -EINVAL;
    if (channel.state === EVTCHNSTAT_virq && !isGlobalVirq(channel.virq)) return -EINVAL;
    this.#table.move(port, vcpu);
    return 0;
  }

  close(port: number): number {
    const channel = this.#table.channels[port];
    if (channel === undefined) return -EINVAL;
    if (channel.state === EVTCHNSTAT_virq) {
      this.#table.virqPorts.forEach((ports, vcpuId) => {
        if (ports[channel.virq] === port) this.#setVirqPort(vcpuId, channel.virq, 0);
      });
    } else if (channel.state === EVTCHNSTAT_interdomain) {
      this.#leave(channel.remote);
    }
    this.#table.set(port, undefined);
    this.#bits.clearPending(port);
    return 0;
  }

  send(port: number): number {
    const channel = this.#table.channels[port];
    switch (channel?.state) {
      case EVTCHNSTAT_interdomain:
        if (typeof channel.remote === 'number') this.#raise(channel.remote);
        else channel.remote.notify(port);
        return 0;
      case EVTCHNSTAT_ipi:
        this.#raise(port);
        return 0;
      case EVTCHNSTAT_unbound:
        return 0;
      default:
        return -EINVAL;
    }
  }

  status(dom: number, port: number): EventStatus | number {
    const error = this.#checkTarget(dom);
    if (error !== 0) return error;
    if (port >= this.#table.validPorts) return -EINVAL;
    const channel = this.#table.channels[port];
    if (channel === undefined) return { status: EVTCHNSTAT_closed, vcpu: 0, u: {} };
    const answer = { status: channel.state, vcpu: channel.vcpu.id };
    switch (channel.state) {
      case EVTCHNSTAT_unbound:
        return { ...answer, u: { unbound: { dom: channel.remoteDomid } } };
      case EVTCHNSTAT_interdomain:
        return { ...answer, u: { interdomain: this.#otherEnd(channel.remote) } };
      case EVTCHNSTAT_virq:
        return { ...answer, u: { virq: channel.virq } };
      case EVTCHNSTAT_ipi:
        return { ...answer, u: {} };
    }
  }

  unmask(port: number): number {
    if (port >= this.#table.validPorts) return -EINVAL;
    const channel = this.#table.channels[port];
    if (channel !== undefined) this.#bits.unmask(port, channel.vcpu);
    return 0;
  }

  reset(dom: number): number {
    const error = this.#checkTarget(dom);
    if (error !== 0) return error;
    for (let port = 1; port < this.#table.validPorts; port++) this.close(port);
    return 0;
  }

  /* For the hypervisor */

  /** A virtual interrupt; a global one goes to vCPU 0's binding. Nothing happens while it is not bound. */
  sendVirq(vcpuId: number, virq: number): void {
    const port = this.#table.virqPorts[isGlobalVirq(virq) ? 0 : vcpuId]![virq]!;
    if (port !== 0) this.#raise(port);
  }

  isUpcallPending(vcpuId: number): boolean {
    return this.#bits.isUpcallPending(this.#host.vcpus[vcpuId]!);
  }

  /** There is an upcall, and the vCPU does not mask it. */
  isUpcallDeliverable(vcpuId: number): boolean {
    return this.#bits.isUpcallDeliverable(this.#host.vcpus[vcpuId]!);
  }

  /** For SCHEDOP_poll. A free port is never pending, whatever its bit says (evtchn_usable). */
  isPending(port: number): boolean {
    return this.#table.channels[port] !== undefined && this.#bits.isPending(port);
  }

  /** SCHEDOP_poll refuses other ports with -EINVAL. */
  isValidPort(port: number): boolean {
    return port < this.#table.validPorts;
  }

  /* For back ends: calls that need the vCPU thread */

  /**
   * Makes an interdomain port of the guest's whose other end is the host: EVTCHNOP_send calls `notify`.
   * @returns the guest's port, or -ENOSPC
   */
  bindHostPort(notify: Notify): number {
    const end = this.#makeHostEnd(notify, true);
    const port = this.#bind(this.#toHost(end));
    if (port > 0) end.port = port;
    else this.#table.hostEnds.delete(end.hostPort);
    return port;
  }

  /** Who sends on this port, if it is one to the host still, rings its bell. Whatever the guest binds it to next has none. */
  setBell(port: number): void {
    const channel = this.#table.channels[port];
    if (channel?.state === EVTCHNSTAT_interdomain && typeof channel.remote !== 'number')
      this.#table.setBell(port);
  }

  /**
   * A back end's EVTCHNOP_bind_interdomain to a port that the guest allocated for domain 0. When the guest closes the
   * port the host's end is closed too.
   * @returns undefined where the guest has no such port
   */
  connectHostPort(port: number, notify: Notify): HostEnd | undefined {
    const channel = this.#table.channels[port];
    if (channel?.state !== EVTCHNSTAT_unbound || channel.remoteDomid !== HOST_DOMID) return undefined;
    const end = this.#makeHostEnd(notify, false);
    end.port = port;
    this.#table.set(port, { ...this.#toHost(end), vcpu: channel.vcpu });
    return end;
  }

  /** The host closes its end: the guest's becomes unbound. Nothing happens if the guest was first. */
  closeHostEnd(end: HostEnd): void {
    if (this.#table.hostEnds.get(end.hostPort) !== end) return;
    this.#table.hostEnds.delete(end.hostPort);
    const channel = this.#table.channels[end.port];
    if (channel !== undefined) this.#table.set(end.port, toUnbound(channel));
  }

  /** The host notifies the guest. Nothing happens on a port that the guest closed or took for something else. */
  setPending(port: number): void {
    const channel = this.#table.channels[port];
    if (channel?.state === EVTCHNSTAT_interdomain && typeof channel.remote !== 'number') this.#raise(port);
  }

  /* For a save file */

  save(): Json {
    return this.#table.save();
  }

  /** Of a domain that was just made: its back ends' ports are bound, and no others. @throws XennerError ESAVE_DAMAGED */
  restore(saved: Saved): void {
    this.#table.clear();
    this.#table.restore(saved, this.#host.vcpus);
    for (const { id } of this.#host.vcpus) this.#host.timerPort(id, this.#table.virqPorts[id]![VIRQ_TIMER]!);
  }

  get #vcpu0(): EventVcpu {
    return this.#host.vcpus[0]!;
  }

  #isSelf(dom: number): boolean {
    return dom === DOMID_SELF || dom === this.#host.domid;
  }

  /** rcu_lock_domain_by_any_id and XSM_TARGET: only the host exists besides, and it is out of bounds. */
  #checkTarget(dom: number): number {
    if (this.#isSelf(dom)) return 0;
    return dom === HOST_DOMID ? -EPERM : -ESRCH;
  }

  /** Puts a channel on the lowest free port, as get_free_port does. Port 0 is ECS_RESERVED. */
  #bind(channel: Channel): number {
    const port = this.#table.channels.indexOf(undefined, 1);
    if (port < 0) return -ENOSPC;
    while (port >= this.#table.validPorts) this.#table.validPorts += EVTCHNS_PER_BUCKET;
    this.#table.set(port, channel);
    return port;
  }

  #setVirqPort(vcpuId: number, virq: number, port: number): void {
    this.#table.virqPorts[vcpuId]![virq] = port;
    if (virq === VIRQ_TIMER) this.#host.timerPort(vcpuId, port);
  }

  #bindLoopback(remotePort: number): number {
    const remote = this.#table.channels[remotePort];
    const channel: Channel = { state: EVTCHNSTAT_interdomain, vcpu: this.#vcpu0, remote: remotePort };
    const port = this.#bind(channel);
    if (port < 0) return port;
    if (remote?.state !== EVTCHNSTAT_unbound || remote.remoteDomid !== this.#host.domid) {
      this.#table.set(port, undefined);
      return -EINVAL;
    }
    this.#table.set(remotePort, { state: EVTCHNSTAT_interdomain, vcpu: remote.vcpu, remote: port });
    this.#raise(port);
    return port;
  }

  #bindToHost(hostPort: number): number {
    const end = this.#table.hostEnds.get(hostPort);
    if (end === undefined || end.port !== 0) return -EINVAL;
    const port = this.#bind(this.#toHost(end));
    if (port < 0) return port;
    end.port = port;
    this.#raise(port);
    return port;
  }

  #toHost(remote: HostEnd): Extract<Channel, { state: typeof EVTCHNSTAT_interdomain }> {
    return { state: EVTCHNSTAT_interdomain, vcpu: this.#vcpu0, remote };
  }

  #makeHostEnd(notify: Notify, permanent: boolean): HostEnd {
    let hostPort = 1;
    while (this.#table.hostEnds.has(hostPort)) hostPort++;
    const end = { hostPort, notify, permanent, port: 0 };
    this.#table.hostEnds.set(hostPort, end);
    return end;
  }

  /** This end of an interdomain channel is gone: the other one waits for it again. */
  #leave(remote: number | HostEnd): void {
    if (typeof remote === 'number') {
      const { vcpu } = this.#table.channels[remote]!;
      this.#table.set(remote, { state: EVTCHNSTAT_unbound, vcpu, remoteDomid: this.#host.domid });
    } else if (remote.permanent) {
      remote.port = 0;
    } else {
      this.#table.hostEnds.delete(remote.hostPort);
    }
  }

  #otherEnd(remote: number | HostEnd): { dom: number; port: number } {
    return typeof remote === 'number'
      ? { dom: this.#host.domid, port: remote }
      : { dom: HOST_DOMID, port: remote.hostPort };
  }

  #raise(port: number): void {
    this.#bits.setPending(port, this.#table.channels[port]!.vcpu);
  }
}
