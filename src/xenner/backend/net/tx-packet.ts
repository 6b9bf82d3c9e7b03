/** One packet that a guest sends, as it stands on the ring (io/netif.h, "Guest transmit"): read once, checked, and only then used. */
import { MAX_NET_PACKET_SLOTS } from '../../../base/limits.js';
import {
  NETTXF_extra_info,
  NETTXF_more_data,
  XEN_NETIF_EXTRA_FLAG_MORE,
  XEN_NETIF_EXTRA_TYPE_GSO,
  XEN_NETIF_EXTRA_TYPE_HASH,
  XEN_NETIF_EXTRA_TYPE_MAX,
  XEN_NETIF_EXTRA_TYPE_MCAST_ADD,
  XEN_NETIF_EXTRA_TYPE_MCAST_DEL,
  XEN_NETIF_EXTRA_TYPE_NONE,
  XEN_NETIF_GSO_TYPE_TCPV4,
  XEN_NETIF_GSO_TYPE_TCPV6,
  XEN_NETIF_NR_SLOTS_MIN,
} from '../../abi/netif.js';
import type { BackRing } from '../back-ring.js';
import { ETH_HLEN } from './headers.js';

const PAGE = 4096;
const SLOT_WORDS = 3;

/** A front end that does this is not one: Linux's netback stops its device. */
export class BrokenRingError extends Error {
  override readonly name = 'BrokenRingError';
}

export interface Slot {
  readonly id: number;
  readonly gref: number;
  readonly offset: number;
  readonly size: number;
  readonly flags: number;
}

export interface TxPacket {
  /** The first slot's size is its own here. */
  readonly slots: readonly Slot[];
  /** Of the first slot. */
  readonly flags: number;
  /** Sum of the slots' sizes. */
  readonly length: number;
  /** Extra infos stand behind the first slot. */
  readonly extras: number;
  readonly gso: { readonly type: 'tcpv4' | 'tcpv6'; readonly size: number } | undefined;
  readonly multicast: { readonly add: boolean; readonly address: Uint8Array } | undefined;
  /** No packet: answered with NETIF_RSP_ERROR. */
  readonly isBad: boolean;
}

type Extras = Pick<TxPacket, 'extras' | 'gso' | 'multicast'>;
const NO_EXTRAS: Extras = { extras: 0, gso: undefined, multicast: undefined };

export class TxReader {
  readonly #words = new Uint32Array(SLOT_WORDS);
  readonly #bytes = new Uint8Array(this.#words.buffer);

  constructor(private readonly ring: BackRing) {}

  /**
   * The next packet, which stays on the ring: `slots` and `extras` say how many requests it is.
   * @param available requests, at least 1
   * @throws BrokenRingError
   */
  read(available: number): TxPacket {
    const first = this.#slotAt(0);
    const extras = (first.flags & NETTXF_extra_info) !== 0 ? this.#extras(available) : NO_EXTRAS;
    const { flags } = first;
    // A multicast request is a dummy: what stands behind it is another packet.
    if (extras.multicast !== undefined)
      return { slots: [first], flags, length: first.size, isBad: false, ...extras };
    const slots = [first];
    let rest = 0;
    for (let more = flags & NETTXF_more_data; more !== 0; ) {
      const index = slots.length + extras.extras;
      if (index >= available)
        throw new BrokenRingError(`a packet of ${index + 1} slots, of which ${available} are there`);
      if (slots.length >= MAX_NET_PACKET_SLOTS) throw new BrokenRingError('a packet of too many slots');
      const slot = this.#slotAt(index);
      if (slot.offset + slot.size > PAGE) throw new BrokenRingError('a slot that crosses its page');
      slots.push(slot);
      rest += slot.size;
      more = slot.flags & NETTXF_more_data;
    }
    const size = first.size - rest;
    const isBad = slots.length > XEN_NETIF_NR_SLOTS_MIN || size < 0 || first.size < ETH_HLEN;
    if (!isBad && first.offset + size > PAGE) throw new BrokenRingError('a slot that crosses its page');
    slots[0] = { ...first, size };
    return { slots, flags, length: first.size, isBad, ...extras };
  }

  #slotAt(index: number): Slot {
    this.ring.copyRequest((this.ring.reqCons + index) >>> 0, this.#words);
    const [gref, offsetFlags, idSize] = this.#words as unknown as [number, number, number];
    return {
      gref,
      offset: offsetFlags & 0xffff,
      flags: offsetFlags >>> 16,
      id: idSize & 0xffff,
      size: idSize >>> 16,
    };
  }

  /** struct netif_extra_info in place of requests; of each kind the last one counts. */
  #extras(available: number): Extras {
    let { gso, multicast } = NO_EXTRAS;
    for (let extras = 1; ; extras++) {
      if (extras >= available) throw new BrokenRingError('a packet without its extra info');
      this.ring.copyRequest((this.ring.reqCons + extras) >>> 0, this.#words);
      const [type, flags] = this.#bytes as unknown as [number, number];
      if (type === XEN_NETIF_EXTRA_TYPE_NONE || type >= XEN_NETIF_EXTRA_TYPE_MAX)
        throw new BrokenRingError(`extra info of type ${type}`);
      if (type === XEN_NETIF_EXTRA_TYPE_GSO) gso = this.#gso();
      else if (type === XEN_NETIF_EXTRA_TYPE_MCAST_ADD || type === XEN_NETIF_EXTRA_TYPE_MCAST_DEL)
        multicast = { add: type === XEN_NETIF_EXTRA_TYPE_MCAST_ADD, address: this.#bytes.slice(2, 8) };
      // Hashes are for a back end that has offered them.
      else if (type !== XEN_NETIF_EXTRA_TYPE_HASH) throw new BrokenRingError(`extra info of type ${type}`);
      if ((flags & XEN_NETIF_EXTRA_FLAG_MORE) === 0) return { extras, gso, multicast };
    }
  }

  #gso(): NonNullable<Extras['gso']> {
    const size = this.#words[0]! >>> 16;
    const type = this.#bytes[4];
    if (size === 0) throw new BrokenRingError('segments of no size');
    if (type === XEN_NETIF_GSO_TYPE_TCPV4) return { type: 'tcpv4', size };
    if (type === XEN_NETIF_GSO_TYPE_TCPV6) return { type: 'tcpv6', size };
    throw new BrokenRingError(`segments of type ${type}`);
  }
}
