/** A guest's network driver, by the letter of io/netif.h, on real memory and a real grant table; and a port that remembers. */
import { gpa } from '../../../../src/kvm/guest-memory.js';
import {
  GTF_permit_access,
  GTF_reading,
  GTF_readonly,
  GTF_writing,
} from '../../../../src/xenner/abi/grant-table.js';
import * as abi from '../../../../src/xenner/abi/netif.js';
import type { BackendChannel, BackendHost } from '../../../../src/xenner/backend/backend-host.js';
import {
  type NetPort,
  type NetReceiver,
  NO_OFFLOADS,
  type Offloads,
  type Packet,
  type Unfinished,
} from '../../../../src/xenner/backend/net/net-port.js';
import { HostGrants } from '../../../../src/xenner/grants/host-grants.js';
import { Guest } from '../../hypercall/grant-guest.js';
import { NR_PAGES, PAGE_INFO } from '../../hypercall/harness.js';
import { FrontRing } from '../front-ring.js';

const PAGE = 4096;
/** Frames: 256 to receive in, some to send from, and those of rings. */
const RX_MFN = 512;
export const TX_MFN = 768;
const RING_MFN = 1012;
const ALL: Offloads = { checksum4: true, checksum6: true, tcpv4: true, tcpv6: true };

export interface Sent {
  readonly data: Buffer;
  readonly unfinished: Unfinished | undefined;
  readonly isValidated: boolean;
}

export class TestPort implements NetPort {
  readonly name = 'test port';
  offloads: Offloads = NO_OFFLOADS;
  readonly sent: Sent[] = [];
  /** send() takes so many before it says that it is full. */
  room = Infinity;
  receiver: NetReceiver | undefined;
  /** What the device has not taken yet. */
  waiting: Packet[] = [];

  attach(receiver: NetReceiver): void {
    this.receiver = receiver;
  }
  detach(): void {
    this.receiver = undefined;
  }
  send(packet: Packet): boolean {
    const { unfinished, isValidated } = packet;
    this.sent.push({ data: Buffer.concat(packet.pieces), unfinished, isValidated });
    return --this.room > 0;
  }
  drain(room = Infinity): void {
    this.room = room;
    this.receiver?.drained();
  }
  resume(): void {
    const packets = this.waiting;
    this.waiting = packets.slice(this.receiver?.receive(packets));
  }
  async close(): Promise<void> {}
  /** Packets from the network, in one batch. */
  bring(...packets: Packet[]): void {
    this.waiting.push(...packets);
    this.resume();
  }
}

export const whole = (data: Uint8Array, unfinished?: Unfinished): Packet => ({
  pieces: [data],
  length: data.length,
  unfinished,
  isValidated: false,
});
export const ALL_OFFLOADS = ALL;

export interface Received {
  readonly data: Buffer;
  readonly flags: number;
  readonly gso: { type: number; size: number } | undefined;
}

export interface QueuePorts {
  readonly tx: number;
  readonly rx: number;
}

/** One pair of rings. */
export class GuestQueue {
  readonly tx: FrontRing;
  readonly rx: FrontRing;
  /** Grants of the pages that wait for packets, by request id. */
  readonly #offered = new Map<number, number>();

  constructor(
    private readonly guest: NetGuest,
    readonly ports: QueuePorts,
  ) {
    this.tx = new FrontRing(guest.memory, guest.ringFrame(), abi.netif_tx_sring);
    this.rx = new FrontRing(guest.memory, guest.ringFrame(), abi.netif_rx_sring);
  }

