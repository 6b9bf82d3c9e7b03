/** Macvtaps: the guest as a neighbour of the host on its network card, here one end of a pair of interfaces. */
import { afterEach, expect, it } from 'vitest';
import { createLink, deleteLink, linkIndex } from '../../src/kvm/index.js';
import { NetDriver } from '../../src/xenner/backend/net/net-driver.js';
import { openMacvtapPort } from '../../src/xenner/backend/net/tap-port.js';
import { GuestQueue, NetGuest, type Received } from '../unit/backend/net/net-guest.js';
import { bytes } from '../unit/backend/net/packets.js';
import { ip, until } from './lib/network.js';

const MAC = '52:54:00:12:34:56';
const MAC_BYTES = Buffer.from(MAC.replaceAll(':', ''), 'hex');

const undo: Array<() => unknown> = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

/** A guest on a macvtap on one end of a cable. */
async function plug(name: string): Promise<GuestQueue> {
  createLink(
    name,
    { kind: 'macvtap', below: linkIndex('card0')!, mode: 'bridge' },
    { address: MAC, up: true },
  );
  undo.push(() => linkIndex(name) && deleteLink(name));
  const port = openMacvtapPort(name);
  undo.push(() => port.close());
  const guest = new NetGuest();
  const queue = new GuestQueue(guest, { tx: 20, rx: 21 });
  const driver = new NetDriver(guest, port, { mac: MAC, handle: 0 });
  const connection = await driver.connect(guest.nodes([queue], { 'feature-sg': 1 }), (reason) =>
    failures.push(reason),
  );
  undo.push(async () => {
    await connection.disconnect();
    guest.close();
  });
  queue.offer(200);
  return queue;
}

let failures: string[] = [];

function cable(): void {
  failures = [];
  ip('link', 'add', 'card0', 'type', 'veth', 'peer', 'name', 'wall0');
  undo.push(() => deleteLink('card0'));
  for (const end of ['card0', 'wall0']) ip('link', 'set', end, 'up');
  ip('addr', 'add', '10.7.0.1/24', 'dev', 'wall0');
}

it('carries packets between the guest and who is at the other end', async () => {
  cable();
  const queue = await plug('macvtap0');
  const guestIp = [10, 7, 0, 2];
  const request = Buffer.from([
    ...[...Array(6).fill(255), ...MAC_BYTES, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
    ...[...MAC_BYTES, ...guestIp, ...Array(6).fill(0), 10, 7, 0, 1],
  ]);
  queue.send(request);
  const reply = await until('an ARP reply', () =>
    (queue.received() as Received[]).find(({ data }) => data.readUInt16BE(12) === 0x0806 && data[21] === 2),
  );
  expect([...reply.data.subarray(28, 32)]).toEqual([10, 7, 0, 1]);
  expect(reply.data.subarray(0, 6)).toEqual(MAC_BYTES);
  expect(failures).toEqual([]);
});

it('loses what it sends when its interface has been removed, which Linux tells nobody', async () => {
  cable();
  const queue = await plug('macvtap2');
  for (let i = 0; i < 400; i++) {
    if (i === 200) deleteLink('macvtap2');
    queue.send(Buffer.concat([Buffer.alloc(6, 255), MAC_BYTES, Buffer.from([0x88, 0xb5]), bytes(1400)]));
    await until('an answer', () => queue.sent().length > 0);
  }
  expect(failures).toEqual([]);
});

it('is one that exists', () => {
  expect(() => openMacvtapPort('macvtap9')).toThrow('there is no macvtap macvtap9');
  cable();
  expect(() => openMacvtapPort('wall0')).toThrow(/cannot open the tap wall0.*\/dev\/tap\d+/);
});
