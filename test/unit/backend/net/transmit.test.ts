/** What a guest sends: slots and their sizes, extra infos, checksums and segments, answers, rate, and rings that lie. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MAX_NET_BATCH_REQUESTS } from '../../../../src/base/limits.js';
import * as abi from '../../../../src/xenner/abi/netif.js';
import { NetDriver } from '../../../../src/xenner/backend/net/net-driver.js';
import type { BackendConnection } from '../../../../src/xenner/backend/xenbus.js';
import { ALL_OFFLOADS, GuestQueue, gsoInfo, NetGuest, TestPort } from './net-guest.js';
import { bytes, checkPacket, makePacket } from './packets.js';

const PORT = { tx: 20, rx: 20 };
const { NETIF_RSP_ERROR: ERROR, NETIF_RSP_OKAY: OKAY } = abi;
const BLANK = abi.NETTXF_csum_blank;
const MAC = '00:16:3e:00:00:01';

let guest: NetGuest;
let queue: GuestQueue;
let port: TestPort;
let driver: NetDriver;
let connection: BackendConnection | undefined;
let failures: string[];

async function connect(options: Partial<ConstructorParameters<typeof NetDriver>[2]> = {}): Promise<void> {
  driver = new NetDriver(guest, port, { mac: MAC, handle: 0, ...options });
  connection = await driver.connect(guest.nodes([queue]), (reason) => failures.push(reason));
}
beforeEach(async () => {
  guest = new NetGuest();
  queue = new GuestQueue(guest, PORT);
  port = new TestPort();
  failures = [];
  await connect();
});
afterEach(async () => {
  vi.useRealTimers();
  await connection?.disconnect();
  expect(guest.heldGrants).toBe(0);
  guest.close();
});

const ids = (count: number, status = OKAY) => Array.from({ length: count }, (_, i) => [100 + i, status]);
const datas = () => port.sent.map(({ data }) => data);
const tcp = (length: number, checksum: 'full' | 'blank' | 'none' = 'full', version: 4 | 6 = 4) =>
  makePacket({ version, protocol: 'tcp', payload: bytes(length), checksum });

describe('a packet', () => {
  it.each([
    { name: 'the smallest', length: 14, sizes: [14] },
    { name: 'in one slot', length: 1514, sizes: [1514] },
    { name: 'a page', length: 4096, sizes: [4096] },
    { name: 'at the end of a page', length: 100, sizes: [100], offset: 3996 },
    { name: 'in two slots', length: 1514, sizes: [54, 1460] },
    { name: 'headers over many slots', length: 300, sizes: [1, 13, 20, 19, 200, 47] },
    { name: 'in 18 slots', length: 65000, sizes: [...Array(15).fill(4096), 3000, 500, 60] },
    { name: 'with empty slots', length: 200, sizes: [0, 100, 0, 100, 0] },
    { name: 'the largest', length: 65535, sizes: [...Array(15).fill(4096), 4095] },
  ])('$name', ({ length, sizes, offset = 0 }) => {
    const data = bytes(length);
    queue.send(data, { sizes, offset });
    expect(port.sent).toEqual([{ data, unfinished: undefined, isValidated: false }]);
    expect(queue.sent()).toEqual(ids(sizes.length));
    expect(driver.counters.tx).toEqual({ packets: 1, bytes: length, errors: 0, drops: 0 });
  });
  it.each([
    { name: 'too small', length: 13, sizes: [13] },
    { name: 'in 19 slots', length: 1900, sizes: Array(19).fill(100) },
    { name: 'smaller than its parts', length: 100, sizes: [60, 60, 60] },
  ])('that is none: $name', ({ length, sizes }) => {
    queue.send(bytes(length), { sizes });
    expect(port.sent).toEqual([]);
    expect(queue.sent()).toEqual(ids(sizes.length, ERROR));
    queue.send(bytes(60));
    expect(datas()).toEqual([bytes(60)]);
    expect([failures, driver.counters.tx.errors]).toEqual([[], 1]);
  });
  it('in pages that are not granted is answered with an error, the others of the batch are sent', () => {
    queue.put(bytes(60));
    queue.tx.put(
      abi.netif_tx_request.create({ gref: 5, size: 2000, flags: abi.NETTXF_more_data, id: 7, offset: 0 }),
      abi.netif_tx_request.create({ gref: 6, size: 1000, flags: 0, id: 8, offset: 0 }),
    );
    queue.put(bytes(61));
    queue.push();
    expect(datas()).toEqual([bytes(60), bytes(61)]);
    expect(queue.sent()).toEqual([
      [100, OKAY],
      [7, ERROR],
      [8, ERROR],
      [100, OKAY],
    ]);
  });
  it('says whether its checksum was seen to be right', () => {
    queue.send(bytes(60), { flags: abi.NETTXF_data_validated });
    expect(port.sent[0]!.isValidated).toBe(true);
  });
});

describe('answers', () => {
  it('raise the port when the guest waits for them', () => {
    queue.send(bytes(60));
    queue.send(bytes(60));
    expect(guest.raised.get(PORT.tx)).toBe(1);
    queue.sent();
    queue.send(bytes(60));
    expect(guest.raised.get(PORT.tx)).toBe(2);
  });
  it('go round the ring', () => {
    for (let i = 0; i < 600; i++) {
      queue.send(bytes(60 + i, i));
      expect(queue.sent()).toEqual(ids(1));
      expect(port.sent.pop()!.data).toEqual(bytes(60 + i, i));
    }
  });
  it('come in batches, between which others have their turn', async () => {
    vi.useFakeTimers({ toFake: ['setImmediate', 'clearImmediate'] });
    port.send = (packet) => {
      port.sent.push({ data: Buffer.alloc(packet.length), unfinished: undefined, isValidated: false });
      // The guest is as fast as its back end: there is always more.
      queue.sent();
      if (port.sent.length < 3 * MAX_NET_BATCH_REQUESTS) {
        queue.put(bytes(60));
        queue.tx.push();
      }
      return true;
    };
    for (let i = 0; i < 200; i++) queue.put(bytes(60));
    queue.push();
    expect(port.sent.length).toBeLessThanOrEqual(MAX_NET_BATCH_REQUESTS);
    await vi.runAllTimersAsync();
    expect(port.sent.length).toBeGreaterThan(MAX_NET_BATCH_REQUESTS);
  });
});

describe('checksums', () => {
  it.each([4, 6] as const)('left to a port that takes them, IPv%i', async (version) => {
    port.offloads = ALL_OFFLOADS;
    const data = tcp(1000, 'blank', version);
    queue.send(data, { flags: BLANK | abi.NETTXF_data_validated, sizes: [60, data.length - 60] });
    const start = version === 4 ? 34 : 54;
    expect(port.sent).toEqual([
      { data, isValidated: true, unfinished: { checksum: { start, offset: 16 }, segments: undefined } },
    ]);
  });
  it.each([4, 6] as const)('finished for a port that does not, IPv%i', (version) => {
    const data = tcp(1001, 'blank', version);
    queue.send(data, { flags: BLANK, sizes: [60, data.length - 60] });
    expect(checkPacket(port.sent[0]!.data).payload).toEqual(bytes(1001));
    expect(port.sent[0]!.unfinished).toBeUndefined();
  });
  it('of what has none are an error', () => {
    queue.send(bytes(100), { flags: BLANK });
    expect([port.sent, queue.sent()]).toEqual([[], ids(1, ERROR)]);
  });
});

describe('segments', () => {
  const sizes = (length: number) => [100, ...Array(15).fill(4096), length - 100 - 15 * 4096];

  it.each([4, 6] as const)('left to a port that takes them, IPv%i', (version) => {
    port.offloads = ALL_OFFLOADS;
    const data = tcp(64000, 'blank', version);
    queue.send(data, {
      flags: BLANK,
      extras: [gsoInfo(1448, version === 4 ? 1 : 2)],
      sizes: sizes(data.length),
    });
    expect(port.sent).toHaveLength(1);
    expect(port.sent[0]!.data).toEqual(data);
    expect(port.sent[0]!.unfinished).toEqual({
      checksum: { start: version === 4 ? 34 : 54, offset: 16 },
      segments: { type: `tcpv${version}`, headerBytes: version === 4 ? 54 : 74, payloadBytes: 1448 },
    });
    expect(queue.sent()).toEqual([[100, OKAY], 'null', ...ids(17).slice(1)]);
  });
  it.each([4, 6] as const)('cut for a port that does not, IPv%i', (version) => {
    const data = tcp(64000, 'blank', version);
    queue.send(data, {
      flags: BLANK,
      extras: [gsoInfo(1448, version === 4 ? 1 : 2)],
      sizes: sizes(data.length),
    });
    const frames = datas().map(checkPacket);
    expect(frames).toHaveLength(45);
    expect(Buffer.concat(frames.map(({ payload }) => payload))).toEqual(bytes(64000));
  });
  it('without a blank checksum get one', () => {
    port.offloads = ALL_OFFLOADS;
    queue.send(tcp(3000, 'full'), { extras: [gsoInfo(1448)] });
    expect(port.sent[0]!.data).toEqual(tcp(3000, 'blank'));
  });
  it.each([
    { name: 'of the other IP', data: tcp(3000, 'blank', 6) },
    {
      name: 'of UDP',
      data: makePacket({ version: 4, protocol: 'udp', payload: bytes(3000), checksum: 'blank' }),
    },
  ])('that are none: $name', ({ data }) => {
    queue.send(data, { flags: BLANK, extras: [gsoInfo(1448)] });
    expect([port.sent, queue.sent()]).toEqual([[], [[100, ERROR], 'null']]);
  });
  it('come with hashes, which say nothing to us', () => {
    const hash = abi.netif_extra_info.create({ type: abi.XEN_NETIF_EXTRA_TYPE_HASH, flags: 0 });
    queue.send(tcp(3000, 'blank'), { flags: BLANK, extras: [hash, gsoInfo(1448)] });
    expect(datas().map(checkPacket)).toHaveLength(3);
    expect(queue.sent()).toEqual([[100, OKAY], 'null', 'null']);
  });
});

describe('a port that is full', () => {
  it('gets no more before it has drained', () => {
    port.room = 2;
    for (let i = 0; i < 5; i++) queue.put(bytes(60));
    queue.push();
    expect([port.sent.length, queue.sent().length]).toEqual([2, 2]);
    queue.send(bytes(60));
    expect(port.sent).toHaveLength(2);
    port.drain(1);
    expect(port.sent).toHaveLength(3);
    port.drain();
    expect([port.sent.length, queue.sent().length]).toEqual([6, 4]);
  });
});

describe('a rate', () => {
  const rate = { bytes: 1000, intervalUs: 20_000 };
  beforeEach(async () => {
    vi.useFakeTimers();
    await connection!.disconnect();
    await connect({ rate });
  });
  const send = (count: number) => {
    for (let i = 0; i < count; i++) queue.put(bytes(500));
    queue.push();
  };

  it('lets so many bytes through in each interval', () => {
    send(10);
    const after: number[] = [port.sent.length];
    for (let i = 0; i < 4; i++) {
      vi.advanceTimersByTime(20);
      after.push(port.sent.length);
    }
    expect(after).toEqual([2, 4, 6, 8, 10]);
    expect(queue.sent()).toHaveLength(10);
  });
  it('is not passed by notifications', () => {
    send(4);
    for (let i = 0; i < 10; i++) guest.event(PORT.tx);
    expect(port.sent).toHaveLength(2);
  });
  it('stops for nobody: packets that are larger than an interval collect their credit', () => {
    queue.send(bytes(4000));
    vi.advanceTimersByTime(59);
    expect(port.sent).toHaveLength(0);
    vi.advanceTimersByTime(2);
    expect(port.sent).toHaveLength(1);
  });
  it('ends with the connection', async () => {
    send(4);
    await connection!.disconnect();
    vi.advanceTimersByTime(1000);
    expect(port.sent).toHaveLength(2);
  });
});

describe('a device is stopped', () => {
  const request = (changes: Partial<Parameters<typeof abi.netif_tx_request.create>[0]>) =>
    abi.netif_tx_request.create({
      gref: guest.grant(guest.frame()),
      offset: 0,
      flags: 0,
      id: 1,
      size: 100,
      ...changes,
    });
  const extra = (type: number, flags = 0) => abi.netif_extra_info.create({ type, flags });
  const slot = (info: Uint8Array) => Buffer.concat([info, Buffer.alloc(4)]);
  const withInfo = abi.NETTXF_extra_info;
  const more = abi.NETTXF_more_data;

  it.each<{ name: string; why: RegExp; put: () => Uint8Array[] }>([
    { name: 'a slot across pages', why: /crosses/, put: () => [request({ offset: 4000 })] },
    {
      name: 'a later slot across pages',
      why: /crosses/,
      put: () => [request({ size: 300, flags: more }), request({ offset: 4000 })],
    },
    { name: 'a packet without its end', why: /2 slots, of which 1/, put: () => [request({ flags: more })] },
    {
      name: 'a packet without end',
      why: /too many/,
      put: () => Array.from({ length: 30 }, () => request({ flags: more })),
    },
    { name: 'no extra info', why: /without/, put: () => [request({ flags: withInfo })] },
    { name: 'extra info 0', why: /type 0/, put: () => [request({ flags: withInfo }), slot(extra(0))] },
    { name: 'extra info 5', why: /type 5/, put: () => [request({ flags: withInfo }), slot(extra(5))] },
    {
      name: 'extra infos without end',
      why: /without/,
      put: () => [request({ flags: withInfo }), slot(extra(4, 1)), slot(extra(4, 1))],
    },
    {
      name: 'segments of no size',
      why: /no size/,
      put: () => [request({ flags: withInfo }), slot(Buffer.from(gsoInfo(0)))],
    },
    {
      name: 'segments of UDP',
      why: /type 3/,
      put: () => [request({ flags: withInfo }), slot(Buffer.from(gsoInfo(1000, 3)))],
    },
  ])('by $name', ({ put, why }) => {
    queue.tx.put(...put());
    queue.push();
    expect([failures.length, failures[0]]).toEqual([1, expect.stringMatching(why)]);
    expect([port.sent, port.receiver]).toEqual([[], undefined]);
    queue.send(bytes(60));
    expect([port.sent, failures.length]).toEqual([[], 1]);
  });
  it.each([257, 2 ** 31, 2 ** 32 - 1])('by %i requests', (count) => {
    queue.tx.set('req_prod', count);
    guest.event(PORT.tx);
    expect(failures).toEqual(['more requests than the ring has slots']);
  });
});
