/** Requests of every shape, in both layouts of the ring: what is on the disk and in the guest's pages afterwards. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  BLKIF_OP_WRITE,
  BLKIF_OP_WRITE_BARRIER,
  BLKIF_RSP_OKAY,
} from '../../../../src/xenner/abi/blkif.js';
import { GTF_permit_access, GTF_readonly } from '../../../../src/xenner/abi/grant-table.js';
import { BlockDriver } from '../../../../src/xenner/backend/block/driver.js';
import { BlockFrontEnd, DATA_MFN, DATA_REF, page, pages, part, type Seg } from './front-end.js';
import { MemoryImage } from './memory-image.js';

const SECTOR = 512;
const fail = (reason: string) => {
  throw new Error(reason);
};

describe.each(['x86_64-abi', 'x86_32-abi'] as const)('%s', (protocol) => {
  let front: BlockFrontEnd;
  let image: MemoryImage;
  let driver: BlockDriver;
  beforeEach(async () => {
    front = new BlockFrontEnd({ protocol });
    image = new MemoryImage();
    driver = new BlockDriver({ host: front.host, image, name: 'xvda' });
    await driver.connect(front.nodes(), fail);
  });
  afterEach(() => front.close());

  const bytesOf = (segs: Seg[]) =>
    Buffer.concat(
      segs.map(({ gref, first_sect, last_sect }) =>
        front.data(gref - DATA_REF).subarray(first_sect * SECTOR, (last_sect + 1) * SECTOR),
      ),
    );

  const onDisk = (sector: number, bytes: number) =>
    image.bytes.subarray(sector * SECTOR, sector * SECTOR + bytes);

  /** `views`: sizes of the buffers that the image gets. */
  const shapes: Array<{ name: string; segs: Seg[]; views: number[] }> = [
    { name: 'one sector', segs: [part(3, 2, 2)], views: [512] },
    { name: 'a page', segs: [page(0)], views: [4096] },
    { name: 'neighbours, which are one buffer', segs: pages(11), views: [11 * 4096] },
    { name: 'pages apart', segs: [page(1), page(3), page(2)], views: [4096, 4096, 4096] },
    { name: 'parts that meet', segs: [part(4, 4, 7), part(5, 0, 2)], views: [7 * 512] },
    { name: 'parts that do not', segs: [part(4, 0, 3), part(5, 1, 7)], views: [4 * 512, 7 * 512] },
    { name: 'a page twice', segs: [part(6, 0, 3), part(6, 4, 7), part(6, 0, 3)], views: [4096, 2048] },
  ];
  describe.each(shapes)('$name', ({ segs, views }) => {
    const length = views.reduce((sum, size) => sum + size, 0);

    it('written', async () => {
      for (let n = 0; n < 16; n++) front.data(n).fill(0x40 + n);
      image.held = true;
      front.push([front.transfer(BLKIF_OP_WRITE, 77, segs)]);
      const [call] = await image.waiting(1);
      expect(call).toMatchObject({ what: 'write', offset: 77 * SECTOR, views });
      expect(segs.every(({ gref }) => front.inUse(gref - DATA_REF))).toBe(true);
      call!.end();
      expect(await front.answers(1)).toEqual([{ id: 0n, operation: BLKIF_OP_WRITE, status: BLKIF_RSP_OKAY }]);
      expect(onDisk(77, length).equals(bytesOf(segs))).toBe(true);
      expect(segs.some(({ gref }) => front.inUse(gref - DATA_REF))).toBe(false);
      expect(driver.statistics).toMatchObject({ writeRequests: 1, writtenBytes: length, readRequests: 0 });
    });

    it('read', async () => {
      // So that a page that is there twice gets the same both times.
      image.bytes.copyWithin(4096, 0, 4096);
      image.held = true;
      front.push([front.transfer(BLKIF_OP_READ, 0, segs)]);
      const [call] = await image.waiting(1);
      expect(call).toMatchObject({ what: 'read', offset: 0, views });
      call!.end();
      expect(await front.answers(1)).toEqual([{ id: 0n, operation: BLKIF_OP_READ, status: BLKIF_RSP_OKAY }]);
      expect(bytesOf(segs).equals(onDisk(0, length))).toBe(true);
      expect(driver.statistics).toMatchObject({ readRequests: 1, readBytes: length, writeRequests: 0 });
    });
  });

  it.each([1, 2, 11, 12, 255, 256])('indirect, %i segments', async (count) => {
    const segs = pages(count).map((seg, i) => (i % 3 === 1 ? { ...seg, first_sect: 3, last_sect: 5 } : seg));
    for (let n = 0; n < count; n++) front.data(n).fill(n);
    const written = bytesOf(segs);
    front.push([front.indirect(BLKIF_OP_WRITE, 1000, segs, 300)]);
    // blkfront gives a device up whose response names another operation than the request stands for.
    expect(await front.answers(1)).toMatchObject([{ operation: BLKIF_OP_WRITE, status: BLKIF_RSP_OKAY }]);
    expect(onDisk(1000, written.length).equals(written)).toBe(true);
    for (let n = 0; n < count; n++) front.data(n).fill(0);
    expect(await front.ask(front.indirect(BLKIF_OP_READ, 1000, segs, 301))).toBe(BLKIF_RSP_OKAY);
    expect(bytesOf(segs).equals(written)).toBe(true);
    expect([front.inUse(0), front.inUse(300), front.inUse(301)]).toEqual([false, false, false]);
  });

  it('the last sectors of the disk', async () => {
    const last = image.sizeBytes / SECTOR - 8;
    expect(await front.ask(front.transfer(BLKIF_OP_READ, last, [page(0)]))).toBe(BLKIF_RSP_OKAY);
    expect(onDisk(last, 4096).equals(front.data(0))).toBe(true);
  });

  it('writes from pages that may only be read', async () => {
    front.guest.grant(DATA_REF, DATA_MFN, GTF_permit_access | GTF_readonly, 0);
    expect(await front.ask(front.transfer(BLKIF_OP_WRITE, 0, [page(0)]))).toBe(BLKIF_RSP_OKAY);
  });

  it('discard', async () => {
    expect(await front.ask(front.discard(8, 16, { flag: 1 }))).toBe(BLKIF_RSP_OKAY);
    expect(image.bytes.subarray(8 * SECTOR, 24 * SECTOR).every((byte) => byte === 0)).toBe(true);
    expect(image.bytes.readUInt32LE(24 * SECTOR)).not.toBe(0);
    expect(driver.statistics).toMatchObject({ discardRequests: 1, discardedBytes: 16 * SECTOR, errors: 0 });
  });

  it.each([
    { name: 'flush', operation: BLKIF_OP_FLUSH_DISKCACHE, segs: [], calls: ['flush'] },
    {
      name: 'flush with data',
      operation: BLKIF_OP_FLUSH_DISKCACHE,
      segs: pages(2),
      calls: ['flush', 'write'],
    },
    { name: 'barrier', operation: BLKIF_OP_WRITE_BARRIER, segs: [], calls: ['flush'] },
    {
      name: 'barrier with data',
      operation: BLKIF_OP_WRITE_BARRIER,
      segs: pages(2),
      calls: ['flush', 'write', 'flush'],
    },
  ])('$name', async ({ operation, segs, calls }) => {
    image.held = true;
    front.push([front.transfer(operation, 16, segs)]);
    for (const what of calls) {
      const [call, ...others] = await image.waiting(1);
      expect(others).toEqual([]);
      expect(call!.what).toBe(what);
      expect(front.answersSoFar()).toEqual([]);
      call!.end();
    }
    expect(await front.answers(1)).toEqual([{ id: 0n, operation, status: BLKIF_RSP_OKAY }]);
    expect(driver.statistics).toMatchObject({ flushRequests: 1, writeRequests: segs.length > 0 ? 1 : 0 });
  });
});
