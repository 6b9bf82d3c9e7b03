/** What a guest receives: pages and slots, what is left to it, waiting for pages, filters, several queues. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MAX_NET_MULTICAST } from '../../../../src/base/limits.js';
import { GTF_readonly } from '../../../../src/xenner/abi/grant-table.js';
import * as abi from '../../../../src/xenner/abi/netif.js';
import { parseHeaders } from '../../../../src/xenner/backend/net/headers.js';
import { NetDriver } from '../../../../src/xenner/backend/net/net-driver.js';
import type { Packet } from '../../../../src/xenner/backend/net/net-port.js';
import type { BackendConnection } from '../../../../src/xenner/backend/xenbus.js';
import { GuestQueue, NetGuest, type Received, TestPort, whole } from './net-guest.js';
import { bytes, checkPacket, makePacket, type PacketSpec } from './packets.js';

const PORT = { tx: 20, rx: 21 };
const VALID = abi.NETRXF_data_validated;
const BLANK = abi.NETRXF_csum_blank | VALID;
const ALL = {
  'feature-sg': 1,
  'feature-gso-tcpv4': 1,
  'feature-gso-tcpv6': 1,
  'feature-ipv6-csum-offload': 1,
};

let guest: NetGuest;
let queue: GuestQueue;
let port: TestPort;
let driver: NetDriver;
let connection: BackendConnection | undefined;
let failures: string[];

async function connect(features: Record<string, number> = ALL, queues = [queue]): Promise<void> {
  await connection?.disconnect();
  connection = await driver.connect(guest.nodes(queues, features), (reason) => failures.push(reason));
}
beforeEach(async () => {
  guest = new NetGuest();
  queue = new GuestQueue(guest, PORT);
  port = new TestPort();
  failures = [];
  driver = new NetDriver(guest, port, { mac: '00:16:3e:00:00:01', handle: 0 });
  connection = undefined;
  await connect();
});
afterEach(async () => {
  vi.useRealTimers();
  await connection?.disconnect();
  expect(guest.heldGrants).toBe(0);
  guest.close();
});

const frame = (length: number, seed = 1) => {
  const data = bytes(length, seed);
  data[0] = 2;
  return data;
};
const data = () => queue.received().map((packet) => (packet === 'error' ? packet : packet.data));

function unfinished(spec: PacketSpec, segment?: number): Packet {
  const packet = makePacket({ checksum: 'blank', ...spec });
  const { transport: start, checksumOffset: offset, end: headerBytes } = parseHeaders(packet)!;
  const segments = segment
    ? ({ type: `tcpv${spec.version}`, headerBytes, payloadBytes: segment } as const)
    : undefined;
  return whole(packet, { checksum: { start, offset }, segments });
}

it('pages that were written are settled before the guest hears of them', async () => {
  queue.offer(4);
  let settle = () => {};
  guest.settling = new Promise((resolve) => {
    settle = () => {
      guest.settling = undefined;
      resolve();
    };
  });
  const { settling } = guest;
  port.bring(whole(frame(60)));
  port.bring(whole(frame(5000, 2)));
  expect(data()).toEqual([]);
  expect(guest.written).toHaveLength(3);
  settle();
  await settling;
  expect(data()).toEqual([frame(60), frame(5000, 2)]);
});

describe('a packet', () => {
  it.each([14, 60, 1514, 4095, 4096, 4097, 8192, 65535])('of %i bytes', (length) => {
    queue.offer(20);
    port.bring(whole(frame(length)));
    expect(queue.received()).toEqual([{ data: frame(length), flags: expect.any(Number), gso: undefined }]);
    expect(driver.counters.rx).toEqual({ packets: 1, bytes: length, errors: 0, drops: 0 });
    expect(port.waiting).toEqual([]);
  });
  it('in pieces that have nothing to do with pages', () => {
    queue.offer(20);
    const all = frame(20000);
    const cuts = [0, 66, 4095, 4096, 4097, 12000, 12001, 20000];
    const pieces = cuts.slice(1).map((end, i) => all.subarray(cuts[i], end));
    port.bring({ ...whole(all), pieces });
    expect(data()).toEqual([all]);
  });
  it('after packet, round the ring', () => {
    queue.offer(200);
    for (let i = 0; i < 300; i++) {
      port.bring(whole(frame(100 + i * 30, i)));
      const [packet] = queue.received() as Received[];
      expect(packet?.data.equals(frame(100 + i * 30, i))).toBe(true);
      queue.offer(Math.ceil((100 + i * 30) / 4096));
    }
  });
  it('after packet costs one event a batch', () => {
    queue.offer(20);
    port.bring(...Array.from({ length: 5 }, () => whole(frame(60))));
    expect(guest.raised.get(PORT.rx)).toBe(1);
    expect(guest.raised.get(PORT.tx)).toBeUndefined();
    expect(data()).toHaveLength(5);
  });
  it.each<{ name: string; grant: (mfn: number) => number }>([
    { name: 'none', grant: () => 99 },
    { name: 'read-only', grant: (mfn) => guest.grant(mfn, GTF_readonly) },
    { name: 'no entry at all', grant: () => 2 ** 32 - 1 },
  ])('is lost where the grant is $name, and each slot says so', ({ grant }) => {
    queue.offer(1);
    queue.offer(1, grant);
    queue.offer(3);
    port.bring(whole(frame(5000)), whole(frame(60)));
    const responses = queue.rx.take().map((slot) => abi.netif_rx_response.decode(slot));
    expect(responses.map(({ id, status, flags }) => [id, status, flags])).toEqual([
      [0, abi.NETIF_RSP_ERROR, 0],
      [1, abi.NETIF_RSP_ERROR, 0],
      [2, 60, 0],
    ]);
    expect(driver.counters.rx).toEqual({ packets: 1, bytes: 60, errors: 1, drops: 0 });
  });
  it('that is too long for a guest without feature-sg is lost', async () => {
    await connect({});
    queue.offer(20);
    port.bring(whole(frame(4097)), whole(frame(4096)));
    expect(data()).toEqual([frame(4096)]);
    expect(driver.counters.rx.drops).toBe(1);
  });
});

describe('what is left to the guest', () => {
  const v4 = { version: 4, protocol: 'tcp', payload: bytes(1001) } as const;
  const v6 = { version: 6, protocol: 'udp', payload: bytes(1001) } as const;
  const { 'feature-ipv6-csum-offload': _, ...no6 } = ALL;
  const cases: Array<{ name: string; packet: Packet; features?: Record<string, number>; flags: number }> = [
    { name: 'nothing, unchecked', packet: whole(makePacket(v4)), flags: 0 },
    { name: 'nothing, checked', packet: { ...whole(makePacket(v4)), isValidated: true }, flags: VALID },
    { name: 'a checksum', packet: unfinished(v4), flags: BLANK },
    { name: 'a checksum over IPv6', packet: unfinished(v6), flags: BLANK },
    { name: 'no checksum', packet: unfinished(v4), features: { 'feature-no-csum-offload': 1 }, flags: VALID },
    { name: 'no checksum over IPv6', packet: unfinished(v6), features: no6, flags: VALID },
    { name: 'no checksum in a VLAN', packet: unfinished({ ...v4, vlans: [9] }), flags: VALID },
  ];
  it.each(cases)('$name', async ({ packet, features = ALL, flags }) => {
    await connect(features);
    queue.offer(20);
    port.bring(packet);
    const [received] = queue.received() as Received[];
    expect(received!.flags).toBe(flags);
    if (flags === BLANK) expect(received!.data).toEqual(packet.pieces[0]);
    else expect(checkPacket(received!.data).payload).toEqual(bytes(1001));
  });
  it.each([4, 6] as const)('segments, IPv%i', (version) => {
    queue.offer(20);
    const packet = unfinished({ version, protocol: 'tcp', payload: bytes(60000) }, 1448);
    port.bring(packet, whole(frame(60)));
    const [large, small] = queue.received() as Received[];
    expect(large!.gso).toEqual({ type: version === 4 ? 1 : 2, size: 1448 });
    expect(large!.data.equals(packet.pieces[0]!)).toBe(true);
    expect(large!.flags & BLANK).toBe(BLANK);
    expect(small!.data).toEqual(frame(60));
  });
  it.each([
    { name: 'in one slot and one for extra info', length: 3000 },
    { name: 'that just fill a page', length: 4096 - 54 },
    { name: 'that just do not', length: 4097 - 54 },
  ])('segments $name', ({ length }) => {
    queue.offer(3);
    port.bring(unfinished({ version: 4, protocol: 'tcp', payload: bytes(length) }, 1448));
    const [packet] = queue.received() as Received[];
    expect([packet!.gso, packet!.data.length]).toEqual([{ type: 1, size: 1448 }, length + 54]);
  });
  it('no segments, where it takes none: they are cut', async () => {
    await connect({ 'feature-sg': 1, 'feature-gso-tcpv6': 1 });
    queue.offer(50);
    port.bring(unfinished({ version: 4, protocol: 'tcp', payload: bytes(30000) }, 1448));
    const frames = (queue.received() as Received[]).map((packet) => checkPacket(packet.data));
    expect(frames).toHaveLength(21);
    expect(Buffer.concat(frames.map(({ payload }) => payload))).toEqual(bytes(30000));
  });
  it('is what the port is told', async () => {
    expect(port.receiver!.offloads).toEqual({ checksum4: true, checksum6: true, tcpv4: true, tcpv6: true });
    await connect({ 'feature-no-csum-offload': 1, 'feature-gso-tcpv4': 1 });
    // Without feature-sg there is no room for segments.
    expect(port.receiver!.offloads).toEqual({
      checksum4: false,
      checksum6: false,
      tcpv4: false,
      tcpv6: false,
    });
  });
});

describe('a guest without pages', () => {
  const packets = (count: number, length = 60) =>
    Array.from({ length: count }, (_, i) => whole(frame(length, i)));

  it('gets its packets when it offers some, in order', () => {
    queue.offer(2);
    port.bring(...packets(5));
    expect([data(), port.waiting.length]).toEqual([[frame(60, 0), frame(60, 1)], 3]);
    queue.offer(1);
    expect([data(), port.waiting.length]).toEqual([[frame(60, 2)], 2]);
    queue.offer(5);
    expect([data(), port.waiting.length]).toEqual([[frame(60, 3), frame(60, 4)], 0]);
  });
  it('is to notify only when there are enough for the packet that waits', () => {
    port.bring(...packets(1, 12000));
    const notified = [1, 2, 3].map(() => {
      queue.rx.put(abi.netif_rx_request.create({ id: 0, gref: guest.grant(guest.frame()) }));
      return queue.rx.push();
    });
    expect(notified).toEqual([false, false, true]);
  });
  it('loses them after a while', () => {
    vi.useFakeTimers();
    queue.offer(1);
    port.bring(...packets(5));
    vi.advanceTimersByTime(9_999);
    expect([port.waiting.length, driver.counters.rx.drops]).toEqual([4, 0]);
    vi.advanceTimersByTime(1);
    expect([port.waiting.length, driver.counters.rx.drops]).toEqual([0, 4]);
    queue.offer(5);
    port.bring(...packets(1));
    expect(data()).toHaveLength(2);
  });
  it('that does not notify is looked at every 30 ms, and loses what finds no room then', async () => {
    vi.useFakeTimers();
    await connect({ 'feature-rx-notify': 0 });
    port.bring(...packets(3));
    for (let i = 0; i < 2; i++)
      queue.rx.put(abi.netif_rx_request.create({ id: i, gref: guest.grant(guest.frame()) }));
    queue.rx.push();
    expect(queue.rx.take()).toEqual([]);
    vi.advanceTimersByTime(30);
    expect([queue.rx.take().length, port.waiting.length, driver.counters.rx.drops]).toEqual([2, 0, 1]);
  });
  it('is not waited for when it is gone', async () => {
    vi.useFakeTimers();
    port.bring(...packets(3));
    await connection!.disconnect();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a ring that lies', () => {
  it.each([257, 2 ** 31, 2 ** 32 - 1])('about %i pages stops the device', (count) => {
    queue.rx.set('req_prod', count);
    port.bring(whole(frame(60)), whole(frame(60)));
    expect(failures).toEqual(['more requests than the ring has slots']);
    expect(port.receiver).toBeUndefined();
  });
});

describe('multicast', () => {
  const to = (...address: number[]) => whole(Buffer.concat([Buffer.from(address), bytes(54)]));
  const group = (n: number) => [1, 0, 0x5e, 0, n >> 8, n & 255];
  const BROADCAST = [255, 255, 255, 255, 255, 255];
  const change = (type: number, address: number[]) => {
    const info = abi.netif_extra_info.create({
      type,
      flags: 0,
      u: { mcast: { addr: Uint8Array.from(address) } },
    });
    queue.send(Buffer.alloc(0), { extras: [info] });
    return queue.sent();
  };
  const heard = () => (queue.received() as Received[]).map((packet) => [...packet.data.subarray(0, 6)]);

  it('passes without the filter', () => {
    queue.offer(5);
    port.bring(to(...group(1)), to(...BROADCAST));
    expect(heard()).toEqual([group(1), BROADCAST]);
  });
  it('passes a filter as far as the guest asked for it', async () => {
    await connect({ 'request-multicast-control': 1 });
    queue.offer(10);
    expect(change(abi.XEN_NETIF_EXTRA_TYPE_MCAST_ADD, group(1))).toEqual([[100, abi.NETIF_RSP_OKAY], 'null']);
    port.bring(to(...group(1)), to(...group(2)), to(...BROADCAST), to(2, 0, 0, 0, 0, 1));
    expect(heard()).toEqual([group(1), BROADCAST, [2, 0, 0, 0, 0, 1]]);
    change(abi.XEN_NETIF_EXTRA_TYPE_MCAST_DEL, group(1));
    port.bring(to(...group(1)));
    expect(heard()).toEqual([]);
    expect(port.sent).toEqual([]);
  });
  it('has a filter of so many addresses', async () => {
    await connect({ 'request-multicast-control': 1 });
    for (let i = 0; i < MAX_NET_MULTICAST; i++) change(abi.XEN_NETIF_EXTRA_TYPE_MCAST_ADD, group(i));
    expect(change(abi.XEN_NETIF_EXTRA_TYPE_MCAST_ADD, group(999))).toEqual([
      [100, abi.NETIF_RSP_ERROR],
      'null',
    ]);
    change(abi.XEN_NETIF_EXTRA_TYPE_MCAST_DEL, group(5));
    expect(change(abi.XEN_NETIF_EXTRA_TYPE_MCAST_ADD, group(999))).toEqual([
      [100, abi.NETIF_RSP_OKAY],
      'null',
    ]);
  });
});

describe('several queues', () => {
  it('share connections, whose packets stay in order', async () => {
    const queues = [queue, ...[30, 40, 50].map((tx) => new GuestQueue(guest, { tx, rx: tx + 1 }))];
    await connect(ALL, queues);
    for (const each of queues) each.offer(64);
    for (let round = 0; round < 3; round++)
      for (let i = 0; i < 40; i++) {
        const packet = { version: i % 2 ? 4 : 6, protocol: 'tcp', payload: bytes(9), seq: round } as const;
        port.bring(whole(makePacket({ ...packet, ports: [1000 + i, 80] })));
      }
    const seen = queues.map((each) =>
      (each.received() as Received[]).map((packet) => {
        const { seq, version, transport } = checkPacket(packet.data);
        return { seq, connection: `${version} ${packet.data.readUInt16BE(transport)}` };
      }),
    );
    expect(seen.flat()).toHaveLength(120);
    const perQueue = seen.map((packets) => new Set(packets.map(({ connection }) => connection)));
    for (const connections of perQueue) expect(connections.size).toBeGreaterThan(2);
    expect(perQueue.reduce((sum, { size }) => sum + size, 0)).toBe(40);
    for (const packets of seen) {
      const rounds = packets.map(({ seq }) => seq);
      expect(rounds).toEqual([...rounds].sort());
    }
  });
  it('all send', async () => {
    const queues = [queue, new GuestQueue(guest, { tx: 30, rx: 30 })];
    await connect(ALL, queues);
    queues.forEach((each, i) => {
      each.send(frame(60, i));
    });
    expect(port.sent.map((sent) => sent.data)).toEqual([frame(60, 0), frame(60, 1)]);
    expect(queues.map((each) => each.sent())).toEqual([[[100, 0]], [[100, 0]]]);
  });
});
