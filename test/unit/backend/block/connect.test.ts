/** What the device and its front end tell each other before a ring is used: features, rings, grants that stay. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BLKIF_OP_READ, BLKIF_OP_WRITE } from '../../../../src/xenner/abi/blkif.js';
import { BlockDriver, type BlockDriverOptions } from '../../../../src/xenner/backend/block/driver.js';
import { PersistentGrants } from '../../../../src/xenner/backend/block/grant-cache.js';
import { BlockFrontEnd, DATA_REF, page, pages } from './front-end.js';
import { MemoryImage } from './memory-image.js';

let front: BlockFrontEnd;
let image: MemoryImage;
beforeEach(() => {
  front = new BlockFrontEnd();
  image = new MemoryImage();
});
afterEach(() => front.close());

const fail = (reason: string) => {
  throw new Error(reason);
};
const driver = (options: Partial<BlockDriverOptions> = {}) =>
  new BlockDriver({ host: front.host, image, name: 'xvda', ...options });

describe('nodes', () => {
  const usual = {
    dev: 'xvda',
    'device-type': 'disk',
    mode: 'w',
    params: '',
    sectors: '8192',
    'sector-size': '512',
    'physical-sector-size': '4096',
    info: '0',
    'max-ring-page-order': '4',
    'multi-queue-max-queues': '4',
    'feature-persistent': '0',
    'feature-flush-cache': '1',
    'feature-barrier': '1',
    'feature-discard': '1',
    'feature-max-indirect-segments': '256',
    'discard-granularity': '4096',
    'discard-alignment': '0',
    'discard-secure': '0',
  };
  it('of a disk', () => {
    expect(Object.fromEntries(driver().features())).toEqual(usual);
    expect([...driver().frontendNodes()]).toEqual([
      ['virtual-device', '51712'],
      ['device-type', 'disk'],
    ]);
  });
  const variants: Array<{
    name: string;
    options?: Partial<BlockDriverOptions>;
    image?: Partial<MemoryImage>;
    nodes: object;
  }> = [
    {
      name: 'read-only',
      options: { readOnly: true },
      nodes: { mode: 'r', info: '4', 'feature-discard': '0' },
    },
    { name: 'a read-only image', image: { readOnly: true }, nodes: { mode: 'r', info: '4' } },
    { name: 'a CD', options: { cdrom: true }, nodes: { mode: 'r', info: '5', 'device-type': 'cdrom' } },
    {
      name: 'large sectors',
      image: { sectorBytes: 4096 },
      nodes: { 'sector-size': '4096', sectors: '8192' },
    },
    {
      name: 'an odd size',
      image: { sizeBytes: 1536 },
      nodes: { 'physical-sector-size': '512', sectors: '3' },
    },
    {
      name: 'other features',
      options: { persistent: true, maxQueues: 16, params: 'aio:/a b' },
      nodes: { 'feature-persistent': '1', 'multi-queue-max-queues': '16', params: 'aio:/a b' },
    },
  ];
  it.each(variants)('of $name', ({ options = {}, image: changes = {}, nodes }) => {
    Object.assign(image, changes);
    expect(Object.fromEntries(driver(options).features())).toMatchObject(nodes);
  });
  it('leave out what is not offered', () => {
    image.canDiscard = false;
    const nodes = driver({ maxIndirectSegments: 0 }).features();
    expect([...nodes.keys()].filter((node) => /^discard|indirect/.test(node))).toEqual([]);
  });
  it.each([{ name: 'xvd' }, { maxQueues: 0 }, { maxQueues: 17 }, { maxIndirectSegments: 257 }])(
    'that cannot be: %o',
    (options) => {
      expect(() => driver(options)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    },
  );
});

describe('rings', () => {
  const kinds = [undefined, 0, 1, 2, 3, 4].flatMap((order) => [1, 2, 4].map((queues) => ({ order, queues })));
  it.each(kinds)('of order $order in $queues queues', async ({ order, queues }) => {
    front.close();
    front = new BlockFrontEnd({ queues, ...(order === undefined ? {} : { order }) });
    const connection = await driver().connect(front.nodes(), fail);
    const { size } = front.rings[0]!;
    expect(size).toBe(32 * 2 ** (order ?? 0));
    for (let queue = 0; queue < queues; queue++) {
      // Twice round the ring.
      for (let i = 0; i < 2; i++) {
        const requests = Array.from({ length: size }, (_, n) =>
          front.transfer(BLKIF_OP_READ, 8 * (n % 300), [page(n % 300)]),
        );
        front.push(requests, queue);
        const answers = await front.answers(size);
        expect(answers.every(({ status }) => status === 0)).toBe(true);
      }
    }
    expect(image.bytes.subarray(7 * 4096, 8 * 4096).equals(front.data(7))).toBe(true);
    await connection.disconnect();
  });

  const wrong: Array<{ name: string; nodes: Record<string, string>; message: string }> = [
    { name: 'no such order', nodes: { 'ring-page-order': '5' }, message: "ring-page-order is '5'" },
    { name: 'a page is missing', nodes: { 'ring-page-order': '1' }, message: 'ring-ref0 is missing' },
    { name: 'a negative order', nodes: { 'ring-page-order': '-1' }, message: "ring-page-order is '-1'" },
    { name: 'no number', nodes: { 'ring-ref': '8 ' }, message: "ring-ref is '8 '" },
    { name: 'not granted', nodes: { 'ring-ref': '1500' }, message: 'grant 1500' },
    { name: 'beyond all grants', nodes: { 'ring-ref': '4294967295' }, message: 'grant 4294967295' },
    { name: 'too large', nodes: { 'ring-ref': '4294967296' }, message: "ring-ref is '4294967296'" },
    { name: 'no port', nodes: { 'event-channel': '' }, message: "event-channel is ''" },
    { name: 'no such port', nodes: { 'event-channel': '77' }, message: 'no port 77' },
    { name: 'no queues', nodes: { 'multi-queue-num-queues': '0' }, message: 'multi-queue-num-queues' },
    { name: 'too many queues', nodes: { 'multi-queue-num-queues': '5' }, message: 'multi-queue-num-queues' },
    { name: 'queues without rings', nodes: { 'multi-queue-num-queues': '2' }, message: 'queue-0/ring-ref0' },
    { name: 'protocol', nodes: { protocol: 'ia64-abi' }, message: "protocol is 'ia64-abi'" },
    { name: 'a long value', nodes: { protocol: 'x'.repeat(4096) }, message: `'${'x'.repeat(40)}'` },
  ];
  it.each(wrong)('refused: $name', async ({ nodes, message }) => {
    await expect(driver().connect(front.nodes(nodes), fail)).rejects.toThrow(message);
    expect(front.guest.flags(100)).toBe(1);
  });
});

describe('grants', () => {
  const ask = async (n: number, operation = BLKIF_OP_READ) =>
    front.ask(front.transfer(operation, 0, [page(n)]));

  it.each([
    { name: 'both want it', device: true, guest: true, stays: true },
    { name: 'the guest does not', device: true, guest: false, stays: false },
    { name: 'it was not offered', device: false, guest: true, stays: false },
  ])('stay in use: $name', async ({ device, guest, stays }) => {
    front.close();
    front = new BlockFrontEnd({ persistent: guest });
    const connection = await driver({ persistent: device }).connect(front.nodes(), fail);
    expect(await ask(3, BLKIF_OP_WRITE)).toBe(0);
    expect([front.inUse(3), front.inUse(4)]).toEqual([stays, false]);
    expect(await ask(3)).toBe(0);
    await connection.disconnect();
    expect(front.inUse(3)).toBe(false);
  });
  it('stay as they were, whatever the guest writes over the entry', async () => {
    front.close();
    front = new BlockFrontEnd({ persistent: true });
    await driver({ persistent: true }).connect(front.nodes(), fail);
    await ask(3);
    front.data(3).fill(0);
    front.guest.grant(DATA_REF + 3, 5);
    expect(await ask(3)).toBe(0);
    expect(image.bytes.subarray(0, 4096).equals(front.data(3))).toBe(true);
  });
  it('that were used longest ago make room', () => {
    const cache = new PersistentGrants(front.host, 3);
    const use = (n: number) => {
      const grant = cache.access(DATA_REF + n, { write: false });
      if (typeof grant === 'number') throw new Error(`GNTST ${grant}`);
      return grant;
    };
    const held = [0, 1, 2, 3, 4].map((n) => front.inUse(n));
    expect(held).toEqual([false, false, false, false, false]);
    for (const n of [0, 1, 2, 0]) use(n).release();
    use(3).release();
    expect([0, 1, 2, 3].map((n) => front.inUse(n))).toEqual([true, false, true, true]);
    // In use, all of them: the next is mapped for this once.
    const users = [2, 0, 3].map(use);
    const fourth = use(4);
    expect(cache.size).toBe(3);
    fourth.release();
    fourth.release();
    expect(front.inUse(4)).toBe(false);
    for (const user of users) {
      user.release();
      user.release();
    }
    use(4).release();
    expect([0, 2, 3, 4].map((n) => front.inUse(n))).toEqual([true, false, true, true]);
    cache.close();
    expect([0, 3, 4].map((n) => front.inUse(n))).toEqual([false, false, false]);
  });
  it('of which more are named than are kept are served all the same', async () => {
    front.close();
    front = new BlockFrontEnd({ persistent: true });
    await driver({ persistent: true }).connect(front.nodes(), fail);
    front.push([front.indirect(BLKIF_OP_READ, 0, pages(200), 300)]);
    front.push([front.indirect(BLKIF_OP_READ, 0, pages(150, 150), 301)]);
    expect(await front.answers(2)).toMatchObject([{ status: 0 }, { status: 0 }]);
  });
});