  /** Puts data into pages and on the ring, as much a slot as `sizes` says; one slot if it says nothing. */
  put(
    data: Uint8Array,
    options: { flags?: number; extras?: Uint8Array[]; sizes?: number[]; offset?: number } = {},
  ) {
    const { flags = 0, extras = [], sizes = [data.length], offset = 0 } = options;
    let at = 0;
    sizes.forEach((size, index) => {
      const last = index === sizes.length - 1;
      const mfn = this.guest.frame();
      this.guest.memory.copyIn(gpa(mfn * PAGE + offset), data.subarray(at, at + size));
      at += size;
      this.tx.put(
        abi.netif_tx_request.create({
          gref: this.guest.grant(mfn, GTF_readonly),
          offset,
          id: 100 + index,
          size: index === 0 ? data.length : size,
          flags:
            (index === 0 ? flags | (extras.length ? abi.NETTXF_extra_info : 0) : 0) |
            (last ? 0 : abi.NETTXF_more_data),
        }),
      );
      if (index > 0) return;
      extras.forEach((extra, i) => {
        const info = Buffer.concat([extra, Buffer.alloc(4)]);
        if (i < extras.length - 1) info[1]! |= abi.XEN_NETIF_EXTRA_FLAG_MORE;
        this.tx.put(info);
      });
    });
  }
  /** Shows the back end what put() put there, and notifies it if it wants to be. */
  push(): boolean {
    const notify = this.tx.push();
    if (notify) this.guest.event(this.ports.tx);
    return notify;
  }
  send(...args: Parameters<GuestQueue['put']>): void {
    this.put(...args);
    this.push();
  }
  /** [id, status] of each slot that was answered; extra infos' ids mean nothing. */
  sent(): Array<[number, number] | 'null'> {
    return this.tx.take().map((slot) => {
      const { id, status } = abi.netif_tx_response.decode(slot);
      return status === abi.NETIF_RSP_NULL ? 'null' : [id, status];
    });
  }

  /** Offers pages for packets. */
  offer(count: number, grant = (mfn: number) => this.guest.grant(mfn)): void {
    for (let i = 0; i < count; i++) {
      const id = this.rx.reqProdPvt & 255;
      // Of one queue all 256; of four 64 each.
      const gref = grant(RX_MFN + (((this.rx.firstMfn - RING_MFN) * 32 + id) % 256));
      this.#offered.set(id, gref);
      this.rx.put(abi.netif_rx_request.create({ id, gref }));
    }
    if (this.rx.push()) this.guest.event(this.ports.rx);
  }
  /** As Linux's xennet_poll(): responses belong to the requests of their slots. */
  received(): Array<Received | 'error'> {
    const packets: Array<Received | 'error'> = [];
    let slot = this.rx.rspCons;
    const responses = this.rx.take();
    for (let i = 0; i < responses.length; ) {
      const first = abi.netif_rx_response.decode(responses[i]!);
      const pieces: Buffer[] = [];
      let gso: Received['gso'];
      for (let more = true, flags = first.flags; more; ) {
        const response = abi.netif_rx_response.decode(responses[i++]!);
        const gref = this.#offered.get(slot++ & 255)!;
        if (response.status >= 0) {
          if (response.id !== ((slot - 1) & 255)) throw new Error(`id ${response.id} in slot ${slot - 1}`);
          pieces.push(this.guest.granted(gref).subarray(response.offset, response.offset + response.status));
        }
        flags = response.flags;
        more = (flags & abi.NETRXF_more_data) !== 0;
        if ((flags & abi.NETRXF_extra_info) === 0) continue;
        const extra = abi.netif_extra_info.decode(responses[i++]!);
        slot++;
        if (extra.type !== abi.XEN_NETIF_EXTRA_TYPE_GSO) throw new Error(`extra ${extra.type}`);
        gso = { type: extra.u.gso.type, size: extra.u.gso.size };
      }
      if (first.status < 0) packets.push('error');
      else packets.push({ data: Buffer.concat(pieces), flags: first.flags, gso });
    }
    return packets;
  }
}

