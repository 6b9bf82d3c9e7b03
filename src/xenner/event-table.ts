/** The event channels of one domain as data: what EventChannels changes by Xen's rules, and a save file keeps. */
import { MAX_VCPUS } from '../base/limits.js';
import {
  EVTCHN_2L_NR_CHANNELS,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_ipi,
  EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq,
} from './abi/event-channel.js';
import { NR_VIRQS, VIRQ_DEBUG, VIRQ_TIMER, VIRQ_XENOPROF, VIRQ_XENPMU } from './abi/xen.js';
import type { EventVcpu } from './event-bits.js';
import { PORT_BELL, PORT_IPI } from './monitor/vcpu-area.js';
import type { Json, Saved } from './save/saved.js';

/**
 * Ports come into being 64 at a time: EVTCHNS_PER_BUCKET is a page of `struct evtchn`, 64 bytes each. A port beyond
 * those is -EINVAL where a free one is "closed".
 */
export const EVTCHNS_PER_BUCKET = 64;

/** The back ends' domain. */
export const HOST_DOMID = 0;

/** Called with the guest's port, which a new binding may have changed. */
export type Notify = (port: number) => void;

/** The host's end of an interdomain channel. */
export interface HostEnd {
  readonly hostPort: number;
  readonly notify: Notify;
  /** Made by the host: outlives the guest's end. */
  readonly permanent: boolean;
  /** The guest's end, or 0: unbound. */
  port: number;
}

/** `vcpu` is notify_vcpu_id. A port without a Channel is free. */
export type Channel =
  | { readonly state: typeof EVTCHNSTAT_unbound; vcpu: EventVcpu; readonly remoteDomid: number }
  | { readonly state: typeof EVTCHNSTAT_interdomain; vcpu: EventVcpu; readonly remote: number | HostEnd }
  | { readonly state: typeof EVTCHNSTAT_virq; vcpu: EventVcpu; readonly virq: number }
  | { readonly state: typeof EVTCHNSTAT_ipi; vcpu: EventVcpu };

/** What the guest's end becomes when the host's has closed. */
export function toUnbound({ vcpu }: Channel): Channel {
  return { state: EVTCHNSTAT_unbound, vcpu, remoteDomid: HOST_DOMID };
}

/** The other end is one that a back end made, and not the domain. */
function isBackends(channel: Channel): boolean {
  if (channel.state !== EVTCHNSTAT_interdomain || typeof channel.remote === 'number') return false;
  return !channel.remote.permanent;
}

/** virq_is_global */
export function isGlobalVirq(virq: number): boolean {
  return virq !== VIRQ_TIMER && virq !== VIRQ_DEBUG && virq !== VIRQ_XENOPROF && virq !== VIRQ_XENPMU;
}

export class EventTable {
  readonly #channels: Array<Channel | undefined> = new Array(EVTCHN_2L_NR_CHANNELS).fill(undefined);
  validPorts = EVTCHNS_PER_BUCKET;
  /** virq_to_evtchn: [vCPU][virq]; 0 is none. */
  readonly virqPorts = Array.from({ length: MAX_VCPUS }, () => new Uint16Array(NR_VIRQS));
  /** By host port. */
  readonly hostEnds = new Map<number, HostEnd>();

  /** @param ports a byte a port, for the monitor: NR_PORTS of them */
  constructor(private readonly ports: Uint8Array) {}

  get channels(): readonly (Channel | undefined)[] {
    return this.#channels;
  }

  set(port: number, channel: Channel | undefined): void {
    this.#channels[port] = channel;
    this.ports[port] = channel?.state === EVTCHNSTAT_ipi ? PORT_IPI | channel.vcpu.id : 0;
  }

  /** The monitor rings a bell instead of leaving the guest, until the port is bound anew. */
  setBell(port: number): void {
    this.ports[port] = PORT_BELL | this.#channels[port]!.vcpu.id;
  }

  /** bind_vcpu: events go to another vCPU. */
  move(port: number, vcpu: EventVcpu): void {
    this.#channels[port]!.vcpu = vcpu;
    if ((this.ports[port]! & PORT_BELL) !== 0) this.setBell(port);
  }

  clear(): void {
    this.#channels.fill(undefined);
    this.ports.fill(0);
  }

  /** What a back end has connected to is unbound: where it is restored, the back end connects to it again. */
  save(): Json {
    const channels = this.channels.flatMap((each, port): Json[] => {
      if (each === undefined) return [];
      const channel = isBackends(each) ? toUnbound(each) : each;
      return [{ port, vcpu: channel.vcpu.id, state: channel.state, ...detailsOf(channel) }];
    });
    const hostEnds = [...this.hostEnds.values()].flatMap(({ hostPort, permanent, port }): Json[] =>
      permanent ? [{ hostPort, port }] : [],
    );
    return { validPorts: this.validPorts, channels, hostEnds };
  }

