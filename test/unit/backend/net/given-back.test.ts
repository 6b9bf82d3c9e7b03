/** A guest gives the host frames that its network device is to use: nobody else's memory is touched, and the device lives. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { gpa } from '../../../../src/kvm/guest-memory.js';
import { XENMEM_populate_physmap } from '../../../../src/xenner/abi/memory.js';
import { NETIF_RSP_ERROR, NETIF_RSP_OKAY } from '../../../../src/xenner/abi/netif.js';
import { NetDriver } from '../../../../src/xenner/backend/net/net-driver.js';
import type { BackendConnection } from '../../../../src/xenner/backend/xenbus.js';
import { FreeFrames } from '../../../../src/xenner/domain/free-frames.js';
import { PGT_writable_page } from '../../../../src/xenner/monitor/vcpu-area.js';
import { change, decrease, list, readList } from '../../hypercall/memory-guest.js';
import { GuestQueue, NetGuest, TestPort, TX_MFN, whole } from './net-guest.js';
import { bytes } from './packets.js';

const PAGE = 4096;
let net: NetGuest;
let queue: GuestQueue;
let port: TestPort;
let connection: BackendConnection;
let failures: string[];

beforeEach(async () => {
  net = new NetGuest();
  const { domain } = net.guest;
  domain.freeFrames = new FreeFrames(domain);
  queue = new GuestQueue(net, { tx: 20, rx: 21 });
  port = new TestPort();
  failures = [];
  const driver = new NetDriver(net, port, { mac: '00:16:3e:00:00:01', handle: 0 });
  const nodes = net.nodes([queue], { 'feature-sg': 1 });
  connection = await driver.connect(nodes, (reason) => failures.push(reason));
});
afterEach(async () => {
  await connection.disconnect();
  expect(net.heldGrants).toBe(0);
  net.close();
});

const frame = (length: number, seed = 1) => bytes(length, seed).fill(2, 0, 1);
const contents = (mfn: number) => Buffer.from(net.memory.copyOut(gpa(mfn * PAGE), PAGE));
const received = () => queue.received().map((packet) => (packet === 'error' ? packet : packet.data));

/** The frames that the guest gets back: those that it gave. */
function populate(count: number): number[] {
  const frames = list(net.guest, Array(count).fill(1));
  const wish = { extent_start: frames, nr_extents: BigInt(count) };
  expect(change(net.guest, XENMEM_populate_physmap, wish)).toBe(count);
  return readList(net.guest, frames, count);
}

it('pages for packets that are to come: what does not fit is lost, and nothing is written', () => {
  const pages: number[] = [];
  queue.offer(4, (mfn) => {
    pages.push(mfn);
    return net.grant(mfn);
  });
  const [, given] = pages as [number, number];
  net.memory.copyIn(gpa(given * PAGE), Buffer.alloc(PAGE, 0x77));
  expect(decrease(net.guest, [given])).toBe(1);
  const packets = [frame(60), frame(5000, 2), frame(70, 3)];
  port.bring(...packets.map((data) => whole(data)));
  // The second takes two pages, of which the first is gone.
  expect(received()).toEqual([Buffer.from(packets[0]!), 'error', 'error', Buffer.from(packets[2]!)]);
  expect(populate(1)).toEqual([given]);
  expect(contents(given)).toEqual(Buffer.alloc(PAGE));
  queue.offer(4);
  port.bring(whole(packets[0]!));
  expect(received()).toEqual([Buffer.from(packets[0]!)]);
});

it('pages of a packet that it sends: nothing goes out, and the next one does', () => {
  queue.put(frame(8000), { sizes: [4000, 4000] });
  expect(decrease(net.guest, [TX_MFN + 1])).toBe(1);
  queue.push();
  queue.send(frame(60, 2));
  expect(queue.sent()).toEqual([
    [100, NETIF_RSP_ERROR],
    [101, NETIF_RSP_ERROR],
    [100, NETIF_RSP_OKAY],
  ]);
  expect(port.sent.map(({ data }) => data)).toEqual([Buffer.from(frame(60, 2))]);
  expect(failures).toEqual([]);
});

it('pages that a port still has when it is full: what was taken was taken whole', () => {
  port.room = 1;
  queue.send(frame(3000));
  queue.send(frame(3000, 2));
  expect(decrease(net.guest, [TX_MFN, TX_MFN + 1])).toBe(2);
  port.drain();
  expect(port.sent.map(({ data }) => data)).toEqual([Buffer.from(frame(3000))]);
  expect(queue.sent()).toEqual([
    [100, NETIF_RSP_OKAY],
    [100, NETIF_RSP_ERROR],
  ]);
});

it.each(['tx', 'rx'] as const)('the %s ring itself: the back end finds it broken, and stops', (which) => {
  const { firstMfn } = queue[which];
  queue.offer(4);
  queue.send(frame(60));
  port.bring(whole(frame(60)));
  // While its page is mapped it would stay as it is.
  net.guest.pages.putPageType(net.guest.vcpus[0]!, firstMfn, PGT_writable_page);
  expect(decrease(net.guest, [firstMfn])).toBe(1);
  net.event(which === 'tx' ? 20 : 21);
  port.bring(whole(frame(60)));
  expect(failures).toEqual([expect.stringMatching(/ring/)]);
  expect(populate(1)).toEqual([firstMfn]);
  expect(contents(firstMfn)).toEqual(Buffer.alloc(PAGE));
});