export class NetGuest implements BackendHost {
  readonly guest = new Guest();
  readonly domid = 7;
  readonly memory = this.guest.memory;
  /** How often each port was raised. */
  readonly raised = new Map<number, number>();
  /** Called when a port is raised. */
  onRaise: (port: number) => void = () => {};
  /** Frames that the back end told of, and what it is to wait for before the guest hears of them. */
  readonly written: number[] = [];
  settling: Promise<void> | undefined;
  readonly #handlers = new Map<number, () => void>();
  readonly #grants = new HostGrants({
    memory: this.memory,
    grantFrames: this.guest.domain.grantFrames,
    nrPages: NR_PAGES,
    pageInfo: PAGE_INFO,
  });
  #ringFrames = 0;
  #frames = 0;

  wrote(mfn: number): void {
    this.written.push(mfn);
  }
  settled(): Promise<void> | undefined {
    return this.settling;
  }
  access(gref: number, options: { readonly write: boolean }) {
    return this.#grants.access(gref, options);
  }
  async bindPort(port: number, onEvent: () => void): Promise<BackendChannel> {
    if (port > 4095) throw Object.assign(new Error('no such port'), { code: 'EPORT' });
    this.#handlers.set(port, onEvent);
    return {
      notify: () => {
        this.raised.set(port, (this.raised.get(port) ?? 0) + 1);
        this.onRaise(port);
      },
      bePatient: () => {},
      close: () => this.#handlers.delete(port),
    };
  }

  /** Frames are handed out from the first again. */
  reset(): void {
    this.#ringFrames = this.#frames = 0;
  }
  get boundPorts(): number {
    return this.#handlers.size;
  }
  event(port: number): void {
    this.#handlers.get(port)?.();
  }
  close(): void {
    this.guest.close();
  }
  /** A page for something to be sent: they go round. */
  frame(): number {
    return TX_MFN + (this.#frames++ % (RING_MFN - TX_MFN));
  }
  ringFrame(): number {
    return RING_MFN + this.#ringFrames++;
  }
  /** Each page has an entry of its own. */
  grant(mfn: number, flags = 0): number {
    return this.guest.grant(mfn - RX_MFN + 8, mfn, GTF_permit_access | flags, 0);
  }
  /** The page behind a grant, as long as the entry stands. */
  granted(gref: number): Buffer {
    const at = this.guest.domain.grantFrames.firstMfn * PAGE + gref * 8;
    return Buffer.from(this.memory.copyOut(gpa(this.memory.readU32(gpa(at + 4)) * PAGE), PAGE));
  }
  /** Grants that the back end holds now. */
  get heldGrants(): number {
    let held = 0;
    for (let gref = 0; gref < 2048; gref++)
      if ((this.guest.flags(gref) & (GTF_reading | GTF_writing)) !== 0) held++;
    return held;
  }

  /** The nodes of a front end with these queues, and what it takes. */
  nodes(queues: readonly GuestQueue[], features: Record<string, number> = {}): Map<string, string> {
    const nodes = new Map<string, string>();
    const all = { 'request-rx-copy': 1, 'feature-rx-notify': 1, ...features };
    for (const [name, value] of Object.entries(all)) nodes.set(name, `${value}`);
    if (queues.length > 1) nodes.set('multi-queue-num-queues', `${queues.length}`);
    queues.forEach(({ tx, rx, ports }, index) => {
      const folder = queues.length > 1 ? `queue-${index}/` : '';
      nodes.set(`${folder}tx-ring-ref`, `${this.grant(tx.firstMfn)}`);
      nodes.set(`${folder}rx-ring-ref`, `${this.grant(rx.firstMfn)}`);
      if (ports.tx === ports.rx) nodes.set(`${folder}event-channel`, `${ports.tx}`);
      else {
        nodes.set(`${folder}event-channel-tx`, `${ports.tx}`);
        nodes.set(`${folder}event-channel-rx`, `${ports.rx}`);
      }
    });
    return nodes;
  }
}

export function gsoInfo(size: number, type = abi.XEN_NETIF_GSO_TYPE_TCPV4): Uint8Array {
  return abi.netif_extra_info.create({
    type: abi.XEN_NETIF_EXTRA_TYPE_GSO,
    flags: 0,
    u: { gso: { size, type, pad: 0, features: 0 } },
  });
}
