/** A network device that a guest's driver has connected to: its queues, between the guest's rings and a port of the host's. */
import { XennerError } from '../../../base/errors.js';
import { netif_rx_sring, netif_tx_sring } from '../../abi/netif.js';
import type { HostGrant } from '../../grants/host-grants.js';
import { BackRing } from '../back-ring.js';
import type { BackendChannel, BackendHost } from '../backend-host.js';
import type { Counters } from './counters.js';
import type { Credit } from './credit.js';
import { Finisher } from './finish.js';
import type { FrontEnd, QueueNodes } from './front-nodes.js';
import { parseHeaders } from './headers.js';
import { MulticastFilter } from './multicast.js';
import type { NetPort, NetReceiver, Offloads, Packet } from './net-port.js';
import { RxQueue } from './rx-queue.js';
import { TxQueue } from './tx-queue.js';

/** How long a packet waits for a guest that offers no pages (rx_drain_timeout_msecs of Linux's netback). */
const RX_DRAIN_MS = 10_000;
/** The same for one that does not tell when it has offered some: then it is looked at so often. */
const RX_POLL_MS = 30;

export interface VifCounters {
  /** What the guest sent. */
  readonly tx: Counters;
  /** What it received. */
  readonly rx: Counters;
}

export interface VifOptions {
  readonly host: BackendHost;
  readonly port: NetPort;
  readonly front: FrontEnd;
  readonly credit: Credit | undefined;
  readonly counters: VifCounters;
  /** The device has stopped by itself: the guest broke a ring, or the port failed. close() is still to be called. */
  readonly failed: (reason: string) => void;
}

interface Queue {
  readonly tx: TxQueue;
  readonly rx: RxQueue;
}

export class Vif implements NetReceiver {
  readonly offloads: Offloads;
  readonly #options: VifOptions;
  readonly #multicast: MulticastFilter;
  readonly #toPort = new Finisher();
  readonly #toGuest = new Finisher();
  readonly #queues: Queue[] = [];
  /** Rings' pages and ports, to be given back. */
  readonly #grants: HostGrant[] = [];
  readonly #channels: BackendChannel[] = [];
  #isStopped = false;
  #isLinkUp = true;
  /** The port keeps packets that did not fit. */
  #isHeld = false;
  #discards = false;
  #drain: NodeJS.Timeout | undefined;

  private constructor(options: VifOptions) {
    this.#options = options;
    this.offloads = options.front.offloads;
    this.#multicast = new MulticastFilter(options.front.multicastControl);
  }

