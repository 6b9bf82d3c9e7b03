/** What a guest receives: packets into the pages that its ring offers (io/netif.h, "Guest receive"). */
import { gpa } from '../../../kvm/index.js';
import {
  NETIF_RSP_ERROR,
  NETRXF_csum_blank,
  NETRXF_data_validated,
  NETRXF_extra_info,
  NETRXF_more_data,
  XEN_NETIF_EXTRA_TYPE_GSO,
  XEN_NETIF_GSO_TYPE_TCPV4,
  XEN_NETIF_GSO_TYPE_TCPV6,
} from '../../abi/netif.js';
import type { HostGrant } from '../../grants/host-grants.js';
import { Answers } from '../answers.js';
import type { BackRing } from '../back-ring.js';
import type { BackendHost } from '../backend-host.js';
import type { Counters } from './counters.js';
import type { Packet, Segments } from './net-port.js';

const PAGE = 4096;
const SLOT_WORDS = 2;
const GSO_TYPES = { tcpv4: XEN_NETIF_GSO_TYPE_TCPV4, tcpv6: XEN_NETIF_GSO_TYPE_TCPV6 };

export interface RxQueueOptions {
  readonly host: BackendHost;
  readonly ring: BackRing;
  /** feature-sg: a packet may take several slots. */
  readonly scatterGather: boolean;
  readonly counters: Counters;
  readonly notify: () => void;
  readonly broken: (reason: string) => void;
}

export class RxQueue {
  readonly #options: RxQueueOptions;
  readonly #words = new Uint32Array(SLOT_WORDS);
  readonly #answers: Answers;
  #isClosed = false;

  constructor(options: RxQueueOptions) {
    this.#options = options;
    this.#answers = new Answers(options.host, options.ring, options.notify);
  }

  /**
   * Puts a packet on the ring, which the guest sees at flush(). False: there is no room for it, and the guest notifies when there
   * is; any other packet is done with, also one that cannot be delivered.
   */
  offer(packet: Packet): boolean {
    if (this.#isClosed) return true;
    const { ring, scatterGather, counters, broken } = this.#options;
    if (ring.isOverrun) {
      this.close();
      broken('more requests than the ring has slots');
      return true;
    }
    const pages = Math.ceil(packet.length / PAGE);
    const slots = pages + (packet.unfinished?.segments ? 1 : 0);
    if ((pages > 1 && !scatterGather) || slots > ring.size) {
      counters.drops++;
      return true;
    }
    if (ring.unconsumed < slots && !ring.awaitRequests(slots)) return false;
    this.#deliver(packet, slots);
    return true;
  }

  flush(): void {
    this.#answers.push();
  }

  /** Nothing of the ring is touched afterwards. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#answers.close();
  }

  /**
   * Linux's front end finds a response by its slot and not by its id: each stands where its request stood, and what takes the place
   * of one, extra info, uses up the request of that slot.
   */
  #deliver(packet: Packet, slots: number): void {
    const { host, ring, counters } = this.#options;
    const segments = packet.unfinished?.segments;
    const ids: number[] = [];
    const grants: HostGrant[] = [];
    let isGranted = true;
    for (let i = 0; i < slots; i++) {
      ring.copyRequest((ring.reqCons + i) >>> 0, this.#words);
      ids.push(this.#words[0]! & 0xffff);
      if (!isGranted || (i === 1 && segments)) continue;
      const grant = host.access(this.#words[1]!, { write: true });
      if (typeof grant === 'number') isGranted = false;
      else grants.push(grant);
    }
    ring.consume(slots);
    if (isGranted) {
      counters.packets++;
      counters.bytes += packet.length;
      this.#fill(packet, grants);
      this.#respond(packet, ids);
    } else {
      counters.errors++;
      for (const id of ids) ring.respond([id, NETIF_RSP_ERROR << 16]);
    }
    for (const grant of grants) grant.release();
  }

  #fill({ pieces }: Packet, grants: readonly HostGrant[]): void {
    const { host } = this.#options;
    const { memory } = host;
    let page = 0;
    let at = 0;
    for (const piece of pieces) {
      for (let from = 0; from < piece.length; ) {
        if (at === PAGE) {
          page++;
          at = 0;
        }
        const count = Math.min(piece.length - from, PAGE - at);
        memory.bytes(gpa(grants[page]!.mfn * PAGE + at), count).set(piece.subarray(from, from + count));
        from += count;
        at += count;
      }
    }
    for (const { mfn } of grants) host.wrote(mfn);
  }

  #respond({ length, unfinished, isValidated }: Packet, ids: readonly number[]): void {
    const { ring } = this.#options;
    const segments = unfinished?.segments;
    let flags = isValidated || unfinished ? NETRXF_data_validated : 0;
    if (unfinished) flags |= NETRXF_csum_blank;
    if (segments) flags |= NETRXF_extra_info;
    let left = length;
    ids.forEach((id, index) => {
      if (index === 1 && segments) {
        ring.respond(gsoInfo(segments));
        return;
      }
      const bytes = Math.min(left, PAGE);
      left -= bytes;
      if (left > 0) flags |= NETRXF_more_data;
      ring.respond([id, flags | (bytes << 16)]);
      flags = 0;
    });
  }
}

/** struct netif_extra_info, as words. */
function gsoInfo({ type, payloadBytes }: Segments): number[] {
  return [XEN_NETIF_EXTRA_TYPE_GSO | (payloadBytes << 16), GSO_TYPES[type]];
}
