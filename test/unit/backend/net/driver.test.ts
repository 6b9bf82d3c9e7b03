/** A network device's life: what it says in xenstore, what it makes of a driver's nodes, connecting again, its link, its end. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_NET_QUEUES } from '../../../../src/base/limits.js';
import { NetDriver } from '../../../../src/xenner/backend/net/net-driver.js';
import type { BackendConnection } from '../../../../src/xenner/backend/xenbus.js';
import { GuestQueue, NetGuest, TestPort, whole } from './net-guest.js';
import { bytes } from './packets.js';

const MAC = '00:16:3e:00:00:01';

let guest: NetGuest;
let queue: GuestQueue;
let port: TestPort;
let driver: NetDriver;
let failures: string[];
beforeEach(() => {
  guest = new NetGuest();
  queue = new GuestQueue(guest, { tx: 20, rx: 20 });
  port = new TestPort();
  failures = [];
  driver = new NetDriver(guest, port, { mac: MAC, handle: 3 });
});
afterEach(() => guest.close());

const connect = (nodes = guest.nodes([queue])): Promise<BackendConnection> =>
  driver.connect(nodes, (reason) => failures.push(reason));

describe('nodes', () => {
  it('of the back end', () => {
    const rate = { bytes: 200_000, intervalUs: 20_000 };
    driver = new NetDriver(guest, port, { mac: MAC, handle: 3, rate, bridge: 'xenbr0', vifname: 'web' });
    expect(Object.fromEntries(driver.features())).toEqual({
      mac: MAC,
      handle: '3',
      bridge: 'xenbr0',
      vifname: 'web',
      rate: '200000,20000',
      carrier: '1',
      'hotplug-status': 'connected',
      'feature-sg': '1',
      'feature-gso-tcpv4': '1',
      'feature-gso-tcpv6': '1',
      'feature-ipv6-csum-offload': '1',
      'feature-rx-copy': '1',
      'feature-rx-flip': '0',
      'feature-multicast-control': '1',
      'feature-split-event-channels': '1',
      'multi-queue-max-queues': `${MAX_NET_QUEUES}`,
    });
  });
  it('of the guest', () => {
    expect(Object.fromEntries(driver.frontendNodes())).toEqual({ mac: MAC, handle: '3' });
    driver = new NetDriver(guest, port, { mac: MAC, handle: 3, mtu: 9000 });
    expect(driver.frontendNodes().get('mtu')).toBe('9000');
  });
});

describe('a driver that cannot be served', () => {
  const cases: Array<{ name: string; change: Record<string, string | undefined>; message: RegExp }> = [
    {
      name: 'older than 2008: no copies',
      change: { 'request-rx-copy': undefined },
      message: /^request-rx-copy is not 1.*; use a newer kernel$/,
    },
    { name: 'that wants pages exchanged', change: { 'request-rx-copy': '0' }, message: /request-rx-copy/ },
    { name: 'without a ring', change: { 'tx-ring-ref': undefined }, message: /tx-ring-ref is missing/ },
    { name: 'without a port', change: { 'event-channel': undefined }, message: /event-channel is missing/ },
    { name: 'with half of its ports', change: { 'event-channel-tx': '20' }, message: /event-channel-rx/ },
    {
      name: 'that writes no number',
      change: { 'rx-ring-ref': '-1' },
      message: /rx-ring-ref is no number: "-1"/,
    },
    {
      name: 'that writes a book',
      change: { 'feature-sg': 'x'.repeat(9999) },
      message: /^feature-sg .{0,70}$/,
    },
    { name: 'that counts too far', change: { 'event-channel': '4294967296' }, message: /no number/ },
    { name: 'with no queue', change: { 'multi-queue-num-queues': '0' }, message: /is 0, of 1 to/ },
    { name: 'with many queues', change: { 'multi-queue-num-queues': '9' }, message: /is 9, of 1 to 8/ },
    {
      name: 'without its queues',
      change: { 'multi-queue-num-queues': '2' },
      message: /queue-0\/tx-ring-ref/,
    },
    {
      name: 'with a ring that is not granted',
      change: { 'rx-ring-ref': '99' },
      message: /grant 99.*GNTST -1/,
    },
    { name: 'with a port that is none', change: { 'event-channel': '5000' }, message: /no such port/ },
  ];
  it.each(cases)('$name', async ({ change, message }) => {
    const nodes = guest.nodes([queue]);
    for (const [name, value] of Object.entries(change))
      if (value === undefined) nodes.delete(name);
      else nodes.set(name, value);
    await expect(connect(nodes)).rejects.toThrow(message);
    expect([guest.heldGrants, guest.boundPorts, port.receiver]).toEqual([0, 0, undefined]);
    // It may try again.
    await (await connect()).disconnect();
  });
  it('with a ring that says too much', async () => {
    queue.rx.set('req_prod', 300);
    await expect(connect()).rejects.toMatchObject({ code: 'EFRONTEND' });
    expect([guest.heldGrants, guest.boundPorts]).toEqual([0, 0]);
  });
});

describe('a connection', () => {
  it('serves what was sent before it was there', async () => {
    queue.send(bytes(60));
    expect(port.sent).toEqual([]);
    const connection = await connect();
    expect(port.sent).toHaveLength(1);
    expect(queue.sent()).toEqual([[100, 0]]);
    await connection.disconnect();
  });
  it('gives everything back at its end, and touches nothing afterwards', async () => {
    const connection = await connect();
    expect([guest.heldGrants, guest.boundPorts]).toEqual([2, 1]);
    const { receiver } = port;
    queue.offer(5);
    await connection.disconnect();
    await connection.disconnect();
    expect([guest.heldGrants, guest.boundPorts, port.receiver]).toEqual([0, 0, undefined]);
    receiver!.receive([whole(bytes(60))]);
    receiver!.drained();
    queue.send(bytes(60));
    expect([port.sent, queue.sent(), queue.received()]).toEqual([[], [], []]);
  });
  it('is one at a time', async () => {
    const connection = await connect();
    await expect(connect()).rejects.toMatchObject({ code: 'EBUSY' });
    await connection.disconnect();
  });
  it('may follow another, with rings that go on where they were', async () => {
    for (let i = 0; i < 3; i++) {
      const connection = await connect();
      queue.offer(1);
      queue.send(bytes(60));
      port.bring(whole(bytes(100)));
      expect([queue.sent().length, queue.received().length]).toEqual([1, 1]);
      await connection.disconnect();
    }
    expect(driver.counters).toEqual({
      tx: { packets: 3, bytes: 180, errors: 0, drops: 0 },
      rx: { packets: 3, bytes: 300, errors: 0, drops: 0 },
    });
  });
  it('ends with its port', async () => {
    const connection = await connect();
    port.receiver!.failed(new Error('the cable is cut'));
    expect(failures).toEqual(['test port: the cable is cut']);
    expect(port.receiver).toBeUndefined();
    await connection.disconnect();
    expect(guest.heldGrants).toBe(0);
  });
  it('with split ports raises each for its own', async () => {
    queue = new GuestQueue(guest, { tx: 20, rx: 21 });
    const connection = await connect(guest.nodes([queue]));
    queue.send(bytes(60));
    expect([...guest.raised]).toEqual([[20, 1]]);
    queue.offer(1);
    port.bring(whole(bytes(100)));
    expect([...guest.raised]).toEqual([
      [20, 1],
      [21, 1],
    ]);
    await connection.disconnect();
  });
});

describe('a link that is down', () => {
  it('carries nothing, either way, until it is up', async () => {
    driver.setLink(false);
    expect(driver.features().get('carrier')).toBe('0');
    const connection = await connect();
    queue.offer(2);
    queue.send(bytes(60));
    port.bring(whole(bytes(60)));
    expect([port.sent, queue.sent(), queue.received()]).toEqual([[], [[100, 0]], []]);
    expect([driver.counters.tx.drops, driver.counters.rx.drops]).toEqual([1, 1]);
    driver.setLink(true);
    queue.send(bytes(60));
    port.bring(whole(bytes(60)));
    expect([port.sent.length, queue.received().length]).toEqual([1, 1]);
    await connection.disconnect();
  });
});
