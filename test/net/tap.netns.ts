/** Taps: a bridge with guests in it, the kernel's own stack at the other end, and all that it checks of a packet. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { changeLink, createLink, deleteLink, linkIndex, openTap } from '../../src/kvm/index.js';
import { NetDriver } from '../../src/xenner/backend/net/net-driver.js';
import type { NetPort } from '../../src/xenner/backend/net/net-port.js';
import { openTapPort } from '../../src/xenner/backend/net/tap-port.js';
import { GuestQueue, NetGuest, type Received } from '../unit/backend/net/net-guest.js';
import { bytes } from '../unit/backend/net/packets.js';
import { ip, links, Namespace, until } from './lib/network.js';
import { connectWire, type WireEnd } from './lib/wire.js';

const ALL = {
  'feature-sg': 1,
  'feature-gso-tcpv4': 1,
  'feature-gso-tcpv6': 1,
  'feature-ipv6-csum-offload': 1,
};
const MAC = [0x00, 0x16, 0x3e, 0, 0, 1];

const undo: Array<() => unknown> = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

function tap(options: Parameters<typeof openTapPort>[0]): NetPort {
  const port = openTapPort(options);
  undo.push(() => port.close());
  return port;
}

async function plug(
  port: NetPort,
  failed: (reason: string) => void = expect.fail,
): Promise<{ queue: GuestQueue }> {
  const guest = new NetGuest();
  const queue = new GuestQueue(guest, { tx: 20, rx: 21 });
  const driver = new NetDriver(guest, port, { mac: '00:16:3e:00:00:01', handle: 0 });
  const connection = await driver.connect(guest.nodes([queue], ALL), failed);
  undo.push(async () => {
    await connection.disconnect();
    guest.close();
  });
  queue.offer(200);
  return { queue };
}

/** The next packet that is wanted; others of the kernel's are nobody's business. */
function next(queue: GuestQueue, what: string, wanted: (data: Buffer) => boolean): Promise<Buffer> {
  return until(what, () =>
    (queue.received() as Received[]).map(({ data }) => data).find((data) => wanted(data)),
  );
}

const type = (data: Buffer) => data.readUInt16BE(12);

describe('an interface', () => {
  it('has the name, the MTU and the bridge that were asked for, and is gone with its port', async () => {
    createLink('br7', { kind: 'bridge' }, { up: true });
    undo.push(() => deleteLink('br7'));
    const port = openTapPort({ name: 'vif7.0', bridge: 'br7', mtu: 9000 });
    const link = links().find(({ ifname }) => ifname === 'vif7.0')!;
    expect(link).toMatchObject({ mtu: 9000, master: 'br7', address: 'fe:ff:ff:ff:ff:ff' });
    expect(link.flags).toContain('UP');
    expect(link.flags).toContain('NOARP');
    await port.close();
    await port.close();
    expect(linkIndex('vif7.0')).toBeUndefined();
  });
  it('has a link only while the guest has a driver', async () => {
    const port = tap({ name: 'vif8.0' });
    const hasLink = () =>
      (links().find(({ ifname }) => ifname === 'vif8.0')!.flags as string[]).includes('LOWER_UP');
    expect(hasLink()).toBe(false);
    await plug(port);
    expect(hasLink()).toBe(true);
    await undo.pop()!();
    expect(hasLink()).toBe(false);
  });
  it('that is removed is the end of its port', async () => {
    const port = tap({ name: 'vif8.0' });
    const failures: string[] = [];
    await plug(port, (reason) => failures.push(reason));
    deleteLink('vif8.0');
    await until('the failure', () => failures.length > 0);
    expect(failures).toEqual([expect.stringMatching(/^tap vif8.0: read of vif8.0: /)]);
    await expect(plug(port)).rejects.toThrow('tap vif8.0 is gone');
  });
  const refusals = [
    { name: 'vif1.0', bridge: 'br-none', message: /no bridge br-none; make it/ },
    { name: 'a-name-of-sixteen', message: /15 bytes/ },
    { name: 'lo', message: /cannot open the tap lo/ },
    { name: 'vif1.0', mtu: 1, message: /cannot set up vif1.0/ },
  ];
  it.each(refusals)('is refused: $name $bridge', ({ message, ...options }) => {
    expect(() => tap(options)).toThrow(message);
    expect(linkIndex('vif1.0')).toBeUndefined();
  });
  it('is refused where the name is taken', () => {
    tap({ name: 'vif9.0' });
    expect(() => tap({ name: 'vif9.0' })).toThrow(/vif9.0 exists already/);
  });
});

