/** What a guest may get wrong, by accident or not: each request fails alone, a ring that lies stops its device. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MAX_BLOCK_WORK_PER_TURN } from '../../../../src/base/limits.js';
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_RESERVED_1,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  BLKIF_RSP_EOPNOTSUPP,
  BLKIF_RSP_ERROR,
  BLKIF_RSP_OKAY,
} from '../../../../src/xenner/abi/blkif.js';
import { GTF_permit_access, GTF_readonly } from '../../../../src/xenner/abi/grant-table.js';
import { BlockDriver, type BlockDriverOptions } from '../../../../src/xenner/backend/block/driver.js';
import { NR_PAGES } from '../../hypercall/harness.js';
import { BlockFrontEnd, DATA_MFN, DATA_REF, page, pages, part } from './front-end.js';
import { MemoryImage } from './memory-image.js';

const SECTORS = (4 * 1024 * 1024) / 512;

let front: BlockFrontEnd;
let image: MemoryImage;
let driver: BlockDriver;
let broken: string[];
const warn = vi.fn();
const log = { traces: () => false, trace() {}, warn, warnOnce: warn };

async function connect(options: Partial<BlockDriverOptions> = {}) {
  driver = new BlockDriver({
    host: front.host,
    image,
    name: 'xvda',
    log,
    ...options,
  });
  return driver.connect(front.nodes(), (reason) => broken.push(reason));
}

beforeEach(() => {
  front = new BlockFrontEnd();
  image = new MemoryImage();
  broken = [];
  warn.mockClear();
});
afterEach(() => front.close());

describe('requests that fail', () => {
  type Make = () => Uint8Array;
  const read = (sector: number | bigint, segs = pages(1), changes = {}) =>
    front.transfer(BLKIF_OP_READ, sector, segs, changes);
  const bad: Array<{ name: string; request: Make; options?: Partial<BlockDriverOptions>; status?: number }> =
    [
      { name: 'no segments to read', request: () => read(0, []) },
      { name: 'no segments to write', request: () => front.transfer(BLKIF_OP_WRITE, 0, []) },
      { name: 'too many segments', request: () => read(0, pages(11), { nr_segments: 12 }) },
      { name: '255 segments', request: () => read(0, pages(11), { nr_segments: 255 }) },
      { name: 'a segment that ends before it begins', request: () => read(0, [part(0, 5, 4)]) },
      { name: 'a segment beyond its page', request: () => read(0, [part(0, 0, 8)]) },
      { name: 'the last segment beyond its page', request: () => read(0, [...pages(10), part(0, 200, 255)]) },
      { name: 'the first sector that is not there', request: () => read(SECTORS, [part(0, 0, 0)]) },
      { name: 'across the end of the disk', request: () => read(SECTORS - 7) },
      { name: 'a sector of 2^53', request: () => read(2n ** 53n) },
      { name: 'the last sector there is', request: () => read(2n ** 64n - 1n) },
      { name: 'a sum that wraps', request: () => read(2n ** 64n - 8n) },
      { name: 'no such grant', request: () => read(0, [{ ...page(0), gref: 0xffffffff }]) },
      { name: 'an empty grant', request: () => read(0, [...pages(5), { ...page(0), gref: 1999 }]) },
      {
        name: "a page of Xen's",
        request: () => {
          front.guest.grant(DATA_REF, NR_PAGES, GTF_permit_access, 0);
          return read(0);
        },
      },
      {
        name: 'reading into a page that may not be written',
        request: () => {
          front.guest.grant(DATA_REF + 3, DATA_MFN + 3, GTF_permit_access | GTF_readonly, 0);
          return read(0, pages(8));
        },
      },
      {
        name: 'a page 129 times at once',
        request: () => front.indirect(0, 0, Array(129).fill(page(0)), 300),
      },
      { name: 'indirect: no segments', request: () => front.indirect(BLKIF_OP_READ, 0, [], 300) },
      { name: 'indirect: too many', request: () => front.indirect(BLKIF_OP_READ, 0, pages(257), 300) },
      {
        name: 'indirect: 65535 segments',
        request: () => front.indirect(BLKIF_OP_READ, 0, pages(1), 300, { nr_segments: 65535 }),
      },
      {
        name: 'indirect: a flush',
        request: () => front.indirect(BLKIF_OP_FLUSH_DISKCACHE, 0, pages(1), 300),
      },
      { name: 'indirect: itself', request: () => front.indirect(6, 0, pages(1), 300) },
      {
        name: 'indirect: no such page',
        request: () => front.indirect(BLKIF_OP_READ, 0, pages(1), 300, { indirect_grefs: [5] }),
      },
      { name: 'indirect: a bad segment', request: () => front.indirect(0, 0, [page(0), part(1, 7, 0)], 300) },
      {
        name: 'indirect, not offered',
        request: () => front.indirect(BLKIF_OP_READ, 0, pages(1), 300),
        options: { maxIndirectSegments: 0 },
        status: BLKIF_RSP_EOPNOTSUPP,
      },
      {
        name: 'indirect: more than are offered',
        request: () => front.indirect(BLKIF_OP_READ, 0, pages(33), 300),
        options: { maxIndirectSegments: 32 },
      },
      { name: 'discard: nothing', request: () => front.discard(0, 0) },
      { name: 'discard: beyond the end', request: () => front.discard(SECTORS - 1, 2) },
      { name: 'discard: a length that wraps', request: () => front.discard(1, 2n ** 64n - 1n) },
      { name: 'discard: a sector that wraps', request: () => front.discard(2n ** 64n - 1n, 1) },
      {
        name: 'writing a read-only disk',
        request: () => front.transfer(BLKIF_OP_WRITE, 0, pages(1)),
        options: { readOnly: true },
      },
      {
        name: 'a barrier with data, read-only',
        request: () => front.transfer(BLKIF_OP_WRITE_BARRIER, 0, pages(1)),
        options: { readOnly: true },
      },
      {
        name: 'discard, read-only',
        request: () => front.discard(0, 8),
        options: { readOnly: true },
        status: BLKIF_RSP_EOPNOTSUPP,
      },
      {
        name: 'BLKIF_OP_RESERVED_1',
        request: () => front.transfer(BLKIF_OP_RESERVED_1, 0, pages(1)),
        status: BLKIF_RSP_EOPNOTSUPP,
      },
      {
        name: 'an unknown operation',
        request: () => front.transfer(255, 0, pages(1)),
        status: BLKIF_RSP_EOPNOTSUPP,
      },
    ];
  it.each(bad)('$name', async ({ request, options, status = BLKIF_RSP_ERROR }) => {
    await connect(options);
    image.held = true;
    const bytes = request();
    expect(await front.ask(bytes)).toBe(status);
    expect(image.calls).toEqual([]);
    expect(Array.from({ length: 302 }, (_, n) => front.inUse(n))).not.toContain(true);
    expect(driver.statistics).toMatchObject({ errors: 1, readRequests: 0, writeRequests: 0 });
    // The next one is served.
    image.held = false;
    front.guest.grant(DATA_REF + 9, DATA_MFN + 9, GTF_permit_access, 0);
    expect(await front.ask(front.transfer(BLKIF_OP_READ, 0, [page(9)]))).toBe(BLKIF_RSP_OKAY);
  });

  it('parts of sectors of 4096 bytes', async () => {
    image.sectorBytes = 4096;
    await connect();
    const statuses: number[] = [];
    for (const request of [
      read(8, [page(0)]),
      read(4, [page(0)]),
      read(8, [part(0, 0, 3)]),
      read(8, [part(0, 4, 7), part(1, 0, 3)]),
      front.discard(8, 4),
    ])
      statuses.push(await front.ask(request));
    expect(statuses).toEqual([0, -1, -1, 0, -1]);
  });

  it('images that fail, each in its way', async () => {
    await connect();
    image.held = true;
    for (const [code, status] of [
      ['EIO', BLKIF_RSP_ERROR],
      ['ENOSPC', BLKIF_RSP_ERROR],
      ['EOPNOTSUPP', BLKIF_RSP_EOPNOTSUPP],
    ] as const) {
      front.push([front.transfer(BLKIF_OP_WRITE, 0, pages(2))]);
      const [call] = await image.waiting(1);
      call!.end(Object.assign(new Error(`${code}: no`), { code }));
      expect(await front.answers(1)).toMatchObject([{ operation: BLKIF_OP_WRITE, status }]);
      expect(front.inUse(0)).toBe(false);
      expect(warn).toHaveBeenLastCalledWith(`xvda ${code}`, `xvda: ${code}: no`);
    }
    expect(driver.statistics).toMatchObject({ errors: 3, writeRequests: 0 });
  });
});

it('ids that are used again are answered twice', async () => {
  await connect();
  const request = front.transfer(BLKIF_OP_READ, 0, pages(1), { id: 2n ** 64n - 1n });
  front.push([request, request]);
  const id = 2n ** 64n - 1n;
  expect(await front.answers(2)).toMatchObject([{ id }, { id }]);
});

it('requests that change after they were taken are done as they were', async () => {
  await connect();
  image.held = true;
  front.push([front.transfer(BLKIF_OP_WRITE, 8, pages(1), { id: 5n })]);
  const [call] = await image.waiting(1);
  front.guest.memory.copyIn(front.rings[0]!.slot(0), front.transfer(BLKIF_OP_DISCARD, 99, [], { id: 6n }));
  front.guest.grant(DATA_REF, 5, GTF_permit_access, 0);
  front.data(0).fill(0x77);
  call!.end();
  expect(await front.answers(1)).toEqual([{ id: 5n, operation: BLKIF_OP_WRITE, status: 0 }]);
  expect(image.bytes.subarray(8 * 512, 16 * 512).every((byte) => byte === 0x77)).toBe(true);
});

describe('a ring that lies', () => {
  it.each([33, 2 ** 31, 2 ** 32 - 1])('about its requests: req_prod %i', async (reqProd) => {
    await connect();
    front.rings[0]!.set('req_prod', reqProd);
    front.notify();
    expect(broken).toEqual(['the ring is broken: more than 32 requests']);
    // Silent from now on, even if the index is right again.
    front.rings[0]!.set('req_prod', 0);
    front.push([front.transfer(BLKIF_OP_READ, 0, pages(1))]);
    front.notify();
    expect(front.answersSoFar()).toEqual([]);
    expect(broken.length).toBe(1);
  });
  it('has its other queues stopped, too; what was taken is answered', async () => {
    front.close();
    front = new BlockFrontEnd({ queues: 2 });
    await connect();
    image.held = true;
    front.push([front.transfer(BLKIF_OP_READ, 0, pages(1))], 1);
    const [call] = await image.waiting(1);
    front.rings[0]!.set('req_prod', 99);
    front.notify(0);
    front.push([front.transfer(BLKIF_OP_READ, 0, pages(1))], 1);
    front.notify(1);
    call!.end();
    expect((await front.answers(1)).length).toBe(1);
    expect([image.calls.length, broken.length]).toEqual([0, 1]);
  });
  it('before it is connected', async () => {
    front.rings[0]!.set('req_prod', 33);
    await connect();
    expect(broken.length).toBe(1);
  });
  it('about req_event, rsp_event and rsp_prod changes what it is told itself, and no more', async () => {
    await connect();
    const [ring] = front.rings;
    for (const value of [0, 7, 2 ** 31, 2 ** 32 - 1]) {
      ring!.push(front.transfer(BLKIF_OP_READ, 0, pages(1)));
      for (const member of ['req_event', 'rsp_event', 'rsp_prod']) ring!.set(member, value);
      front.notify();
      await new Promise(setImmediate);
      expect(ring!.take().length).toBe(1);
    }
  });
});

it('a full ring is taken in turns, between which others have theirs', async () => {
  front.close();
  front = new BlockFrontEnd({ order: 4 });
  await connect();
  image.held = true;
  front.push(
    Array.from({ length: 512 }, (_, n) => front.transfer(BLKIF_OP_READ, 0, pages(11, 11 * (n % 30)))),
  );
  // One request is 12 steps of work; the bound is looked at before each.
  const perTurn = Math.ceil(MAX_BLOCK_WORK_PER_TURN / 12);
  for (let turn = 1; image.calls.length < 512; turn++) {
    expect(image.calls.length).toBe(Math.min(512, turn * perTurn));
    // More events do not make more turns.
    front.notify();
    front.notify();
    await new Promise(setImmediate);
  }
  for (const call of [...image.calls]) call.end();
  expect((await front.answers(512)).every(({ status }) => status === BLKIF_RSP_OKAY)).toBe(true);
});
