/** Checksums and segments in software, against packets that were put together, and are looked at, by code of the tests' own. */
import { describe, expect, it } from 'vitest';
import { MAX_NET_SEGMENTS } from '../../../../src/base/limits.js';
import { addToChecksum, finishChecksum } from '../../../../src/xenner/backend/net/checksum.js';
import { Finisher } from '../../../../src/xenner/backend/net/finish.js';
import { parseHeaders } from '../../../../src/xenner/backend/net/headers.js';
import { NO_OFFLOADS, type Offloads, type Packet } from '../../../../src/xenner/backend/net/net-port.js';
import { ALL_OFFLOADS, whole } from './net-guest.js';
import { bytes, checkPacket, makePacket, type PacketSpec } from './packets.js';

const FIN = 1;
const PSH = 8;
const ACK = 16;
const CWR = 128;

function unfinished(spec: PacketSpec, segment?: number): Packet {
  const data = makePacket({ checksum: 'blank', ...spec });
  const headers = parseHeaders(data)!;
  return whole(data, {
    checksum: { start: headers.transport, offset: headers.checksumOffset },
    segments: segment
      ? { type: `tcpv${spec.version}`, headerBytes: headers.end, payloadBytes: segment }
      : undefined,
  });
}

const finish = (packet: Packet, can: Offloads = NO_OFFLOADS) =>
  new Finisher().finish(packet, can).map(({ pieces }) => Buffer.concat(pieces));

describe('a sum', () => {
  it.each([0, 1, 2, 3, 15, 16, 17, 31, 1499, 65535])('of %i bytes, at any place', (count) => {
    const data = bytes(count + 3);
    data.fill(255, 0, Math.min(40, count));
    for (const start of [0, 1, 3]) {
      let expected = 0;
      for (let i = 0; i < count; i += 2)
        expected += (data[start + i]! << 8) | (i + 1 < count ? data[start + i + 1]! : 0);
      expected %= 0xffff;
      const view = new DataView(data.buffer, data.byteOffset, data.length);
      // In ones' complement there are two zeros.
      expect((~finishChecksum(addToChecksum(view, start, start + count)) & 0xffff) % 0xffff).toBe(expected);
    }
  });
});

const shapes: Array<{ name: string } & Omit<PacketSpec, 'payload'>> = [
  { name: 'TCP', version: 4, protocol: 'tcp' },
  { name: 'UDP', version: 4, protocol: 'udp' },
  { name: 'TCP over IPv6', version: 6, protocol: 'tcp' },
  { name: 'UDP over IPv6', version: 6, protocol: 'udp' },
  { name: 'all options', version: 4, protocol: 'tcp', ipOptions: 40, tcpOptions: 40 },
  { name: 'an extension header', version: 6, protocol: 'tcp', ipOptions: 24, tcpOptions: 12 },
  { name: 'a VLAN', version: 4, protocol: 'tcp', vlans: [5] },
  { name: 'two VLANs, IPv6', version: 6, protocol: 'udp', vlans: [5, 6] },
];

describe('checksums', () => {
  describe.each(shapes)('$name', (shape) => {
    it.each([0, 1, 100, 1401])('of %i bytes', (length) => {
      const payload = bytes(length);
      const packets = finish(unfinished({ ...shape, payload }));
      expect(packets).toHaveLength(1);
      expect(checkPacket(packets[0]!).payload).toEqual(payload);
    });
  });
  it('of zero are all ones in UDP', () => {
    const spec = { version: 4, protocol: 'udp', payload: Buffer.alloc(2) } as const;
    const [first] = finish(unfinished(spec));
    const payload = first!.subarray(40, 42);
    const [packet] = finish(unfinished({ ...spec, payload }));
    expect(packet!.readUInt16BE(40)).toBe(0xffff);
    expect(checkPacket(packet!).payload).toEqual(payload);
  });
  it('over several pieces, whose content changes afterwards', () => {
    const payload = bytes(3001);
    const packet = unfinished({ version: 4, protocol: 'tcp', payload });
    const data = packet.pieces[0]!;
    const pieces = [data.subarray(0, 70), data.subarray(70, 1003), data.subarray(1003)];
    const packets = new Finisher().finish({ ...packet, pieces }, NO_OFFLOADS);
    data.fill(0, 54);
    expect(checkPacket(Buffer.from(packets[0]!.pieces[0]!)).payload).toEqual(payload);
    expect(packets[0]!.isValidated).toBe(true);
  });
  it.each([
    { version: 4, protocol: 'udp', can: { checksum4: true }, same: true },
    { version: 6, protocol: 'udp', can: { checksum4: true }, same: false },
    { version: 6, protocol: 'tcp', can: { checksum6: true }, same: true },
    { version: 4, protocol: 'tcp', can: ALL_OFFLOADS, vlans: [3], same: false },
  ] as const)('are left to whoever can: $version $can', ({ can, same, ...spec }) => {
    const packet = unfinished({ ...spec, payload: bytes(99) });
    const finished = new Finisher().finish(packet, { ...NO_OFFLOADS, ...can });
    expect(finished[0] === packet).toBe(same);
    if (!same) checkPacket(Buffer.from(finished[0]!.pieces[0]!));
  });
  it('beyond the packet are none', () => {
    const packet = whole(Buffer.alloc(60), { checksum: { start: 50, offset: 16 }, segments: undefined });
    expect(finish(packet)).toEqual([]);
  });
});

