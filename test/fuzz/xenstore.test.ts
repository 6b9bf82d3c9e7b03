/**
 * Xenstore against guests that send anything, over a ring that they scribble on: nothing throws, nothing hangs, nobody changes what
 * is not theirs, and the books stay right. `XENNER_FUZZ_CASES` rounds (default 40) from `XENNER_FUZZ_SEED`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestMemory, gpa } from '../../src/kvm/index.js';
import * as xs from '../../src/xenner/abi/xs-wire.js';
import { type Json, Saved } from '../../src/xenner/save/saved.js';
import { Connection } from '../../src/xenner/xenstore/connection.js';
import { Xenstore, XenstoreRing } from '../../src/xenner/xenstore/index.js';
import { GUEST_QUOTA } from '../../src/xenner/xenstore/quota.js';
import { encodeMessage, ProtocolError } from '../../src/xenner/xenstore/wire.js';
import { contents, GUEST, storeWithGuests } from '../unit/xenstore/clients.js';
import { GuestRing } from '../unit/xenstore/guest-ring.js';
import { messages } from '../unit/xenstore/messages.js';
import { fuzzSettings, mutate, Random } from './random.js';

const { cases, seed } = fuzzSettings(40);
const seeds = Array.from({ length: cases }, (_, i) => seed + i);
const HOME = `/local/domain/${GUEST}`;

const TEXTS = [
  '',
  'T',
  'F',
  '0',
  '5',
  '6',
  '4096',
  'token',
  'n5',
  'b5',
  'r0',
  'w6',
  'n6',
  'x',
  'help',
  'quota',
];
const PATHS = [
  ...[
    '/',
    'data',
    'data/a',
    'data/a/b',
    'data/b',
    '/tool',
    '@releaseDomain',
    'device',
    '/local/domain/6/data',
  ],
  ...[HOME, `${HOME}/data/a`, `/local/domain/${GUEST + 1}`, 'data/', '//', 'data/a/b/c/d/e/f'],
];

/** A request that means something, most of the time. */
function message(random: Random): Buffer {
  const texts = [random.pick(PATHS), ...Array.from({ length: random.below(4) }, () => random.pick(TEXTS))];
  const long = random.below(20) === 0 ? 'v'.repeat(random.below(4000)) : '';
  const payload = Buffer.from(`${texts.join('\0')}\0${long}`, 'latin1').subarray(0, 4096);
  const bytes = encodeMessage({
    type: random.below(24),
    reqId: random.next(),
    txId: random.below(2) * random.below(12),
    payload,
  });
  return random.below(10) === 0 ? mutate(random, bytes, 32) : bytes;
}

/** The usage that the store keeps is that of its nodes. */
function checkBooks(store: Xenstore): void {
  const counted = new Map<number, number>();
  for (const [, { permissions }] of store.tree.walk()) {
    counted.set(permissions[0].domid, (counted.get(permissions[0].domid) ?? 0) + 1);
  }
  for (const [domid, nodes] of counted) expect(store.tree.usage(domid).nodes).toBe(nodes);
  expect(counted.get(GUEST) ?? 0).toBeLessThanOrEqual(GUEST_QUOTA.nodes);
}

/** What guest 5 may neither see nor change; 6 never lets it in. */
function othersOf(store: Xenstore): string[] {
  return contents(store).filter((line) => !line.startsWith(`${HOME}/data`));
}