  /** @throws XennerError (rejection) EFRONTEND, EPORT: the guest has not granted what it said it has; the port's */
  static async connect(options: VifOptions): Promise<Vif> {
    const vif = new Vif(options);
    try {
      for (const queue of options.front.queues) await vif.#addQueue(queue);
      options.port.attach(vif);
    } catch (error) {
      vif.close();
      throw error;
    }
    // What the guest sent before the port was bound raised no event.
    for (const { tx } of vif.#queues) tx.kick();
    return vif;
  }

  /** Without a link everything is lost that either side sends. */
  setLink(isUp: boolean): void {
    this.#isLinkUp = isUp;
  }

  receive(packets: readonly Packet[]): number {
    let taken = 0;
    while (taken < packets.length && this.#deliver(packets[taken]!)) taken++;
    this.#discards = false;
    for (const { rx } of this.#queues) rx.flush();
    this.#isHeld = taken < packets.length;
    if (this.#isHeld) this.#waitForRoom();
    return taken;
  }

  drained(): void {
    for (const { tx } of this.#queues) tx.resume();
  }

  failed(error: Error): void {
    this.#stop(`${this.#options.port.name}: ${error.message}`);
  }

  /** Nothing of the guest's is touched afterwards. The port stays open. Idempotent. */
  close(): void {
    this.#halt();
    for (const channel of this.#channels.splice(0)) channel.close();
    for (const grant of this.#grants.splice(0)) grant.release();
  }

  async #addQueue({ txRingRef, rxRingRef, txPort, rxPort }: QueueNodes): Promise<void> {
    const { host, front, credit, counters } = this.#options;
    const txRing = this.#attachRing(txRingRef, netif_tx_sring);
    const rxRing = this.#attachRing(rxRingRef, netif_rx_sring);
    const broken = (reason: string) => this.#stop(reason);
    const channels: { tx?: BackendChannel; rx?: BackendChannel } = {};
    const tx = new TxQueue({
      ...{ host, credit, broken, ring: txRing, counters: counters.tx, multicast: this.#multicast },
      send: (packet) => this.#send(packet),
      notify: () => channels.tx?.notify(),
    });
    const { scatterGather } = front;
    const rx = new RxQueue({
      ...{ host, scatterGather, broken, ring: rxRing, counters: counters.rx },
      notify: () => channels.rx?.notify(),
    });
    this.#queues.push({ tx, rx });
    const onRx = () => this.#hasRoom();
    if (txPort === rxPort) {
      channels.tx = channels.rx = await this.#bind(txPort, () => {
        tx.kick();
        onRx();
      });
    } else {
      channels.tx = await this.#bind(txPort, () => tx.kick());
      channels.rx = await this.#bind(rxPort, onRx);
    }
  }

  #attachRing(gref: number, layout: typeof netif_tx_sring | typeof netif_rx_sring): BackRing {
    const grant = this.#options.host.access(gref, { write: true });
    if (typeof grant === 'number')
      throw new XennerError('EFRONTEND', `the ring of grant ${gref} cannot be mapped: GNTST ${grant}`);
    this.#grants.push(grant);
    const ring = new BackRing(this.#options.host.memory, [grant.mfn], layout);
    if (ring.isOverrun)
      throw new XennerError(
        'EFRONTEND',
        `the ring of grant ${gref} says that it holds more requests than it has slots`,
      );
    return ring;
  }

  async #bind(port: number, onEvent: () => void): Promise<BackendChannel> {
    const channel = await this.#options.host.bindPort(port, () => {
      if (!this.#isStopped) onEvent();
    });
    this.#channels.push(channel);
    return channel;
  }

  #send(packet: Packet): boolean {
    const { port, counters } = this.#options;
    if (!this.#isLinkUp) {
      counters.tx.drops++;
      return true;
    }
    let goOn = true;
    const packets = this.#toPort.finish(packet, port.offloads);
    if (packets.length === 0) counters.tx.drops++;
    for (const finished of packets) goOn = port.send(finished) && goOn;
    return goOn;
  }

  /** False: it has to wait. */
  #deliver(packet: Packet): boolean {
    const { rx: counters } = this.#options.counters;
    if (!this.#isLinkUp || !this.#multicast.passes(packet.pieces[0]!)) {
      counters.drops++;
      return true;
    }
    const { rx } = this.#queues[this.#queueOf(packet)]!;
    const packets = this.#toGuest.finish(packet, this.offloads);
    if (packets.length === 0) counters.drops++;
    for (const [index, finished] of packets.entries()) {
      if (rx.offer(finished)) continue;
      // One of several that it was made into: the port would bring the first ones again.
      if (index === 0 && !this.#discards) return false;
      counters.drops++;
    }
    return true;
  }

  /** Packets of one connection stay in order. */
  #queueOf({ pieces }: Packet): number {
    if (this.#queues.length === 1) return 0;
    const head = pieces[0]!;
    const headers = parseHeaders(head);
    if (headers === undefined) return 0;
    let hash = 0;
    const addresses = headers.version === 4 ? headers.network + 12 : headers.network + 8;
    const end = headers.version === 4 ? headers.network + 20 : headers.network + 40;
    for (let at = addresses; at < end; at++) hash = Math.imul(hash ^ head[at]!, 0x01000193);
    for (let i = 0; i < 4; i++) hash = Math.imul(hash ^ head[headers.transport + i]!, 0x01000193);
    return (hash >>> 8) % this.#queues.length;
  }

  #waitForRoom(): void {
    this.#drain ??= setTimeout(
      () => {
        this.#drain = undefined;
        this.#discards = true;
        this.#resumePort();
      },
      this.#options.front.notifiesRx ? RX_DRAIN_MS : RX_POLL_MS,
    );
  }

  #hasRoom(): void {
    if (!this.#isHeld) return;
    clearTimeout(this.#drain);
    this.#drain = undefined;
    this.#resumePort();
  }

  #resumePort(): void {
    this.#isHeld = false;
    this.#options.port.resume();
  }

  #stop(reason: string): void {
    if (this.#isStopped) return;
    this.#halt();
    this.#options.failed(reason);
  }

  #halt(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#options.port.detach();
    clearTimeout(this.#drain);
    for (const { tx, rx } of this.#queues) {
      tx.close();
      rx.close();
    }
  }
}
