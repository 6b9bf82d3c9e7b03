/** The back end's side of a ring against the front end's macros: sizes, hold-off of notifications, indices that lie. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cstruct, u32, u64 } from '../../../src/base/layout.js';
import { GuestMemory, gpa } from '../../../src/kvm/guest-memory.js';
import { netif_rx_sring, netif_tx_sring } from '../../../src/xenner/abi/netif.js';
import { sring } from '../../../src/xenner/abi/ring.js';
import { BackRing } from '../../../src/xenner/backend/back-ring.js';
import { FrontRing } from './front-ring.js';

/** Slots of 24 bytes, one of which lies across the end of the first page. */
const request = cstruct('struct test_request', 'none', 24, { a: u64, b: u64, c: u64 });
const wide = sring('test', 'none', request, cstruct('struct test_response', 'none', 4, { a: u32 }));

let memory: GuestMemory;
beforeEach(() => {
  memory = GuestMemory.create(16 * 4096);
});
afterEach(() => memory.close());

const words = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);

it.each([
  { name: 'netif tx', layout: netif_tx_sring, pages: 1, size: 256 },
  { name: 'netif rx', layout: netif_rx_sring, pages: 1, size: 256 },
  { name: 'four pages', layout: wide, pages: 4, size: 512 },
])('size: $name', ({ layout, pages, size }) => {
  const mfns = Array.from({ length: pages }, (_, i) => 3 + i);
  expect(new BackRing(memory, mfns, layout).size).toBe(size);
  expect(new FrontRing(memory, 3, layout, pages).size).toBe(size);
});

describe('requests and responses', () => {
  it('go round the ring and across pages, in slots of their index', () => {
    const front = new FrontRing(memory, 4, wide, 2);
    front.startAt(2 ** 32 - 40);
    const back = new BackRing(memory, [4, 5], wide);
    const copy = new Uint32Array(6);
    for (let i = 0; i < 3 * front.size; i++) {
      front.push(words(i, i + 1, i + 2, i + 3, i + 4, i + 5));
      expect(back.unconsumed).toBe(1);
      back.copyRequest(back.reqCons, copy);
      expect([...copy]).toEqual([i, i + 1, i + 2, i + 3, i + 4, i + 5]);
      back.consume(1);
      back.respond([i * 2]);
      back.pushResponses();
      expect(front.take().map((slot) => new Uint32Array(slot.slice(0, 4).buffer)[0])).toEqual([i * 2]);
    }
  });
  it('use pages in the order that they were given in', () => {
    const back = new BackRing(memory, [9, 4], wide);
    const last = 4096 / 24;
    memory.writeU32(gpa(9 * 4096 + 64), 11);
    memory.writeU32(gpa(4 * 4096 + 64 + 24 * Math.ceil(last) - 4096), 22);
    const copy = new Uint32Array(1);
    back.copyRequest(0, copy);
    expect(copy[0]).toBe(11);
    back.copyRequest(Math.ceil(last), copy);
    expect(copy[0]).toBe(22);
  });
});

describe('notifications', () => {
  let front: FrontRing;
  let back: BackRing;
  beforeEach(() => {
    front = new FrontRing(memory, 4, netif_rx_sring);
    back = new BackRing(memory, [4], netif_rx_sring);
  });

  it('of responses are made when the guest asked for one that came', () => {
    front.push(...Array.from({ length: 10 }, () => words(0, 0)));
    back.consume(10);
    const answer = () => {
      back.respond([0]);
      return back.pushResponses();
    };
    expect([answer(), answer()]).toEqual([true, false]);
    front.set('rsp_event', 5);
    expect([answer(), answer(), answer(), answer()]).toEqual([false, false, true, false]);
  });
  it('of requests are asked for only when there are none', () => {
    expect(back.finalCheck()).toBe(false);
    expect(front.push(words(1, 1))).toBe(true);
    expect(front.push(words(1, 1))).toBe(false);
    expect(back.finalCheck()).toBe(true);
    back.consume(2);
    expect(front.push(words(1, 1))).toBe(false);
    expect(back.finalCheck()).toBe(true);
    back.consume(1);
    expect(back.finalCheck()).toBe(false);
    expect(front.push(words(1, 1))).toBe(true);
  });
  it('can wait for several requests', () => {
    expect(back.awaitRequests(3)).toBe(false);
    expect([front.push(words(1, 1)), front.push(words(1, 1)), front.push(words(1, 1))]).toEqual([
      false,
      false,
      true,
    ]);
    expect(back.awaitRequests(3)).toBe(true);
  });
});

describe('a guest that lies', () => {
  it.each([
    { name: 'a full ring', reqProd: 256, overrun: false, unconsumed: 256 },
    { name: 'one more', reqProd: 257, overrun: true, unconsumed: 256 },
    { name: 'going back', reqProd: 2 ** 32 - 1, overrun: true, unconsumed: 256 },
  ])('about req_prod: $name', ({ reqProd, overrun, unconsumed }) => {
    const front = new FrontRing(memory, 4, netif_tx_sring);
    const back = new BackRing(memory, [4], netif_tx_sring);
    front.set('req_prod', reqProd);
    expect([back.isOverrun, back.unconsumed]).toEqual([overrun, unconsumed]);
  });
  it('about rsp_prod changes nothing of ours', () => {
    const front = new FrontRing(memory, 4, netif_tx_sring);
    const back = new BackRing(memory, [4], netif_tx_sring);
    front.push(words(0, 0, 0), words(0, 0, 0));
    front.set('rsp_prod', 77);
    back.consume(2);
    back.respond([1]);
    expect(back.pushResponses()).toBe(true);
    expect(front.get('rsp_prod')).toBe(1);
  });
});
