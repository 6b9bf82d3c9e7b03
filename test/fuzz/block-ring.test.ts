/**
 * Block devices under random front ends, over an image that is a real file. Good requests are compared with a plain model of the disk;
 * wild ones must be answered once each, and touch nothing outside of their grants.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RawImage } from '../../src/mgmt/storage/raw-image.js';
import { StorageFile } from '../../src/mgmt/storage/storage-file.js';
import * as blkif from '../../src/xenner/abi/blkif.js';
import { GTF_permit_access } from '../../src/xenner/abi/grant-table.js';
import { BlockDriver } from '../../src/xenner/backend/block/driver.js';
import type { BackendConnection } from '../../src/xenner/backend/xenbus.js';
import {
  BlockFrontEnd,
  DATA_MFN,
  DATA_REF,
  type FrontEndOptions,
  NR_DATA,
  part,
  type Seg,
} from '../unit/backend/block/front-end.js';
import { fuzzSettings, Random } from './random.js';

const SECTOR = 512;
const SECTORS = 4096;
const INDIRECT_PAGES = 32;
/** Pages of data that are no indirect pages. */
const PAGES = NR_DATA - INDIRECT_PAGES;
const log = { traces: () => false, trace() {}, warn() {}, warnOnce() {} };

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'xenner-block-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

interface Device {
  front: BlockFrontEnd;
  path: string;
  image: RawImage;
  connection: BackendConnection;
  broken: string[];
  close(): Promise<void>;
}

async function device(options: FrontEndOptions, content: Buffer): Promise<Device> {
  const path = join(dir, 'disk');
  writeFileSync(path, content);
  const front = new BlockFrontEnd(options);
  const image = new RawImage(await StorageFile.open(path));
  const driver = new BlockDriver({ host: front.host, image, name: 'xvda', persistent: true, log });
  const broken: string[] = [];
  const connection = await driver.connect(front.nodes(), (reason) => broken.push(reason));
  const close = async () => {
    await connection.disconnect();
    await image.close();
    front.close();
  };
  return { front, path, image, connection, broken, close };
}

describe.each<FrontEndOptions>([
  { protocol: 'x86_64-abi' },
  { protocol: 'x86_32-abi', persistent: true },
  { protocol: 'x86_64-abi', order: 3, queues: 2, persistent: true },
  { protocol: 'x86_32-abi', order: 4, queues: 4 },
])('a front end that does no wrong, %o', (options) => {
  it('finds on its disk what it wrote', async () => {
    const { cases, seed } = fuzzSettings(40);
    const random = new Random(seed);
    const model = Buffer.alloc(SECTORS * SECTOR, 0xd5);
    const { front, path, close } = await device(options, model);
    const queues = options.queues ?? 1;
    for (let round = 0; round < cases; round++) {
      const checks: Array<() => void> = [];
      const requests: Uint8Array[][] = Array.from({ length: queues }, () => []);
      // Each request of a round has its own pages and its own part of the disk, as what overlaps has no order.
      const lanes = 12;
      for (let lane = 0; lane < lanes; lane++) {
        const request = oneRequest(front, random, model, lane, lanes, checks);
        requests[random.below(queues)]!.push(request);
      }
      for (const [queue, list] of requests.entries()) front.push(list, queue);
      const answers = await front.answers(lanes);
      expect(
        answers.map(({ status }) => status),
        `seed ${seed}, round ${round}`,
      ).toEqual(Array(lanes).fill(0));
      for (const check of checks) check();
    }
    await close();
    expect(readFileSync(path).equals(model)).toBe(true);
  });
});

/** Segments of any shape over pages of this lane, and the bytes in them. */
function segments(random: Random, firstPage: number, nrPages: number, count: number, maxSectors: number) {
  const segs: Seg[] = [];
  const used = new Set<number>();
  let sectors = 0;
  for (let i = 0; i < count; i++) {
    const page = firstPage + random.below(nrPages);
    if (used.has(page)) continue;
    used.add(page);
    const first = random.below(8);
    const last = first + random.below(8 - first);
    if (sectors + last - first + 1 > maxSectors) break;
    sectors += last - first + 1;
    segs.push(part(page, first, last));
  }
  if (segs.length === 0) segs.push(part(firstPage, 3, 3));
  return segs;
}

const { BLKIF_OP_READ, BLKIF_OP_WRITE, BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_WRITE_BARRIER, BLKIF_OP_DISCARD } =
  blkif;
/** As often as they stand here. */
const OPERATIONS = [
  ...[BLKIF_OP_READ, BLKIF_OP_READ, BLKIF_OP_READ, BLKIF_OP_WRITE, BLKIF_OP_WRITE, BLKIF_OP_WRITE],
  ...[BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_WRITE_BARRIER, BLKIF_OP_DISCARD],
];

