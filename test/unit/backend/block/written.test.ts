/** What a disk's back end wrote into the guest is settled before the guest hears of it. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BLKIF_OP_READ, BLKIF_OP_WRITE } from '../../../../src/xenner/abi/blkif.js';
import { BlockDriver } from '../../../../src/xenner/backend/block/driver.js';
import type { BackendConnection } from '../../../../src/xenner/backend/xenbus.js';
import { BlockFrontEnd, DATA_MFN, page, pages } from './front-end.js';
import { MemoryImage } from './memory-image.js';

let front: BlockFrontEnd;
let connection: BackendConnection;
let settle: () => void;

beforeEach(async () => {
  front = new BlockFrontEnd();
  const driver = new BlockDriver({ host: front.host, image: new MemoryImage(), name: 'xvda' });
  connection = await driver.connect(front.nodes(), (reason) => {
    throw new Error(reason);
  });
});
afterEach(() => front.close());

/** From now on what is written has to be settled first. */
function unsettled(): void {
  front.settled = new Promise((resolve) => {
    settle = () => {
      front.settled = undefined;
      resolve();
    };
  });
}

it('the pages of reads, and only these', async () => {
  front.push([front.transfer(BLKIF_OP_READ, 0, pages(2)), front.transfer(BLKIF_OP_WRITE, 64, [page(7)])]);
  await front.answers(2);
  expect(front.wrote).toEqual([DATA_MFN, DATA_MFN + 1]);
});

it('answers wait, with whatever is answered meanwhile', async () => {
  unsettled();
  front.push([front.transfer(BLKIF_OP_READ, 0, [page(0)])]);
  await nextTurn();
  front.push([front.transfer(BLKIF_OP_WRITE, 64, [page(7)])]);
  await nextTurn();
  await nextTurn();
  expect([front.answersSoFar(), front.events]).toEqual([[], 0]);
  settle();
  expect(await front.answers(2)).toHaveLength(2);
  expect(front.events).toBe(1);
});

it('a front end that disconnects gets them first', async () => {
  unsettled();
  front.push([front.transfer(BLKIF_OP_READ, 0, [page(0)])]);
  await nextTurn();
  let gone = false;
  const leaving = connection.disconnect().then(() => {
    gone = true;
  });
  await nextTurn();
  expect(gone).toBe(false);
  settle();
  await leaving;
  expect(front.answersSoFar()).toHaveLength(1);
});

it('a guest that is destroyed meanwhile is not touched', async () => {
  unsettled();
  front.push([front.transfer(BLKIF_OP_READ, 0, [page(0)])]);
  await nextTurn();
  front.guest.memory.close();
  settle();
  await connection.disconnect();
});
