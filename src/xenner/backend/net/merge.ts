/**
 * Makes TCP segments that follow each other one packet that is still to be cut, as Linux's generic receive offload does
 * (tcp_gro_receive() in net/ipv4/tcp_offload.c): a guest has hardly more work with the one than with each of them.
 */
import { addToChecksum, finishChecksum } from './checksum.js';
import { ETH_HLEN, type Headers, IPPROTO_TCP, parseHeaders, pseudoHeaderSum } from './headers.js';
import type { Offloads, Packet } from './net-port.js';

const MAX_IP_BYTES = 65_535;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const TCP_PSH = 0x08;
const TCP_ACK = 0x10;

/** What differs between segments of one packet, as places in their headers; IPv4's IDs count up when they are cut again. */
const OF_IPV4: ReadonlySet<number> = new Set([2, 3, 4, 5, 10, 11]);
const OF_IPV6: ReadonlySet<number> = new Set([4, 5]);
const OF_TCP: ReadonlySet<number> = new Set([4, 5, 6, 7, 13, 16, 17]);

interface Segment {
  readonly bytes: Uint8Array;
  readonly headers: Headers;
  readonly payload: Uint8Array;
  readonly seq: number;
  readonly isPushed: boolean;
}

/** @returns undefined: a packet that stays as it is */
function segmentOf({ pieces, unfinished, isValidated }: Packet): Segment | undefined {
  const [bytes] = pieces as [Uint8Array];
  // Whoever checks the merged one's sum has no use for those of its parts.
  if (pieces.length !== 1 || unfinished !== undefined || !isValidated) return undefined;
  const headers = parseHeaders(bytes);
  if (headers?.protocol !== IPPROTO_TCP || headers.network !== ETH_HLEN) return undefined;
  const { version, network, transport, end } = headers;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const ipBytes = version === 4 ? view.getUint16(network + 2) : view.getUint16(network + 4) + IPV6_BYTES;
  const flags = view.getUint8(transport + 13);
  if (
    transport - network !== (version === 4 ? IPV4_BYTES : IPV6_BYTES) ||
    network + ipBytes !== bytes.length ||
    end === bytes.length ||
    (flags & ~TCP_PSH) !== TCP_ACK
  )
    return undefined;
  const seq = view.getUint32(transport + 4);
  return { bytes, headers, payload: bytes.subarray(end), seq, isPushed: (flags & TCP_PSH) !== 0 };
}

function haveSameHeaders(a: Segment, b: Segment): boolean {
  const { network, transport, end, version } = a.headers;
  if (b.headers.end !== end || b.headers.version !== version) return false;
  const ofNetwork = version === 4 ? OF_IPV4 : OF_IPV6;
  for (let at = 0; at < end; at++) {
    if (a.bytes[at] === b.bytes[at]) continue;
    if (!(at < transport ? ofNetwork.has(at - network) : OF_TCP.has(at - transport))) return false;
  }
  return true;
}

/** Segments that become one packet. */
class Run {
  readonly #payloads: Uint8Array[] = [];
  #bytes = 0;
  #isPushed = false;
  /** No other one fits behind the last. */
  #isComplete = false;

  constructor(
    private readonly packet: Packet,
    private readonly first: Segment,
  ) {
    this.#append(first);
  }

  /** False: it begins something else. */
  add(next: Segment): boolean {
    const { headers, payload, seq } = this.first;
    if (
      this.#isComplete ||
      next.payload.length > payload.length ||
      headers.end - headers.network + this.#bytes + next.payload.length > MAX_IP_BYTES ||
      next.seq !== (seq + this.#bytes) >>> 0 ||
      !haveSameHeaders(this.first, next)
    )
      return false;
    this.#append(next);
    return true;
  }

  merged(): Packet {
    if (this.#payloads.length === 1) return this.packet;
    const { bytes, headers, payload } = this.first;
    const { version, network, transport, end } = headers;
    const head = new Uint8Array(bytes.subarray(0, end)); // a Buffer's slice() is no copy
    const view = new DataView(head.buffer);
    if (version === 4) {
      view.setUint16(network + 2, end - network + this.#bytes);
      view.setUint16(network + 10, 0);
      view.setUint16(network + 10, finishChecksum(addToChecksum(view, network, transport)));
    } else {
      view.setUint16(network + 4, end - transport + this.#bytes);
    }
    if (this.#isPushed) view.setUint8(transport + 13, TCP_ACK | TCP_PSH);
    const sum = pseudoHeaderSum(view, headers, end - transport + this.#bytes);
    view.setUint16(transport + 16, ~finishChecksum(sum) & 0xffff);
    const segments = {
      type: version === 4 ? 'tcpv4' : 'tcpv6',
      headerBytes: end,
      payloadBytes: payload.length,
    } as const;
    return {
      pieces: [head, ...this.#payloads],
      length: end + this.#bytes,
      unfinished: { checksum: { start: transport, offset: headers.checksumOffset }, segments },
      isValidated: true,
    };
  }

  #append({ payload, isPushed }: Segment): void {
    this.#payloads.push(payload);
    this.#bytes += payload.length;
    this.#isPushed = isPushed;
    this.#isComplete = isPushed || payload.length < this.first.payload.length;
  }
}

/** @param can of the receiver: what it takes uncut */
export function mergeSegments(packets: readonly Packet[], can: Offloads): readonly Packet[] {
  const merged: Packet[] = [];
  let run: Run | undefined;
  for (const packet of packets) {
    const segment = segmentOf(packet);
    if (segment !== undefined && run?.add(segment)) continue;
    if (run !== undefined) merged.push(run.merged());
    const isMergeable = segment !== undefined && can[segment.headers.version === 4 ? 'tcpv4' : 'tcpv6'];
    run = isMergeable ? new Run(packet, segment) : undefined;
    if (run === undefined) merged.push(packet);
  }
  if (run !== undefined) merged.push(run.merged());
  return merged;
}
