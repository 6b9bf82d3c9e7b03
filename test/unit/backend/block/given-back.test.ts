/** A guest gives the host frames that a back end is at work on: nobody else's memory is touched, and the device lives. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { gpa } from '../../../../src/kvm/guest-memory.js';
import {
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_RSP_ERROR,
  BLKIF_RSP_OKAY,
} from '../../../../src/xenner/abi/blkif.js';
import { XENMEM_populate_physmap } from '../../../../src/xenner/abi/memory.js';
import { BlockDriver } from '../../../../src/xenner/backend/block/driver.js';
import { FreeFrames } from '../../../../src/xenner/domain/free-frames.js';
import { PGT_writable_page } from '../../../../src/xenner/monitor/vcpu-area.js';
import { change, decrease, list, readList } from '../../hypercall/memory-guest.js';
import { BlockFrontEnd, DATA_MFN, page, pages } from './front-end.js';
import { MemoryImage } from './memory-image.js';

const PAGE = 4096;
let front: BlockFrontEnd;
let image: MemoryImage;
let failures: string[];

beforeEach(async () => {
  front = new BlockFrontEnd();
  const { domain } = front.guest;
  domain.freeFrames = new FreeFrames(domain);
  image = new MemoryImage();
  failures = [];
  const driver = new BlockDriver({ host: front.host, image, name: 'xvda' });
  await driver.connect(front.nodes(), (reason) => failures.push(reason));
});
afterEach(() => front.close());

/** The frame that the guest gets back: the one that it gave. */
function populate(): number {
  const frames = list(front.guest, [1]);
  expect(change(front.guest, XENMEM_populate_physmap, { extent_start: frames, nr_extents: 1n })).toBe(1);
  return readList(front.guest, frames, 1)[0]!;
}

it('while the disk writes into it: the request ends, and what it wrote is nowhere when the frame comes back', async () => {
  image.held = true;
  front.push([front.transfer(BLKIF_OP_READ, 0, pages(3))]);
  const [call] = await image.waiting(1);
  expect(decrease(front.guest, [DATA_MFN + 1])).toBe(1);
  call!.end();
  expect(await front.answers(1)).toMatchObject([{ status: BLKIF_RSP_OKAY }]);
  expect(Buffer.from(front.data(2))).toEqual(image.bytes.subarray(2 * PAGE, 3 * PAGE));
  expect(front.inUse(1)).toBe(false);
  expect(populate()).toBe(DATA_MFN + 1);
  expect(Buffer.from(front.data(1))).toEqual(Buffer.alloc(PAGE));
  image.held = false;
  expect(await front.ask(front.transfer(BLKIF_OP_READ, 0, [page(1)]))).toBe(BLKIF_RSP_OKAY);
  expect(Buffer.from(front.data(1))).toEqual(image.bytes.subarray(0, PAGE));
});

it('while the disk reads from it: zeros or what was there are written, nothing else', async () => {
  front.data(0).fill(0x5a);
  image.held = true;
  front.push([front.transfer(BLKIF_OP_WRITE, 8, [page(0)])]);
  const [call] = await image.waiting(1);
  expect(decrease(front.guest, [DATA_MFN])).toBe(1);
  call!.end();
  expect(await front.answers(1)).toMatchObject([{ status: BLKIF_RSP_OKAY }]);
  expect(image.bytes.subarray(PAGE, 2 * PAGE)).toEqual(Buffer.alloc(PAGE));
});

it('before it asks: the request fails, and the next one does not', async () => {
  expect(decrease(front.guest, [DATA_MFN])).toBe(1);
  expect(await front.ask(front.transfer(BLKIF_OP_READ, 0, [page(0)]))).toBe(BLKIF_RSP_ERROR);
  expect(await front.ask(front.transfer(BLKIF_OP_WRITE, 0, [page(0)]))).toBe(BLKIF_RSP_ERROR);
  expect(front.guest.memory.readU32(gpa(DATA_MFN * PAGE))).toBe(0);
  expect(await front.ask(front.transfer(BLKIF_OP_READ, 0, [page(1)]))).toBe(BLKIF_RSP_OKAY);
});

it('the ring itself: the back end finds it broken, and stops', async () => {
  expect(await front.ask(front.transfer(BLKIF_OP_READ, 0, [page(0)]))).toBe(BLKIF_RSP_OKAY);
  const { guest, rings } = front;
  const ring = rings[0]!.firstMfn;
  // While its page is mapped it would stay as it is.
  guest.pages.putPageType(guest.vcpus[0]!, ring, PGT_writable_page);
  expect(decrease(guest, [ring])).toBe(1);
  front.notify();
  await new Promise((resolve) => setImmediate(resolve));
  expect(failures).toEqual([expect.stringMatching(/ring/)]);
});
