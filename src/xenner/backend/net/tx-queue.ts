/** What a guest sends: from its ring to the port, in batches, at most as fast as its credit allows. */
import { MAX_NET_BATCH_REQUESTS } from '../../../base/limits.js';
import { gpa } from '../../../kvm/index.js';
import {
  NETIF_RSP_ERROR,
  NETIF_RSP_NULL,
  NETIF_RSP_OKAY,
  NETTXF_csum_blank,
  NETTXF_data_validated,
} from '../../abi/netif.js';
import type { HostGrant } from '../../grants/host-grants.js';
import type { BackRing } from '../back-ring.js';
import type { BackendHost } from '../backend-host.js';
import { finishChecksum } from './checksum.js';
import type { Counters } from './counters.js';
import type { Credit } from './credit.js';
import { IPPROTO_TCP, MAX_HEADER_BYTES, parseHeaders, pseudoHeaderSum } from './headers.js';
import type { MulticastFilter } from './multicast.js';
import type { Packet, Unfinished } from './net-port.js';
import { BrokenRingError, type Slot, type TxPacket, TxReader } from './tx-packet.js';

const PAGE = 4096;

export interface TxQueueOptions {
  readonly host: BackendHost;
  readonly ring: BackRing;
  readonly credit: Credit | undefined;
  readonly multicast: MulticastFilter;
  readonly counters: Counters;
  /** A packet for the port. False: no more before resume(). */
  readonly send: (packet: Packet) => boolean;
  readonly notify: () => void;
  /** The guest is to be told no more of this ring. */
  readonly broken: (reason: string) => void;
}

export class TxQueue {
  readonly #options: TxQueueOptions;
  readonly #reader: TxReader;
  readonly #head = new Uint8Array(MAX_HEADER_BYTES);
  #isClosed = false;
  #isBlocked = false;
  #turn: NodeJS.Immediate | undefined;
  #pause: NodeJS.Timeout | undefined;

  constructor(options: TxQueueOptions) {
    this.#options = options;
    this.#reader = new TxReader(options.ring);
  }

  /** The guest notified: there may be packets. */
  kick(): void {
    if (this.#turn === undefined && this.#pause === undefined && !this.#isBlocked) this.#serve();
  }

  /** The port takes packets again. */
  resume(): void {
    this.#isBlocked = false;
    this.kick();
  }

  /** Nothing of the ring is touched afterwards. Idempotent. */
  close(): void {
    this.#isClosed = true;
    clearImmediate(this.#turn);
    clearTimeout(this.#pause);
  }

  /** One batch; then others have their turn. */
  #serve(): void {
    if (this.#isClosed) return;
    const { ring, notify, broken } = this.#options;
    let budget = MAX_NET_BATCH_REQUESTS;
    try {
      while (budget > 0 && !this.#isBlocked && this.#pause === undefined && this.#hasRequests())
        budget -= this.#serveOne();
    } catch (error) {
      if (!(error instanceof BrokenRingError)) throw error;
      this.close();
      broken(error.message);
      return;
    }
    if (ring.pushResponses()) notify();
    if (budget <= 0) {
      this.#turn = setImmediate(() => {
        this.#turn = undefined;
        this.#serve();
      });
    }
  }

  #hasRequests(): boolean {
    const { ring } = this.#options;
    if (ring.isOverrun) throw new BrokenRingError('more requests than the ring has slots');
    return ring.finalCheck();
  }

  /** Returns how many requests it took. */
  #serveOne(): number {
    const { ring, credit, counters } = this.#options;
    const packet = this.#reader.read(ring.unconsumed);
    const waitMs = credit?.take(packet.length) ?? 0;
    if (waitMs > 0) {
      this.#pause = setTimeout(() => {
        this.#pause = undefined;
        this.#serve();
      }, waitMs);
      return 0;
    }
    const requests = packet.slots.length + packet.extras;
    ring.consume(requests);
    let status = NETIF_RSP_ERROR;
    if (packet.multicast !== undefined) status = this.#filter(packet.multicast);
    else if (!packet.isBad) status = this.#transmit(packet);
    if (status === NETIF_RSP_ERROR) counters.errors++;
    this.#respond(packet, status);
    return requests;
  }

  #filter({ add, address }: NonNullable<TxPacket['multicast']>): number {
    const { multicast } = this.#options;
    if (add && !multicast.add(address)) return NETIF_RSP_ERROR;
    if (!add) multicast.delete(address);
    return NETIF_RSP_OKAY;
  }

  #transmit(packet: TxPacket): number {
    const grants: HostGrant[] = [];
    try {
      const pieces = this.#pieces(packet.slots, grants);
      if (pieces === undefined) return NETIF_RSP_ERROR;
      const { counters, send } = this.#options;
      const head = pieces[0]!;
      const isValidated = (packet.flags & (NETTXF_csum_blank | NETTXF_data_validated)) !== 0;
      let unfinished: Unfinished | undefined;
      if (packet.gso !== undefined || (packet.flags & NETTXF_csum_blank) !== 0) {
        unfinished = describe(head, packet);
        if (unfinished === undefined) return NETIF_RSP_ERROR;
      }
      counters.packets++;
      counters.bytes += packet.length;
      this.#isBlocked = !send({ pieces, length: packet.length, unfinished, isValidated });
      return NETIF_RSP_OKAY;
    } finally {
      for (const grant of grants) grant.release();
    }
  }

  /** The packet's head, copied, and what is behind it in the guest's pages; undefined if one of them is not granted. */
  #pieces(slots: readonly Slot[], grants: HostGrant[]): Uint8Array[] | undefined {
    const { host } = this.#options;
    const pieces: Uint8Array[] = [this.#head];
    let copied = 0;
    for (const { gref, offset, size } of slots) {
      if (size === 0) continue;
      const grant = host.access(gref, { write: false });
      if (typeof grant === 'number') return undefined;
      grants.push(grant);
      const bytes = host.memory.bytes(gpa(grant.mfn * PAGE + offset), size);
      const toCopy = Math.min(size, MAX_HEADER_BYTES - copied);
      if (toCopy > 0) this.#head.set(bytes.subarray(0, toCopy), copied);
      copied += toCopy;
      if (toCopy < size) pieces.push(toCopy > 0 ? bytes.subarray(toCopy) : bytes);
    }
    pieces[0] = this.#head.subarray(0, copied);
    return pieces;
  }

  #respond({ slots, extras }: TxPacket, status: number): void {
    const { ring } = this.#options;
    slots.forEach((slot, index) => {
      ring.respond([slot.id | ((status & 0xffff) << 16)]);
      if (index === 0) for (let i = 0; i < extras; i++) ring.respond([NETIF_RSP_NULL << 16]);
    });
  }
}

/** What is left to be done, which the guest says by flags alone; undefined if there is no TCP or UDP to do it to. */
function describe(head: Uint8Array, { gso, flags, length }: TxPacket): Unfinished | undefined {
  const headers = parseHeaders(head);
  if (headers === undefined) return undefined;
  const { transport, checksumOffset: offset, end, protocol, version } = headers;
  if (gso !== undefined && (protocol !== IPPROTO_TCP || gso.type !== `tcpv${version}`)) return undefined;
  if ((flags & NETTXF_csum_blank) === 0) {
    // Some front ends leave the flag out where there are segments: netback's rx_gso_checksum_fixup.
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    const sum = pseudoHeaderSum(view, headers, length - transport);
    view.setUint16(transport + offset, ~finishChecksum(sum));
  }
  return {
    checksum: { start: transport, offset },
    segments: gso && { type: gso.type, headerBytes: end, payloadBytes: gso.size },
  };
}