/** Does to the model what it asks of the disk; what is to be read is looked at in `checks`. */
function oneRequest(
  front: BlockFrontEnd,
  random: Random,
  model: Buffer,
  lane: number,
  lanes: number,
  checks: Array<() => void>,
): Uint8Array {
  const laneSectors = Math.floor(SECTORS / lanes);
  const lanePages = Math.floor(PAGES / lanes);
  const operation = random.pick(OPERATIONS);
  const indirect = [BLKIF_OP_READ, BLKIF_OP_WRITE].includes(operation) && random.below(2) === 0;
  const segs = segments(random, lane * lanePages, lanePages, 1 + random.below(indirect ? 30 : 11), 200);
  const views = segs.map(({ gref, first_sect, last_sect }) =>
    front.data(gref - DATA_REF).subarray(first_sect * SECTOR, (last_sect + 1) * SECTOR),
  );
  const sectors = views.reduce((sum, { length }) => sum + length / SECTOR, 0);
  const sector = lane * laneSectors + random.below(laneSectors - sectors);
  const range = model.subarray(sector * SECTOR, (sector + sectors) * SECTOR);
  if (operation === BLKIF_OP_DISCARD) {
    range.fill(0);
    return front.discard(sector, sectors);
  }
  if (operation === BLKIF_OP_READ) {
    const expected = Buffer.from(range);
    checks.push(() => expect(Buffer.concat(views).equals(expected)).toBe(true));
  } else {
    for (const view of views) for (let i = 0; i < view.length; i += 64) view.fill(random.next(), i, i + 64);
    range.set(Buffer.concat(views));
  }
  return indirect
    ? front.indirect(operation, sector, segs, PAGES + lane)
    : front.transfer(operation, sector, segs);
}

describe.each<FrontEndOptions>([
  { protocol: 'x86_64-abi' },
  { protocol: 'x86_32-abi', order: 2, persistent: true },
])('a front end that does anything, %o', (options) => {
  it('gets one answer for each request, and nothing else', async () => {
    const { cases, seed } = fuzzSettings(300);
    const random = new Random(seed);
    const { front, path, broken, close } = await device(options, Buffer.alloc(SECTORS * SECTOR, 0xd5));
    const { memory } = front.guest;
    // Frames that were granted to nobody.
    const secret = memory.bytes((500 * 4096) as never, 12 * 4096);
    secret.fill(0x5e);
    for (let round = 0; round < cases; round++) {
      if (random.below(8) === 0) wildGrant(front, random);
      const wild = Array.from({ length: 1 + random.below(front.rings[0]!.size) }, () =>
        wildRequest(front, random),
      );
      const ids = wild.map((_, i) => BigInt(round * 1000 + i));
      wild.forEach((request, i) => {
        const at = front.layouts.request.offsetof('id');
        Buffer.from(request.buffer, request.byteOffset).writeBigUInt64LE(ids[i]!, at);
      });
      front.push(wild);
      const answers = await front.answers(wild.length);
      expect(answers.length, `seed ${seed}, round ${round}`).toBe(wild.length);
      expect(answers.map(({ id }) => id).sort(order)).toEqual(ids);
    }
    expect(broken).toEqual([]);
    expect(secret.every((byte) => byte === 0x5e)).toBe(true);
    await close();
    expect(readFileSync(path).length).toBe(SECTORS * SECTOR);
  });
});

const order = (a: bigint, b: bigint) => Number(a - b);

/** Grants that the next requests may meet: other frames, other flags. Never the secret's. */
function wildGrant(front: BlockFrontEnd, random: Random): void {
  const n = random.below(NR_DATA);
  const mfn = random.pick([DATA_MFN + n, DATA_MFN + n, 1023, 1024, 1279, 2 ** 20, 2 ** 32 - 1, 8, 11]);
  front.guest.grant(
    DATA_REF + n,
    mfn,
    random.pick([GTF_permit_access, GTF_permit_access, 5, 0, 2, 3, 0x101]),
    0,
  );
}

function wildRequest(front: BlockFrontEnd, random: Random): Uint8Array {
  const sector = random.pick([
    0,
    8,
    SECTORS - 8,
    SECTORS - 1,
    SECTORS,
    2 ** 31,
    2 ** 40,
    random.below(SECTORS),
  ]);
  const segs = Array.from({ length: random.below(12) }, () => ({
    gref: random.below(10) === 0 ? random.next() : DATA_REF + random.below(NR_DATA),
    first_sect: random.below(12) === 0 ? random.below(256) : 0,
    last_sect: random.below(12) === 0 ? random.below(256) : random.below(8),
  }));
  const kind = random.below(10);
  const request =
    kind < 5
      ? front.transfer(random.pick([0, 0, 1, 1, 2, 3]), sector, segs)
      : kind < 8
        ? front.indirect(random.pick([0, 0, 1, 1, 2, 6]), sector, segs, PAGES + random.below(INDIRECT_PAGES))
        : front.discard(sector, random.pick([0, 1, 8, SECTORS, 2 ** 40]));
  // And now and then a byte that is anything, but in the id.
  if (random.below(4) === 0) {
    const at = random.below(request.length);
    request[at] = random.below(256);
  }
  return request;
}

describe('a ring whose indices are anything', () => {
  it('ends, answers what was taken, and is left by the device', async () => {
    const { cases, seed } = fuzzSettings(60);
    const random = new Random(seed);
    for (let round = 0; round < cases; round++) {
      const { front, broken, close } = await device({}, Buffer.alloc(64 * SECTOR));
      const [ring] = front.rings;
      for (let step = 0; step < 6; step++) {
        const member = random.pick(['req_prod', 'req_prod', 'req_event', 'rsp_prod', 'rsp_event']);
        ring!.set(member, random.pick([0, 1, 31, 32, 33, 1000, 2 ** 31, 2 ** 32 - 1, random.next()]));
        front.notify();
        await new Promise(setImmediate);
      }
      await close();
      expect(broken.length, `seed ${seed}, round ${round}`).toBeLessThanOrEqual(1);
    }
  });
});
