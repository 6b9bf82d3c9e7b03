/**
 * Finishes packets in software, for whoever takes no unfinished ones: checksums, and TCP packets cut into segments as Linux's
 * tcp_gso_segment() does it.
 */
import { MAX_NET_SEGMENTS } from '../../../base/limits.js';
import { addToChecksum, finishChecksum } from './checksum.js';
import {
  ETH_HLEN,
  type Headers,
  IPPROTO_TCP,
  MAX_HEADER_BYTES,
  parseHeaders,
  pseudoHeaderSum,
} from './headers.js';
import type { Offloads, Packet, Segments } from './net-port.js';

const TCP_FIN = 0x01;
const TCP_PSH = 0x08;
const TCP_CWR = 0x80;
const NO_PACKETS: readonly Packet[] = [];

export class Finisher {
  #packet = new Uint8Array(0);
  #segments = new Uint8Array(0);

  /**
   * The packet itself, if it lacks nothing that `can` does not take, or what it is made into; nothing, where its headers are not
   * what they are said to be. New packets are valid until the next call.
   */
  finish(packet: Packet, can: Offloads): readonly Packet[] {
    const { unfinished, length } = packet;
    if (unfinished === undefined) return [packet];
    const { checksum, segments } = unfinished;
    const headers = parseHeaders(packet.pieces[0]!);
    // A front end is told only that something is missing, and looks behind Ethernet's header for what: not in VLANs and tunnels.
    const isPlain = headers?.network === ETH_HLEN && headers.transport === checksum.start;
    if (isPlain && can[segments?.type ?? `checksum${headers.version}`]) return [packet];
    if (segments !== undefined) return this.#cut(this.#gather(packet), segments);
    if (checksum.start + checksum.offset + 2 > length) return NO_PACKETS;
    const bytes = this.#gather(packet);
    const view = new DataView(bytes.buffer, bytes.byteOffset, length);
    const sum = finishChecksum(addToChecksum(view, checksum.start, length));
    // RFC 768: a sum of zero is sent as all ones, since zero means that there is none. To TCP both are the same.
    view.setUint16(checksum.start + checksum.offset, sum || 0xffff);
    return [finished(bytes)];
  }

  /** One copy of a packet whose bytes may be changing. */
  #gather({ pieces, length }: Packet): Uint8Array {
    if (this.#packet.length < length) this.#packet = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      this.#packet.set(piece, at);
      at += piece.length;
    }
    return this.#packet.subarray(0, length);
  }

  #cut(packet: Uint8Array, { type, headerBytes, payloadBytes }: Segments): readonly Packet[] {
    const headers = parseHeaders(packet.subarray(0, Math.min(headerBytes, MAX_HEADER_BYTES)));
    const payload = packet.length - headerBytes;
    const count = Math.max(1, Math.ceil(payload / payloadBytes));
    if (
      headers?.protocol !== IPPROTO_TCP ||
      headers.end !== headerBytes ||
      headers.version !== (type === 'tcpv4' ? 4 : 6) ||
      !(count <= MAX_NET_SEGMENTS)
    )
      return NO_PACKETS;
    const bytes = count * headerBytes + payload;
    if (this.#segments.length < bytes) this.#segments = new Uint8Array(bytes);
    const segments: Packet[] = [];
    let at = 0;
    for (let i = 0; i < count; i++) {
      const from = headerBytes + i * payloadBytes;
      const data = packet.subarray(from, from + payloadBytes);
      const segment = this.#segments.subarray(at, at + headerBytes + data.length);
      segment.set(packet.subarray(0, headerBytes));
      segment.set(data, headerBytes);
      finishSegment(segment, headers, { index: i, offset: i * payloadBytes, isLast: i === count - 1 });
      segments.push(finished(segment));
      at += segment.length;
    }
    return segments;
  }
}

function finished(bytes: Uint8Array): Packet {
  return { pieces: [bytes], length: bytes.length, unfinished: undefined, isValidated: true };
}

/** Makes the headers of the whole packet those of one of its segments, `offset` bytes into its payload. */
function finishSegment(
  segment: Uint8Array,
  headers: Headers,
  { index, offset, isLast }: { index: number; offset: number; isLast: boolean },
): void {
  const { network, transport, version } = headers;
  const view = new DataView(segment.buffer, segment.byteOffset, segment.byteLength);
  if (version === 4) {
    view.setUint16(network + 2, segment.length - network);
    view.setUint16(network + 4, (view.getUint16(network + 4) + index) & 0xffff);
    view.setUint16(network + 10, 0);
    view.setUint16(network + 10, finishChecksum(addToChecksum(view, network, transport)));
  } else {
    view.setUint16(network + 4, segment.length - network - 40);
  }
  view.setUint32(transport + 4, view.getUint32(transport + 4) + offset);
  let flags = view.getUint8(transport + 13);
  if (index > 0) flags &= ~TCP_CWR;
  if (!isLast) flags &= ~(TCP_FIN | TCP_PSH);
  view.setUint8(transport + 13, flags);
  view.setUint16(transport + 16, 0);
  const pseudo = pseudoHeaderSum(view, headers, segment.length - transport);
  view.setUint16(transport + 16, finishChecksum(addToChecksum(view, transport, segment.length, pseudo)));
}