describe('messages', () => {
  it.each(seeds)('of a guest stay within its rights and quotas (seed %i)', (each) => {
    const random = new Random(each);
    const { store } = storeWithGuests();
    const others = othersOf(store);
    let guest: Connection;
    const connect = () => {
      guest = new Connection(store, GUEST, { ready: () => undefined, overflow: () => undefined });
    };
    connect();
    let answers = 0;
    for (let i = 0; i < 1500; i++) {
      const bytes = message(random);
      try {
        for (let at = 0; at < bytes.length && guest!.listening; ) {
          const piece = bytes.subarray(at, at + Math.min(guest!.wanted, 1 + random.below(64)));
          at += piece.length;
          guest!.feed(piece);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
        guest!.close();
        connect();
      }
      if (random.below(5) === 0) answers += messages(guest!.take(Number.MAX_SAFE_INTEGER)).length;
      expect(guest!.client.bytes).toBeLessThan(GUEST_QUOTA.bytes + 20 * 4112);
    }
    expect(answers).toBeGreaterThan(300);
    expect(othersOf(store)).toEqual(others);
    checkBooks(store);
    const restored = Xenstore.restore(new Saved(JSON.parse(JSON.stringify(store.save())) as Json, 'store'));
    expect(contents(restored)).toEqual(contents(store));
    expect(restored.tree.usage(GUEST)).toEqual(store.tree.usage(GUEST));
  });

  it.each(seeds)('of the host do what they like, and the books stay right (seed %i)', (each) => {
    const random = new Random(each);
    const { store } = storeWithGuests();
    const host = new Connection(store, 0, { ready: () => undefined, overflow: () => undefined });
    for (let i = 0; i < 1500; i++) {
      const bytes = message(random);
      try {
        for (let at = 0; at < bytes.length; ) {
          const piece = bytes.subarray(at, at + host.wanted);
          at += piece.length;
          host.feed(piece);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
        host.reset();
      }
      host.take(Number.MAX_SAFE_INTEGER);
    }
    checkBooks(store);
  });
});

describe('rings', () => {
  const RING = gpa(0x4000);
  let memory: GuestMemory;

  beforeAll(() => {
    memory = GuestMemory.create(0x10000);
  });

  afterAll(() => memory.close());

  const WORDS = ['req_cons', 'req_prod', 'rsp_cons', 'rsp_prod', 'server_features', 'connection', 'error'];

  it.each(seeds)('scribbled on do no harm, and work again after a reconnection (seed %i)', async (each) => {
    const random = new Random(each);
    const { store } = storeWithGuests();
    const others = othersOf(store);
    const guest = new GuestRing(memory, RING);
    memory.fill(gpa(0), 0x10000, 0xee);
    const ring = new XenstoreRing(store, { domid: GUEST, memory, ring: RING, raise: () => undefined });
    const host = store.client();
    for (let i = 0; i < 400; i++) {
      const choice = random.below(12);
      if (choice < 6)
        guest.write(message(random).subarray(0, random.below(3) === 0 ? random.below(40) : undefined));
      else if (choice === 6)
        guest.set(random.pick(WORDS), random.pick([random.next(), random.below(3000), 0, -1]));
      else if (choice === 7) memory.writeU8(gpa(RING + random.below(2048)), random.below(256));
      else if (choice === 8) guest.set('rsp_cons', guest.get('rsp_prod'));
      else if (choice === 9) guest.set('connection', xs.XENSTORE_RECONNECT);
      else if (choice === 10) host.write(`${HOME}/data/event`, i);
      else await new Promise((resolve) => setImmediate(resolve));
      ring.service();
    }
    guest.set('connection', xs.XENSTORE_RECONNECT);
    ring.service();
    const fresh = new GuestRing(memory, RING);
    fresh.write(
      encodeMessage({ type: xs.XS_GET_DOMAIN_PATH, reqId: 1, txId: 0, payload: Buffer.from('5\0') }),
    );
    ring.service();
    expect(fresh.read().map(({ payload }) => payload.toString())).toEqual([`${HOME}\0`]);
    expect(othersOf(store)).toEqual(others);
    checkBooks(store);
    ring.close();
    for (const [from, to] of [
      [0, RING],
      [RING + 4096, 0x10000],
    ] as const) {
      expect(memory.copyOut(gpa(from), to - from).every((byte) => byte === 0xee)).toBe(true);
    }
  });
});
