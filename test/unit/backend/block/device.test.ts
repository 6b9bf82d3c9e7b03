/** A disk as a guest finds it: through xenstore, from plugging in to unplugging, with front ends that break and come again. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BLKIF_OP_READ } from '../../../../src/xenner/abi/blkif.js';
import * as xenbus from '../../../../src/xenner/abi/xenbus.js';
import { BlockDriver } from '../../../../src/xenner/backend/block/driver.js';
import { BackendDevice } from '../../../../src/xenner/backend/xenbus.js';
import { Xenstore, type XenstoreHandle } from '../../../../src/xenner/xenstore/index.js';
import { DOMID } from '../../hypercall/harness.js';
import { BlockFrontEnd, pages } from './front-end.js';
import { MemoryImage } from './memory-image.js';

const { XenbusStateInitialising, XenbusStateInitWait, XenbusStateInitialised, XenbusStateConnected } = xenbus;
const { XenbusStateClosed } = xenbus;
const FRONT = `/local/domain/${DOMID}/device/vbd/51712`;
const BACK = `/local/domain/0/backend/vbd/${DOMID}/51712`;
const log = { traces: () => false, trace() {}, warn() {}, warnOnce() {} };

let front: BlockFrontEnd;
let host: XenstoreHandle;
let guest: XenstoreHandle;
let device: BackendDevice;
let driver: BlockDriver;
beforeEach(() => {
  front = new BlockFrontEnd({ queues: 2, persistent: true });
  const store = new Xenstore();
  host = store.client();
  guest = store.client(DOMID);
  driver = new BlockDriver({ host: front.host, image: new MemoryImage(), name: 'xvda', persistent: true });
  device = new BackendDevice({ store: host, domid: DOMID, devid: driver.devid, driver, log });
});
afterEach(async () => {
  await device.close();
  front.close();
});

const backIs = async (state: number) => {
  // Bounded: a state that does not come is a failure, not a time-out.
  for (let turns = 0; turns < 100 && host.readInt(`${BACK}/state`) !== state; turns++)
    await new Promise(setImmediate);
  expect(host.readInt(`${BACK}/state`)).toBe(state);
};

async function connect() {
  for (const [node, value] of front.nodes()) guest.write(`${FRONT}/${node}`, value);
  guest.write(`${FRONT}/state`, XenbusStateInitialised);
  await backIs(XenbusStateConnected);
}

it('is found, connected, used and unplugged', async () => {
  await backIs(XenbusStateInitWait);
  expect(guest.read(`${FRONT}/virtual-device`)).toBe('51712');
  expect(guest.read(`${BACK}/sectors`)).toBe('8192');
  expect(guest.read(`${BACK}/feature-max-indirect-segments`)).toBe('256');
  await connect();
  expect(await front.ask(front.transfer(BLKIF_OP_READ, 0, pages(3)))).toBe(0);
  expect(front.inUse(1)).toBe(true);
  const unplugged = device.unplug(60_000);
  guest.write(`${FRONT}/state`, XenbusStateClosed);
  await unplugged;
  expect(front.inUse(1)).toBe(false);
  expect(host.read(`${BACK}/state`)).toBeUndefined();
});

it('stops when its ring is broken, says why, and takes the next front end', async () => {
  await connect();
  front.rings[1]!.set('req_prod', 1000);
  front.notify(1);
  await backIs(XenbusStateClosed);
  expect(host.read(`/local/domain/0/error/backend/vbd/${DOMID}/51712/error`)).toBe(
    '22 the ring is broken: more than 32 requests',
  );
  for (const ring of front.rings) ring.startAt(0);
  guest.write(`${FRONT}/state`, XenbusStateInitialising);
  await backIs(XenbusStateInitWait);
  await connect();
  front.push([front.transfer(BLKIF_OP_READ, 0, pages(1))], 1);
  expect(await front.answers(1)).toMatchObject([{ status: 0 }]);
});

it('says what is wrong with a front end', async () => {
  guest.write(`${FRONT}/ring-ref`, 'x');
  guest.write(`${FRONT}/state`, XenbusStateInitialised);
  await backIs(XenbusStateClosed);
  expect(host.read(`/local/domain/0/error/backend/vbd/${DOMID}/51712/error`)).toBe(
    "22 the block front end's ring-ref is 'x', not a number up to 4294967295",
  );
});
