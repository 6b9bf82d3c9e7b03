/**
 * Two guests that are a wire: what one receives, the other sends, with all that the packet lacks. The kernels of both ends then
 * talk through two back ends, and check what comes of it.
 */
import * as abi from '../../../src/xenner/abi/netif.js';
import { NetDriver } from '../../../src/xenner/backend/net/net-driver.js';
import type { NetPort } from '../../../src/xenner/backend/net/net-port.js';
import type { BackendConnection } from '../../../src/xenner/backend/xenbus.js';
import { GuestQueue, gsoInfo, NetGuest } from '../../unit/backend/net/net-guest.js';

const PORT = { tx: 20, rx: 21 };
const PAGES = 250;

export class WireEnd {
  readonly guest = new NetGuest();
  readonly queue = new GuestQueue(this.guest, PORT);
  readonly driver: NetDriver;
  other!: WireEnd;
  /** Packets that came as segments are. */
  segments = 0;
  readonly failures: string[] = [];
  #connection: BackendConnection | undefined;

  constructor(port: NetPort) {
    this.driver = new NetDriver(this.guest, port, { mac: '00:16:3e:00:00:01', handle: 0 });
    this.guest.onRaise = (raised) => {
      if (raised === PORT.rx) setImmediate(() => this.#relay());
    };
  }

  async connect(features: Record<string, number>): Promise<void> {
    this.#connection = await this.driver.connect(this.guest.nodes([this.queue], features), (reason) => {
      this.failures.push(reason);
    });
    this.queue.offer(PAGES);
  }

  async close(): Promise<void> {
    await this.#connection?.disconnect();
    this.guest.close();
  }

  #relay(): void {
    if (this.guest.memory.size === 0) return;
    const before = this.queue.rx.rspCons;
    for (const packet of this.queue.received()) {
      if (packet === 'error') throw new Error('a packet was lost');
      const { data, flags, gso } = packet;
      if (gso) this.segments++;
      const sizes: number[] = [];
      for (let at = 0; at < data.length; at += 4096) sizes.push(Math.min(4096, data.length - at));
      this.other.queue.sent();
      this.other.queue.send(data, {
        sizes,
        extras: gso ? [gsoInfo(gso.size, gso.type)] : [],
        flags:
          (flags & abi.NETRXF_csum_blank ? abi.NETTXF_csum_blank : 0) |
          (flags & abi.NETRXF_data_validated ? abi.NETTXF_data_validated : 0),
      });
    }
    this.queue.offer((this.queue.rx.rspCons - before) >>> 0);
  }
}

export async function connectWire(
  ports: readonly [NetPort, NetPort],
  features: readonly [Record<string, number>, Record<string, number>],
): Promise<readonly [WireEnd, WireEnd]> {
  const [a, b] = ports.map((port) => new WireEnd(port)) as [WireEnd, WireEnd];
  a.other = b;
  b.other = a;
  await a.connect(features[0]);
  await b.connect(features[1]);
  return [a, b];
}
