/** What ends when: requests side by side, barriers, answers and their events, pausing, disconnecting. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
} from '../../../../src/xenner/abi/blkif.js';
import { BlockDriver } from '../../../../src/xenner/backend/block/driver.js';
import type { BackendConnection } from '../../../../src/xenner/backend/xenbus.js';
import { BlockFrontEnd, pages } from './front-end.js';
import { MemoryImage } from './memory-image.js';

let front: BlockFrontEnd;
let image: MemoryImage;
let driver: BlockDriver;
let connection: BackendConnection;
beforeEach(async () => {
  front = new BlockFrontEnd();
  image = new MemoryImage();
  driver = new BlockDriver({ host: front.host, image, name: 'xvda', log });
  connection = await driver.connect(front.nodes(), fail);
  image.held = true;
});
afterEach(() => front.close());

const log = { traces: () => false, trace() {}, warn() {}, warnOnce() {} };
const write = (id: bigint, sector = 8 * Number(id)) =>
  front.transfer(BLKIF_OP_WRITE, sector, pages(1, Number(id)), { id });
const fail = (reason: string) => {
  throw new Error(reason);
};
const whats = () => image.calls.map(({ what, offset }) => `${what} ${offset / 512}`);
const turn = () => new Promise(setImmediate);

it('it is patient with a guest that has several requests at a time', async () => {
  image.held = false;
  for (const requests of [1, 3, 1]) {
    for (let events = 0; events < 32; events++) {
      front.push(Array.from({ length: requests }, () => write(1n)));
      await front.answers(requests);
    }
  }
  // The last of each 32 judges those before it.
  expect(front.patience).toEqual([false, true, false]);
});

it('requests are answered as they end', async () => {
  front.push([write(1n), write(2n), write(3n)]);
  const [first, second, third] = await image.waiting(3);
  for (const call of [third!, first!, second!]) {
    call.end();
    await turn();
  }
  expect((await front.answers(3)).map(({ id }) => id)).toEqual([3n, 1n, 2n]);
});

describe('events', () => {
  it('of answers that come together are one', async () => {
    front.push([write(1n), write(2n), write(3n)]);
    for (const call of [...(await image.waiting(3))]) call.end();
    await front.answers(3);
    expect(front.events).toBe(1);
  });
  it('are held off until the guest wants one', async () => {
    front.push([write(1n), write(2n), write(3n)]);
    front.rings[0]!.set('rsp_event', 3);
    const events: number[] = [];
    for (const call of [...(await image.waiting(3))]) {
      call.end();
      await turn();
      events.push(front.events);
    }
    expect(events).toEqual([0, 0, 1]);
  });
  it('of requests are wanted only when all have been taken', async () => {
    const [ring] = front.rings;
    expect(ring!.push(write(1n))).toBe(true);
    expect(ring!.push(write(2n))).toBe(false);
    front.notify();
    expect(image.calls.length).toBe(2);
    expect(ring!.push(write(3n))).toBe(true);
  });
});

describe('a barrier', () => {
  it('comes after what was taken before, and before what follows', async () => {
    const barrier = front.transfer(BLKIF_OP_WRITE_BARRIER, 800, pages(1, 9), { id: 9n });
    front.push([write(1n), write(2n), barrier, write(3n)]);
    expect(whats()).toEqual(['write 8', 'write 16']);
    image.calls[0]!.end();
    await turn();
    expect(whats()).toEqual(['write 16']);
    image.calls[0]!.end();
    const steps: string[] = [];
    while (image.calls.length > 0 || steps.length === 0) {
      await turn();
      const [call, ...others] = image.calls;
      expect(others).toEqual([]);
      steps.push(whats()[0]!);
      call!.end();
      await turn();
    }
    expect(steps).toEqual(['flush 0', 'write 800', 'flush 0', 'write 24']);
    expect((await front.answers(4)).map(({ id }) => id)).toEqual([1n, 2n, 9n, 3n]);
  });
  it('that fails lets others go on', async () => {
    front.push([front.transfer(BLKIF_OP_WRITE_BARRIER, 0, [], { id: 9n }), write(3n)]);
    await turn();
    image.calls[0]!.end(Object.assign(new Error('EIO'), { code: 'EIO' }));
    await turn();
    expect(whats()).toEqual(['write 24']);
    image.calls[0]!.end();
    expect(await front.answers(2)).toMatchObject([
      { id: 9n, status: -1 },
      { id: 3n, status: 0 },
    ]);
  });
  it('is alone in its ring only', async () => {
    await connection.disconnect();
    front.close();
    front = new BlockFrontEnd({ queues: 2 });
    await new BlockDriver({ host: front.host, image, name: 'xvda', log }).connect(front.nodes(), fail);
    front.push([write(1n)], 1);
    front.push([front.transfer(BLKIF_OP_WRITE_BARRIER, 0, [])], 0);
    await turn();
    expect(whats()).toEqual(['write 8', 'flush 0']);
  });
});

it('a flush with data flushes before it writes', async () => {
  front.push([front.transfer(BLKIF_OP_FLUSH_DISKCACHE, 80, pages(1)), write(1n)]);
  await turn();
  expect(whats()).toEqual(['write 8', 'flush 0'].sort());
});

describe('disconnecting', () => {
  it('waits for what is under way and gives everything back', async () => {
    front.push([write(1n)]);
    const closing = connection.disconnect();
    const again = connection.disconnect();
    await turn();
    expect(front.inUse(1)).toBe(true);
    image.calls[0]!.end();
    await Promise.all([closing, again]);
    expect(front.inUse(1)).toBe(false);
    expect(front.guest.flags(100)).toBe(1);
    front.push([write(2n)]);
    expect(image.calls.length).toBe(0);
  });
  it('takes nothing any more, and leaves the ring for the next connection', async () => {
    front.push([write(1n), write(2n), front.transfer(BLKIF_OP_WRITE_BARRIER, 0, [], { id: 9n }), write(3n)]);
    const closing = connection.disconnect();
    front.push([write(4n)]);
    for (const expected of [['write 8', 'write 16'], ['write 16'], ['flush 0']]) {
      expect(whats()).toEqual(expected);
      image.calls[0]!.end();
      await turn();
    }
    await closing;
    expect(front.rings[0]!.get('rsp_prod')).toBe(3);
    expect((await front.answers(3)).map(({ id }) => id)).toEqual([1n, 2n, 9n]);
    await driver.connect(front.nodes(), fail);
    expect(whats()).toEqual(['write 24', 'write 32']);
  });
  it('leaves a turn that was to come', async () => {
    front.push(Array.from({ length: 32 }, () => front.indirect(BLKIF_OP_READ, 0, pages(100), 300)));
    expect(image.calls.length).toBe(3);
    const closing = connection.disconnect();
    await turn();
    expect(image.calls.length).toBe(3);
    for (const call of [...image.calls]) call.end();
    await closing;
    await driver.connect(front.nodes(), fail);
    expect(image.calls.length).toBe(3);
  });
  it('leaves a ring for the next front end, at any index', async () => {
    image.held = false;
    front.push([write(1n), write(2n)]);
    await front.answers(2);
    await connection.disconnect();
    connection = await driver.connect(front.nodes(), fail);
    front.push([write(3n)]);
    expect(await front.answers(1)).toMatchObject([{ id: 3n, status: 0 }]);
    expect(driver.statistics.writeRequests).toBe(3);
  });
  it('survives a guest whose memory is gone already', async () => {
    front.push([write(1n), front.transfer(BLKIF_OP_WRITE_BARRIER, 0, []), write(2n)]);
    front.close();
    image.calls[0]!.end(new Error('EFAULT'));
    await turn();
    expect(whats()).toEqual(['flush 0']);
    image.calls[0]!.end();
    await connection.disconnect();
    front.notify();
    expect(image.calls).toEqual([]);
  });
});
