/** Builds packets, and says what is wrong with one: written apart from the back end's own arithmetic, a byte at a time. */

export interface PacketSpec {
  readonly version: 4 | 6;
  readonly protocol: 'tcp' | 'udp';
  readonly payload: Uint8Array;
  /** `blank`: the pseudo header's sum, as an operating system leaves it for hardware. */
  readonly checksum?: 'full' | 'blank' | 'none';
  /** Bytes of IPv4's or TCP's options, or of an IPv6 destination option header; multiples of 4, 4 and 8. */
  readonly ipOptions?: number;
  readonly tcpOptions?: number;
  readonly vlans?: readonly number[];
  readonly seq?: number;
  readonly flags?: number;
  readonly ports?: readonly [number, number];
  readonly ack?: number;
  readonly window?: number;
  /** Source and destination. */
  readonly addresses?: readonly number[];
  /** Destination and source. */
  readonly macs?: readonly number[];
}

const TCP = 6;
const UDP = 17;
const VLAN = 0x8100;

/** Ones' complement sum of big-endian words. */
function onesSum(bytes: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

const word = (value: number) => [(value >>> 8) & 255, value & 255];
const long = (value: number) => [...word(value >>> 16), ...word(value & 0xffff)];

function pseudoHeader(
  version: 4 | 6,
  addresses: readonly number[],
  protocol: number,
  length: number,
): number[] {
  return version === 4
    ? [...addresses, 0, protocol, ...word(length)]
    : [...addresses, ...long(length), 0, 0, 0, protocol];
}

function transportHeader(spec: PacketSpec): number[] {
  const { payload, ports = [1000, 80], seq = 1, flags = 0x18, tcpOptions = 0, ack = 7, window = 500 } = spec;
  const head = [...word(ports[0]), ...word(ports[1])];
  if (spec.protocol === 'udp') return [...head, ...word(8 + payload.length), 0, 0];
  const offset = (5 + tcpOptions / 4) << 4;
  // Options are no-operations.
  return [
    ...head,
    ...long(seq),
    ...long(ack),
    offset,
    flags,
    ...word(window),
    0,
    0,
    0,
    0,
    ...Array(tcpOptions).fill(1),
  ];
}

function networkHeader(spec: PacketSpec, protocol: number, length: number, addresses: number[]): number[] {
  const { version, ipOptions = 0 } = spec;
  if (version === 6) {
    const options = ipOptions
      ? [protocol, ipOptions / 8 - 1, 1, ipOptions - 4, ...Array(ipOptions - 4).fill(0)]
      : [];
    const next = ipOptions ? 60 : protocol;
    return [0x60, 0, 0, 0, ...word(ipOptions + length), next, 64, ...addresses, ...options];
  }
  const bytes = 20 + ipOptions;
  const header = [
    0x40 | (bytes / 4),
    0,
    ...word(bytes + length),
    ...word(77),
    0x40,
    0,
    64,
    protocol,
    0,
    0,
    ...addresses,
  ];
  header.push(...Array(ipOptions).fill(1));
  header.splice(10, 2, ...word(~onesSum(header)));
  return header;
}

export function makePacket(spec: PacketSpec): Buffer {
  const { version, payload, checksum = 'full', vlans = [] } = spec;
  const protocol = spec.protocol === 'tcp' ? TCP : UDP;
  const addresses = [
    ...(spec.addresses ?? Array.from({ length: version === 4 ? 8 : 32 }, (_, i) => 10 + i * 3)),
  ];
  const transport = transportHeader(spec);
  const length = transport.length + payload.length;
  const pseudo = onesSum(pseudoHeader(version, addresses, protocol, length));
  const at = protocol === TCP ? 16 : 6;
  if (checksum === 'blank') transport.splice(at, 2, ...word(pseudo));
  if (checksum === 'full') {
    const all = onesSum([...pseudoHeader(version, addresses, protocol, length), ...transport, ...payload]);
    transport.splice(at, 2, ...word(~all & 0xffff || 0xffff));
  }
  const ethernet = [...(spec.macs ?? [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2])];
  for (const vlan of vlans) ethernet.push(...word(VLAN), ...word(vlan));
  ethernet.push(...word(version === 4 ? 0x0800 : 0x86dd));
  return Buffer.from([
    ...ethernet,
    ...networkHeader(spec, protocol, length, addresses),
    ...transport,
    ...payload,
  ]);
}

export interface Parsed {
  readonly version: 4 | 6;
  readonly protocol: number;
  readonly payload: Buffer;
  readonly seq: number;
  readonly flags: number;
  readonly id: number;
  /** Where TCP's or UDP's header begins. */
  readonly transport: number;
}

/** @throws Error unless lengths and checksums are as they should be on a wire */
export function checkPacket(frame: Buffer): Parsed {
  let network = 14;
  while (frame.readUInt16BE(network - 2) === VLAN) network += 4;
  const version = (frame[network]! >> 4) as 4 | 6;
  const isV4 = version === 4;
  let transport = network + (isV4 ? (frame[network]! & 15) * 4 : 40);
  let protocol = frame[network + (isV4 ? 9 : 6)]!;
  if (protocol === 60) {
    protocol = frame[transport]!;
    transport += (frame[transport + 1]! + 1) * 8;
  }
  const end = network + (isV4 ? frame.readUInt16BE(network + 2) : 40 + frame.readUInt16BE(network + 4));
  if (end !== frame.length) throw new Error(`IP says ${end} bytes of ${frame.length}`);
  if (isV4 && onesSum([...frame.subarray(network, transport)]) !== 0xffff) throw new Error("IP's checksum");
  const addresses = [...frame.subarray(network + (isV4 ? 12 : 8), network + (isV4 ? 20 : 40))];
  const body = [...frame.subarray(transport)];
  // RFC 768: zero is none, over IPv4.
  const hasNone = isV4 && protocol === UDP && frame.readUInt16BE(transport + 6) === 0;
  if (!hasNone && onesSum([...pseudoHeader(version, addresses, protocol, body.length), ...body]) !== 0xffff)
    throw new Error('checksum');
  const isTcp = protocol === TCP;
  const header = isTcp ? (frame[transport + 12]! >> 4) * 4 : 8;
  return {
    version,
    protocol,
    transport,
    payload: frame.subarray(transport + header),
    seq: isTcp ? frame.readUInt32BE(transport + 4) : 0,
    flags: isTcp ? frame[transport + 13]! : 0,
    id: isV4 ? frame.readUInt16BE(network + 4) : 0,
  };
}

/** Bytes that differ from their neighbours. */
export function bytes(count: number, seed = 1): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, i) => ((i + seed) * 167 + (i >> 8)) & 255));
}