describe('segments', () => {
  const tcp = shapes.filter(({ protocol }) => protocol === 'tcp');
  describe.each(tcp)('$name', (shape) => {
    it.each([
      { length: 10, size: 1448, segments: 1 },
      { length: 1448, size: 1448, segments: 1 },
      { length: 1449, size: 1448, segments: 2 },
      { length: 60001, size: 1400, segments: 43 },
      { length: 20 * 64, size: 64, segments: 20 },
    ])('$length bytes in pieces of $size', ({ length, size, segments }) => {
      const payload = bytes(length);
      const flags = FIN | PSH | ACK | CWR;
      const frames = finish(unfinished({ ...shape, payload, flags, seq: 2 ** 32 - 3000 }, size)).map(
        checkPacket,
      );
      expect(frames).toHaveLength(segments);
      expect(Buffer.concat(frames.map((frame) => frame.payload))).toEqual(payload);
      frames.forEach((frame, i) => {
        expect(frame.payload.length).toBeLessThanOrEqual(size);
        expect(frame.seq).toBe((2 ** 32 - 3000 + i * size) % 2 ** 32);
        const last = i === segments - 1 ? FIN | PSH : 0;
        expect(frame.flags).toBe(ACK | last | (i === 0 ? CWR : 0));
        if (shape.version === 4) expect(frame.id).toBe(77 + i);
      });
    });
  });
  it('are left to whoever can', () => {
    const packet = unfinished({ version: 6, protocol: 'tcp', payload: bytes(9000) }, 1400);
    const finisher = new Finisher();
    expect(finisher.finish(packet, { ...NO_OFFLOADS, tcpv6: true })[0]).toBe(packet);
    expect(finisher.finish(packet, { ...NO_OFFLOADS, tcpv4: true, checksum6: true })).toHaveLength(7);
  });
  it('of one buffer do not disturb the next packet', () => {
    const finisher = new Finisher();
    for (const length of [60000, 3000, 50000]) {
      const packet = unfinished({ version: 4, protocol: 'tcp', payload: bytes(length, length) }, 1400);
      const frames = finisher
        .finish(packet, NO_OFFLOADS)
        .map(({ pieces }) => checkPacket(Buffer.concat(pieces)));
      expect(Buffer.concat(frames.map(({ payload }) => payload))).toEqual(bytes(length, length));
    }
  });
  const packet = unfinished({ version: 4, protocol: 'tcp', payload: bytes(5000) }, 1000);
  const segments = packet.unfinished!.segments!;
  it.each([
    { name: 'too many', change: { payloadBytes: Math.floor(5000 / (MAX_NET_SEGMENTS + 1)) } },
    { name: 'of another protocol', change: { type: 'tcpv6' as const } },
    { name: 'with headers elsewhere', change: { headerBytes: 60 } },
    { name: 'with headers beyond the packet', change: { headerBytes: 9000 } },
  ])('that are none: $name', ({ change }) => {
    const unfinishedPacket = { ...packet.unfinished!, segments: { ...segments, ...change } };
    expect(finish({ ...packet, unfinished: unfinishedPacket })).toEqual([]);
  });
  it('of UDP are none', () => {
    const udp = unfinished({ version: 4, protocol: 'udp', payload: bytes(5000) });
    expect(finish({ ...udp, unfinished: { ...udp.unfinished!, segments } })).toEqual([]);
  });
});

describe('headers', () => {
  it.each(shapes)('$name', (shape) => {
    const packet = makePacket({ ...shape, payload: bytes(5) });
    const headers = parseHeaders(packet)!;
    expect(headers.transport).toBe(checkPacket(packet).transport);
    expect(headers.end).toBe(packet.length - 5);
    for (let length = 0; length < headers.end; length++)
      expect(parseHeaders(packet.subarray(0, length))).toBeUndefined();
  });
  const base = makePacket({ version: 4, protocol: 'tcp', payload: bytes(50) });
  const base6 = makePacket({ version: 6, protocol: 'tcp', ipOptions: 8, payload: bytes(50) });
  it.each([
    { name: 'another EtherType', from: base, at: 13, value: 6 },
    { name: "IPv6's version in IPv4", from: base, at: 14, value: 0x65 },
    { name: 'a header of 16 bytes', from: base, at: 14, value: 0x44 },
    { name: 'a fragment', from: base, at: 21, value: 1 },
    { name: 'more fragments', from: base, at: 20, value: 0x20 },
    { name: 'ICMP', from: base, at: 23, value: 1 },
    { name: "TCP's header of 16 bytes", from: base, at: 46, value: 0x40 },
    { name: "IPv6's fragment header", from: base6, at: 20, value: 44 },
    { name: 'an extension beyond the packet', from: base6, at: 55, value: 40 },
    { name: "IPv4's version in IPv6", from: base6, at: 14, value: 0x40 },
  ])('are none: $name', ({ from, at, value }) => {
    const packet = Buffer.from(from);
    expect(parseHeaders(packet)).toBeDefined();
    packet[at] = value;
    expect(parseHeaders(packet)).toBeUndefined();
  });
  it('are none behind three VLANs', () => {
    expect(parseHeaders(makePacket({ ...shapes[0]!, vlans: [1, 2, 3], payload: bytes(5) }))).toBeUndefined();
  });
});