describe('the file of a tap', () => {
  it('is used by nobody once it is closed', () => {
    const open = openTap('/dev/net/tun', 'try%d', () => {});
    expect(open.name).toBe('try0');
    const lengths = new Uint32Array(4);
    // A buffer that has no room for the largest packet gets none.
    expect(open.receive(new Uint8Array(2000), lengths)).toBe(0);
    expect(() => open.send(Array.from({ length: 65 }, () => new Uint8Array(1)))).toThrow('at most 64 pieces');
    expect(() => open.send([Buffer.alloc(9)])).toThrow(/^write to try0: /);
    open.close();
    open.close();
    expect(linkIndex('try0')).toBeUndefined();
    const calls = [
      () => open.receive(new Uint8Array(99_999), lengths),
      () => open.send([]),
      () => open.setOffload(0),
      () => open.setCarrier(true),
      () => open.watch({ packets: true }),
    ];
    for (const call of calls) expect(call).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });
  it('is watched once for each call', async () => {
    let calls = 0;
    const open = openTap('/dev/net/tun', 'try%d', () => calls++);
    undo.push(() => open.close());
    open.watch({ packets: true, room: true });
    // There is room only once it is up, and it is up once; then the kernel asks for routers.
    changeLink('try0', { up: true });
    await until('the first call', () => calls === 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(calls).toBe(1);
    open.watch({ packets: true });
    await until('a packet', () => calls === 2);
    const [buffer, lengths] = [new Uint8Array(2 ** 18), new Uint32Array(64)];
    expect(open.receive(buffer, lengths)).toBeGreaterThan(0);
    expect(lengths[0]).toBeGreaterThan(10 + 14);
  });
});

describe('a bridge', () => {
  beforeAll(() => {
    createLink('br0', { kind: 'bridge' }, { up: true, address: '02:00:00:00:00:99' });
    ip('addr', 'add', '10.9.0.1/24', 'dev', 'br0');
  });
  afterAll(() => deleteLink('br0'));

  it('carries packets from guest to guest', async () => {
    const ends: Array<Awaited<ReturnType<typeof plug>>> = [];
    for (const name of ['vif1.0', 'vif2.0', 'vif3.0']) ends.push(await plug(tap({ name, bridge: 'br0' })));
    const frame = Buffer.concat([
      Buffer.alloc(6, 255),
      Buffer.from(MAC),
      Buffer.from([0x88, 0xb5]),
      bytes(1486),
    ]);
    const isOurs = (data: Buffer) => type(data) === 0x88b5;
    await sending(ends[0]!.queue, frame, async () => {
      expect(await next(ends[1]!.queue, 'the broadcast', isOurs)).toEqual(frame);
      expect(await next(ends[2]!.queue, 'the broadcast', isOurs)).toEqual(frame);
    });
    expect((ends[0]!.queue.received() as Received[]).filter(({ data }) => isOurs(data))).toEqual([]);
  });

  it('answers as the kernel does: ARP and ping', async () => {
    const { queue } = await plug(tap({ name: 'vif1.0', bridge: 'br0' }));
    const [guestIp, hostIp] = [
      [10, 9, 0, 2],
      [10, 9, 0, 1],
    ];
    const question = Buffer.from([
      ...Array(6).fill(255),
      ...MAC,
      8,
      6,
      ...[0, 1, 8, 0, 6, 4, 0, 1],
      ...MAC,
      ...guestIp,
      ...Array(6).fill(0),
      ...hostIp,
    ]);
    const reply = await sending(queue, question, () =>
      next(queue, 'an ARP reply', (data) => type(data) === 0x0806 && data[21] === 2),
    );
    const host = [...reply.subarray(22, 28)];
    expect(host).toEqual([2, 0, 0, 0, 0, 0x99]);
    const echo = Buffer.concat([Buffer.from([8, 0, 0, 0, 0, 7, 0, 1]), bytes(1400)]);
    const header = Buffer.from([0x45, 0, 0, 0, 0, 9, 0x40, 0, 64, 1, 0, 0, ...guestIp, ...hostIp]);
    header.writeUInt16BE(20 + echo.length, 2);
    for (const [part, at] of [
      [echo, 2],
      [header, 10],
    ] as const)
      part.writeUInt16BE(internetChecksum(part), at);
    queue.send(Buffer.concat([Buffer.from([...host, ...MAC, 8, 0]), header, echo]));
    const answer = await next(
      queue,
      'an echo reply',
      (data) => type(data) === 0x0800 && data[23] === 1 && data[34] === 0,
    );
    expect(answer.subarray(42)).toEqual(bytes(1400));
  });
});

/** Sends a frame again and again: the kernel sees in its own time that a port of a bridge has a link. */
async function sending<T>(queue: GuestQueue, frame: Buffer, work: () => Promise<T>): Promise<T> {
  queue.send(frame);
  const again = setInterval(() => queue.send(frame), 50);
  try {
    return await work();
  } finally {
    clearInterval(again);
  }
}

function internetChecksum(data: Buffer): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += data.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

describe('two kernels', () => {
  const BYTES = 4 * 2 ** 20;
  const CLIENT = `
    const { createHash } = require('node:crypto');
    const [host, bytes] = process.argv.slice(1);
    const socket = require('node:net').connect({ host, port: 7000, allowHalfOpen: true });
    const sum = createHash('sha256');
    socket.on('data', (data) => sum.update(data)).on('end', () => console.log(sum.digest('hex')));
    const block = Buffer.from(Array.from({ length: 65536 }, (_, i) => (i * 131) >> 3));
    let left = Number(bytes) / block.length;
    const more = () => { for (; left > 0; ) { left--; if (!socket.write(block)) return socket.once('drain', more); } socket.end(); };
    socket.on('connect', more);
  `;
  let far: Namespace;
  let server: Server;
  let wire: readonly [WireEnd, WireEnd];

  async function lay(features: readonly [Record<string, number>, Record<string, number>]): Promise<void> {
    far = await Namespace.create();
    undo.push(() => far.close());
    const ports = [tap({ name: 'near0' }), tap({ name: 'far0' })] as const;
    ip('link', 'set', 'far0', 'netns', far.pid);
    ip('addr', 'add', '10.8.0.1/24', 'dev', 'near0');
    ip('addr', 'add', 'fd08::1/64', 'dev', 'near0', 'nodad');
    far.ip('link', 'set', 'far0', 'up');
    far.ip('addr', 'add', '10.8.0.2/24', 'dev', 'far0');
    far.ip('addr', 'add', 'fd08::2/64', 'dev', 'far0', 'nodad');
    wire = await connectWire(ports, features);
    undo.push(async () => {
      for (const end of wire) await end.close();
    });
  }

  /** Sends as much each way at once. Returns sums of what both received, and the one that they should have. */
  async function exchange(host: string): Promise<{ near: string; far: string; expected: string }> {
    const block = Buffer.from(Array.from({ length: 65536 }, (_, i) => (i * 131) >> 3));
    const expected = createHash('sha256');
    for (let i = 0; i < BYTES / block.length; i++) expected.update(block);
    server = createServer({ allowHalfOpen: true }).listen(7000, host);
    undo.push(() => server.close());
    await once(server, 'listening');
    const client = far.node(CLIENT, host, `${BYTES}`);
    undo.push(() => client.kill('SIGKILL'));
    let text = '';
    client.stdout!.on('data', (data: Buffer) => {
      text += data;
    });
    const ended = once(client, 'exit').then(() => {
      throw new Error('the client has ended');
    });
    const [socket] = (await Promise.race([once(server, 'connection'), ended])) as [Socket];
    ended.catch(() => {});
    const ends = [once(socket, 'end'), once(client, 'exit')];
    const sum = createHash('sha256');
    socket.on('data', (data) => sum.update(data));
    for (let i = 0; i < BYTES / block.length; i++) if (!socket.write(block)) await once(socket, 'drain');
    socket.end();
    await Promise.all(ends);
    return { near: sum.digest('hex'), far: text.trim(), expected: expected.digest('hex') };
  }

  const { 'feature-ipv6-csum-offload': _, ...no6 } = ALL;
  const cases: Array<{
    name: string;
    features: [Record<string, number>, Record<string, number>];
    segments: boolean;
  }> = [
    { name: 'with all offloads', features: [ALL, ALL], segments: true },
    { name: 'with none', features: [{ 'feature-no-csum-offload': 1 }, {}], segments: false },
    { name: 'with different ones', features: [ALL, { 'feature-no-csum-offload': 1 }], segments: true },
    { name: 'without checksums of IPv6', features: [no6, no6], segments: true },
  ];
  describe.each(cases)('$name', ({ features, segments }) => {
    it.each(['10.8.0.1', 'fd08::1'])('talk TCP, %s', async (host) => {
      await lay(features);
      const start = performance.now();
      const { near, far: there, expected } = await exchange(host);
      const seconds = (performance.now() - start) / 1000;
      expect({ near, there }).toEqual({ near: expected, there: expected });
      expect(wire[0].failures).toEqual([]);
      expect(wire[0].segments > 0).toBe(segments && !(features[0] === no6 && host === 'fd08::1'));
      const { tx, rx } = wire[0].driver.counters;
      expect(tx.bytes).toBeGreaterThan(BYTES);
      expect(rx.bytes).toBeGreaterThan(BYTES);
      expect(tx.errors + rx.errors).toBe(0);
      if (process.env.XENNER_FIGURES)
        console.log(host, `${((2 * BYTES) / seconds / 1e6).toFixed(0)} MB/s`, tx, rx);
    });
  });
});