  /**
   * Of a table that is empty but for `hostEnds`, whose back ends are there again: by host port, those and no others.
   * @throws XennerError ESAVE_DAMAGED
   */
  restore(saved: Saved, vcpus: readonly EventVcpu[]): void {
    const buckets = EVTCHN_2L_NR_CHANNELS / EVTCHNS_PER_BUCKET;
    const validPorts = saved.get('validPorts');
    this.validPorts = validPorts.int(EVTCHNS_PER_BUCKET, buckets * EVTCHNS_PER_BUCKET);
    if (this.validPorts % EVTCHNS_PER_BUCKET !== 0) throw validPorts.wrong('a multiple of 64');
    for (const each of saved.get('hostEnds').tuple(this.hostEnds.size)) this.#restoreHostEnd(each);
    const channels = saved.get('channels').list(this.validPorts);
    for (const each of channels) {
      const port = each.get('port').int(1, this.validPorts - 1);
      const vcpu = vcpus[each.get('vcpu').int(0, vcpus.length - 1)]!;
      if (this.channels[port] !== undefined) throw each.wrong('a port that is free');
      this.set(port, this.#restoreChannel(each, vcpu));
    }
    for (const each of channels) this.#checkChannel(each, each.get('port').int(1, this.validPorts - 1));
    for (const end of this.hostEnds.values()) {
      const channel = this.channels[end.port];
      const bound = channel?.state === EVTCHNSTAT_interdomain && channel.remote === end;
      if (end.port !== 0 && !bound) throw saved.get('hostEnds').wrong('what the channels say');
    }
  }

  #restoreHostEnd(saved: Saved): void {
    const end = this.hostEnds.get(saved.get('hostPort').int(1, EVTCHN_2L_NR_CHANNELS));
    if (end === undefined) throw saved.wrong('a port of a back end that is here');
    end.port = saved.get('port').int(0, this.validPorts - 1);
  }

  #restoreChannel(saved: Saved, vcpu: EventVcpu): Channel {
    const states = [EVTCHNSTAT_unbound, EVTCHNSTAT_interdomain, EVTCHNSTAT_virq, EVTCHNSTAT_ipi] as const;
    const state = saved.get('state').oneOf(states);
    switch (state) {
      case EVTCHNSTAT_unbound:
        return { state, vcpu, remoteDomid: saved.get('remoteDomid').int(0, 0xffff) };
      case EVTCHNSTAT_interdomain: {
        const hostPort = saved.get('hostPort').optional((port) => port.int(1, EVTCHN_2L_NR_CHANNELS));
        const end = hostPort === undefined ? undefined : this.hostEnds.get(hostPort);
        if (hostPort !== undefined && end === undefined)
          throw saved.get('hostPort').wrong('a port of a back end');
        return { state, vcpu, remote: end ?? saved.get('remotePort').int(1, this.validPorts - 1) };
      }
      case EVTCHNSTAT_virq:
        return { state, vcpu, virq: saved.get('virq').int(0, NR_VIRQS - 1) };
      case EVTCHNSTAT_ipi:
        return { state, vcpu };
    }
  }

  /** Both ends of a channel name each other; a VIRQ has one port. */
  #checkChannel(saved: Saved, port: number): void {
    const channel = this.channels[port]!;
    if (channel.state === EVTCHNSTAT_interdomain) {
      const { remote } = channel;
      const other = typeof remote === 'number' ? this.channels[remote] : undefined;
      const back =
        typeof remote !== 'number'
          ? remote.port
          : other?.state === EVTCHNSTAT_interdomain
            ? other.remote
            : undefined;
      if (back !== port) throw saved.wrong('one end of a channel');
    } else if (channel.state === EVTCHNSTAT_virq) {
      const ports = this.virqPorts[isGlobalVirq(channel.virq) ? 0 : channel.vcpu.id]!;
      if (ports[channel.virq] !== 0) throw saved.wrong('the only port of its VIRQ');
      ports[channel.virq] = port;
    }
  }
}

function detailsOf(channel: Channel): { readonly [name: string]: Json } {
  switch (channel.state) {
    case EVTCHNSTAT_unbound:
      return { remoteDomid: channel.remoteDomid };
    case EVTCHNSTAT_interdomain:
      return typeof channel.remote === 'number'
        ? { hostPort: null, remotePort: channel.remote }
        : { hostPort: channel.remote.hostPort };
    case EVTCHNSTAT_virq:
      return { virq: channel.virq };
    case EVTCHNSTAT_ipi:
      return {};
  }
}
