/** Where the headers of a packet are. Packets come from guests and from networks: whatever is wrong with one, it has none. */

export const ETH_HLEN = 14;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;

/**
 * Headers that are looked at. Linux takes up to 128 bytes, and more where there are more; 14 of Ethernet, 8 of VLANs, 60 of IP and
 * 60 of TCP are fewer, and IPv6's extensions have the rest.
 */
export const MAX_HEADER_BYTES = 256;

const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const ETH_P_8021Q = 0x8100;
const ETH_P_8021AD = 0x88a8;
const MAX_VLAN_TAGS = 2;

const IPPROTO_HOPOPTS = 0;
const IPPROTO_ROUTING = 43;
const IPPROTO_DSTOPTS = 60;
const EXTENSIONS: ReadonlySet<number> = new Set([IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS]);

/** Of a whole TCP or UDP packet over IP; offsets from the packet's first byte. */
export interface Headers {
  readonly version: 4 | 6;
  readonly protocol: typeof IPPROTO_TCP | typeof IPPROTO_UDP;
  /** IP's header. */
  readonly network: number;
  /** TCP's or UDP's. */
  readonly transport: number;
  /** Of the checksum, from `transport`. */
  readonly checksumOffset: number;
  /** What is before the payload. */
  readonly end: number;
}

/** Undefined where there is no such packet, or its headers do not end within `bytes`. */
export function parseHeaders(bytes: Uint8Array): Headers | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let network = ETH_HLEN;
  for (let tags = 0; tags <= MAX_VLAN_TAGS; tags++) {
    if (network > bytes.length) return undefined;
    const type = view.getUint16(network - 2);
    if (type === ETH_P_IP) return parseIpv4(view, network);
    if (type === ETH_P_IPV6) return parseIpv6(view, network);
    if (type !== ETH_P_8021Q && type !== ETH_P_8021AD) return undefined;
    network += 4;
  }
  return undefined;
}

function parseIpv4(view: DataView, network: number): Headers | undefined {
  if (network + 20 > view.byteLength) return undefined;
  const first = view.getUint8(network);
  const headerBytes = (first & 15) * 4;
  // Checksums cover whole packets: of a fragment there is nothing to finish.
  const isFragment = (view.getUint16(network + 6) & 0x3fff) !== 0;
  if (first >>> 4 !== 4 || headerBytes < 20 || isFragment) return undefined;
  return parseTransport(view, 4, network, network + headerBytes, view.getUint8(network + 9));
}

function parseIpv6(view: DataView, network: number): Headers | undefined {
  if (network + 40 > view.byteLength || view.getUint8(network) >>> 4 !== 6) return undefined;
  let protocol = view.getUint8(network + 6);
  let transport = network + 40;
  // Each extension takes at least 8 bytes of the few that there are.
  while (EXTENSIONS.has(protocol)) {
    if (transport + 2 > view.byteLength) return undefined;
    protocol = view.getUint8(transport);
    transport += (view.getUint8(transport + 1) + 1) * 8;
  }
  return parseTransport(view, 6, network, transport, protocol);
}

function parseTransport(
  view: DataView,
  version: 4 | 6,
  network: number,
  transport: number,
  protocol: number,
): Headers | undefined {
  if (protocol === IPPROTO_UDP) {
    const end = transport + 8;
    if (end > view.byteLength) return undefined;
    return { version, protocol, network, transport, checksumOffset: 6, end };
  }
  if (protocol !== IPPROTO_TCP || transport + 20 > view.byteLength) return undefined;
  const end = transport + (view.getUint8(transport + 12) >>> 4) * 4;
  if (end < transport + 20 || end > view.byteLength) return undefined;
  return { version, protocol, network, transport, checksumOffset: 16, end };
}

/** The sum of a pseudo header, to begin a checksum with. `length`: of TCP's or UDP's header and what follows. */
export function pseudoHeaderSum(view: DataView, headers: Headers, length: number): number {
  const { network, version, protocol } = headers;
  const [start, end] = version === 4 ? [network + 12, network + 20] : [network + 8, network + 40];
  let sum = protocol + (length >>> 16) + (length & 0xffff);
  for (let at = start; at < end; at += 2) sum += view.getUint16(at);
  return sum;
}
