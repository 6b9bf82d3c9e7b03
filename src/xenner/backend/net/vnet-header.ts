/** struct virtio_net_hdr (linux/virtio_net.h) in front of a tap's packets: what they lack, little-endian, in 10 bytes. */
import type { Unfinished } from './net-port.js';

export const VNET_HEADER_BYTES = 10;

const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
const VIRTIO_NET_HDR_F_DATA_VALID = 2;
const VIRTIO_NET_HDR_GSO_NONE = 0;
const VIRTIO_NET_HDR_GSO_TCPV4 = 1;
const VIRTIO_NET_HDR_GSO_TCPV6 = 4;
const VIRTIO_NET_HDR_GSO_ECN = 0x80;

export interface VnetHeader {
  readonly unfinished: Unfinished | undefined;
  readonly isValidated: boolean;
}

export function writeVnetHeader(into: Uint8Array, { unfinished, isValidated }: VnetHeader): void {
  const view = new DataView(into.buffer, into.byteOffset, VNET_HEADER_BYTES);
  const { checksum, segments } = unfinished ?? {};
  view.setUint8(0, checksum ? VIRTIO_NET_HDR_F_NEEDS_CSUM : isValidated ? VIRTIO_NET_HDR_F_DATA_VALID : 0);
  const gso = segments?.type === 'tcpv6' ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
  view.setUint8(1, segments ? gso : VIRTIO_NET_HDR_GSO_NONE);
  view.setUint16(2, segments?.headerBytes ?? 0, true);
  view.setUint16(4, segments?.payloadBytes ?? 0, true);
  view.setUint16(6, checksum?.start ?? 0, true);
  view.setUint16(8, checksum?.offset ?? 0, true);
}

/** @param frame what stands behind the header */
export function readVnetHeader(from: Uint8Array, frame: Uint8Array): VnetHeader {
  const view = new DataView(from.buffer, from.byteOffset, VNET_HEADER_BYTES);
  const flags = view.getUint8(0);
  const isValidated = (flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID)) !== 0;
  if ((flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) === 0) return { unfinished: undefined, isValidated };
  const checksum = { start: view.getUint16(6, true), offset: view.getUint16(8, true) };
  const gso = view.getUint8(1) & ~VIRTIO_NET_HDR_GSO_ECN;
  if (gso === VIRTIO_NET_HDR_GSO_NONE) return { unfinished: { checksum, segments: undefined }, isValidated };
  const type = gso === VIRTIO_NET_HDR_GSO_TCPV6 ? 'tcpv6' : 'tcpv4';
  // Not hdr_len, in which Linux says only how much of the packet it has in one piece.
  const headerBytes = checksum.start + ((frame[checksum.start + 12] ?? 0) >>> 4) * 4;
  const segments = { type, headerBytes, payloadBytes: view.getUint16(4, true) } as const;
  return { unfinished: { checksum, segments }, isValidated };
}
