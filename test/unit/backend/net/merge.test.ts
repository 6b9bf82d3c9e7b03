/** Segments made one packet: cut again, they are what they were; and what must stay apart does. */
import { describe, expect, it } from 'vitest';
import { Finisher } from '../../../../src/xenner/backend/net/finish.js';
import { mergeSegments } from '../../../../src/xenner/backend/net/merge.js';
import { NO_OFFLOADS, type Packet } from '../../../../src/xenner/backend/net/net-port.js';
import { ALL_OFFLOADS, whole } from './net-guest.js';
import { bytes, checkPacket, makePacket, type PacketSpec } from './packets.js';

const ACK = 0x10;
const PSH = 0x18;
const validated = (frame: Buffer): Packet => ({ ...whole(frame), isValidated: true });
const payloadOf = (packets: readonly Packet[]) =>
  Buffer.concat(packets.map(({ pieces }) => checkPacket(Buffer.concat(pieces)).payload));

/** `sizes`: of the payloads, one after the other from `seq` on. */
function segments(sizes: readonly number[], spec: Partial<PacketSpec> = {}, seq = 1000): Packet[] {
  let at = seq;
  return sizes.map((size) => {
    const packet = { version: 4, protocol: 'tcp', flags: ACK, ...spec } as const;
    const frame = makePacket({ ...packet, payload: bytes(size, at), seq: at >>> 0 });
    at += size;
    return validated(frame);
  });
}

const cut = (packets: readonly Packet[]) =>
  packets.flatMap((packet) =>
    new Finisher().finish(packet, NO_OFFLOADS).map(({ pieces }) => Buffer.concat(pieces)),
  );

describe.each([4, 6] as const)('IPv%i', (version) => {
  it.each([
    { name: 'two', sizes: [1448, 1448] },
    { name: 'with a short end', sizes: [1448, 1448, 10] },
    { name: 'over the end of sequence numbers', sizes: [1000, 1000, 1000], seq: 2 ** 32 - 1500 },
    { name: 'as many as fit', sizes: Array(43).fill(1448) },
    { name: 'with options', sizes: [536, 536, 100], spec: { tcpOptions: 12 } },
  ])('segments are one packet, $name', ({ sizes, seq, spec }) => {
    const packets = segments(sizes, { version, ...spec }, seq);
    const merged = mergeSegments(packets, ALL_OFFLOADS);
    expect(merged).toHaveLength(1);
    expect(merged[0]!.length).toBeLessThanOrEqual(14 + 65_535);
    // IDs count up when a packet is cut: those of the ones that came did not.
    const again = cut(merged).map((frame) => ({ ...checkPacket(frame), id: 0 }));
    const before = packets.map(({ pieces }) => ({ ...checkPacket(Buffer.from(pieces[0]!)), id: 0 }));
    expect(again).toEqual(before);
  });

  it('a push ends a packet, and is kept', () => {
    const pushed = [...segments([500, 500], { version }), ...segments([500], { version, flags: PSH }, 2000)];
    const merged = mergeSegments([...pushed, ...segments([500], { version }, 2500)], ALL_OFFLOADS);
    expect(merged).toHaveLength(2);
    expect(cut(merged).map((frame) => checkPacket(frame).flags)).toEqual([ACK, ACK, PSH, ACK]);
  });

  it('more than fits is two packets', () => {
    const packets = segments(Array(50).fill(1448), { version });
    const merged = mergeSegments(packets, ALL_OFFLOADS);
    expect(merged).toHaveLength(2);
    expect(payloadOf(cut(merged).map((frame) => whole(frame)))).toEqual(payloadOf(packets));
  });

  const next = (change: Partial<PacketSpec>, seq = 1500) =>
    segments([500], { version, ...change }, seq) as [Packet];
  it.each<[string, Packet]>([
    ['a gap', next({}, 1501)[0]],
    ['the same once more', next({}, 1000)[0]],
    ['another connection', next({ ports: [1, 2] })[0]],
    ['another acknowledgement', next({ ack: 8 })[0]],
    ['another window', next({ window: 501 })[0]],
    ['other options', next({ tcpOptions: 4 })[0]],
    ['the end of a connection', next({ flags: 0x11 })[0]],
    ['urgent data', next({ flags: 0x30 })[0]],
    ['a VLAN', next({ vlans: [5] })[0]],
    ['options of IP', next({ ipOptions: 8 })[0]],
    ['UDP', next({ protocol: 'udp' })[0]],
    ['a larger one', segments([501], { version }, 1500)[0]!],
    ['no payload', segments([0], { version }, 1500)[0]!],
    ['an unchecked one', { ...next({})[0], isValidated: false }],
    ['Ethernet’s padding', validated(Buffer.concat([next({})[0].pieces[0]!, Buffer.alloc(3)]))],
  ])('stays apart: %s', (_, other) => {
    const packets = [...segments([500], { version }), other];
    expect(mergeSegments(packets, ALL_OFFLOADS)).toEqual(packets);
  });

  it('a guest that takes none gets none', () => {
    const packets = segments([500, 500], { version });
    expect(mergeSegments(packets, NO_OFFLOADS)).toEqual(packets);
  });
});
