/** XenstoreRing against a ring in real guest memory, with a guest that keeps to the rules, or does not. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GuestMemory, gpa } from '../../../src/kvm/index.js';
import * as xs from '../../../src/xenner/abi/xs-wire.js';
import { type Json, Saved } from '../../../src/xenner/save/saved.js';
import { type Xenstore, XenstoreRing } from '../../../src/xenner/xenstore/index.js';
import { GUEST, storeWithGuests } from './clients.js';
import { GuestRing } from './guest-ring.js';
import { request, show } from './messages.js';

const RING = gpa(0x3000);
const HOME = `/local/domain/${GUEST}`;

let store: Xenstore;
let memory: GuestMemory;
let guest: GuestRing;
let raised: number;
let ring: XenstoreRing;

const options = () => ({ domid: GUEST, memory, ring: RING, raise: () => raised++ });

beforeEach(() => {
  ({ store } = storeWithGuests());
  memory = GuestMemory.create(0x10000);
  guest = new GuestRing(memory, RING);
  raised = 0;
  ring = new XenstoreRing(store, options());
});

afterEach(() => {
  ring.close();
  memory.close();
});

/** Whatever was put off is done. */
const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

function ask(type: number, text: string): string[] {
  guest.write(request(type, text));
  ring.service();
  return guest.read().map(show);
}

/** Sends and receives, notifying after every step, until everything was answered. */
async function exchange(bytes: Buffer, answers: number): Promise<string[]> {
  const heard: string[] = [];
  for (let at = 0, turns = 0; heard.length < answers; turns++) {
    expect(turns).toBeLessThan(10_000);
    at += guest.write(bytes.subarray(at));
    ring.service();
    await settled();
    heard.push(...guest.read().map(show));
  }
  return heard;
}

describe('a ring', () => {
  it('is made ready', () => {
    const words = ['req_cons', 'req_prod', 'rsp_cons', 'rsp_prod', 'server_features', 'connection', 'error'];
    expect(words.map((word) => guest.get(word))).toEqual([0, 0, 0, 0, 3, 0, 0]);
    expect(store.isIntroduced(GUEST)).toBe(true);
  });

  it('has what the guest asked for before', () => {
    ring.close();
    ({ store } = storeWithGuests());
    memory.fill(RING, 4096, 0);
    guest.write(request(xs.XS_DIRECTORY, `${HOME}|`));
    ring = new XenstoreRing(store, options());
    ring.service();
    expect(guest.read().map(show)).toEqual(['DIRECTORY data|']);
  });

  it('answers, and raises the port once', () => {
    expect(ask(xs.XS_DIRECTORY, `${HOME}|`)).toEqual(['DIRECTORY data|']);
    expect(raised).toBe(1);
    ring.service();
    expect(raised).toBe(1);
  });

  it('tells of events without being asked', () => {
    expect(ask(xs.XS_WATCH, 'data|t|')).toEqual(['WATCH OK|', 'WATCH_EVENT data|t|']);
    store.client().write(`${HOME}/data/x`, 1);
    expect(raised).toBe(2);
    expect(guest.read().map(show)).toEqual(['WATCH_EVENT data/x|t|']);
  });

  it('takes a message that comes byte by byte', () => {
    for (const byte of request(xs.XS_WRITE, 'data|value')) {
      expect(guest.read()).toEqual([]);
      guest.write(Uint8Array.of(byte));
      ring.service();
    }
    expect(guest.read().map(show)).toEqual(['WRITE OK|']);
  });

  it('goes around its end, with messages longer than the ring', async () => {
    guest.set('req_prod', 0xffffff00);
    guest.set('req_cons', 0xffffff00);
    guest.set('rsp_prod', 0xfffffff7);
    guest.set('rsp_cons', 0xfffffff7);
    const value = 'v'.repeat(2000);
    const bytes = Buffer.concat([
      request(xs.XS_WRITE, `data/x|${value}`),
      ...Array.from({ length: 40 }, () => request(xs.XS_READ, 'data/x|')),
    ]);
    expect(await exchange(bytes, 41)).toEqual(['WRITE OK|', ...Array(40).fill(`READ ${value}`)]);
    expect(guest.get('req_cons')).toBe((0xffffff00 + bytes.length) >>> 0);
  });

  it('waits for a guest that does not read, and goes on', async () => {
    const bytes = Buffer.concat(Array.from({ length: 200 }, () => request(xs.XS_GET_PERMS, 'data|')));
    for (let at = 0, i = 0; i < 20; i++) {
      at += guest.write(bytes.subarray(at));
      ring.service();
      await settled();
    }
    const used = (guest.get('rsp_prod') - guest.get('rsp_cons')) >>> 0;
    expect(used).toBe(1024);
    const taken = guest.get('req_cons');
    ring.service();
    await settled();
    expect(guest.get('req_cons')).toBe(taken);
    guest.read();
    ring.service();
    await settled();
    expect(guest.get('req_cons')).toBeGreaterThan(taken);
  });

  it('is not looked at again when it is closed', () => {
    ring.close();
    ring.close();
    expect(ask(xs.XS_READ, 'data|')).toEqual([]);
    expect(guest.get('req_cons')).toBe(0);
    expect([store.isIntroduced(GUEST), store.client().directory(HOME)]).toEqual([false, []]);
  });

  it('is one for a domain', () => {
    expect(() => new XenstoreRing(store, options())).toThrow('EEXIST');
    expect(ask(xs.XS_READ, 'data|')).toEqual(['READ ']);
  });
});

describe('broken by the guest', () => {
  it.each<[string, () => void, number]>([
    [
      'a request index that is ahead',
      () => guest.set('req_prod', guest.get('req_cons') + 1025),
      xs.XENSTORE_ERROR_RINGIDX,
    ],
    [
      'a request index that is behind',
      () => guest.set('req_prod', guest.get('req_cons') - 1),
      xs.XENSTORE_ERROR_RINGIDX,
    ],
    ['our request index', () => guest.set('req_cons', guest.get('req_prod') + 1), xs.XENSTORE_ERROR_RINGIDX],
    [
      'a response index that is ahead',
      () => guest.set('rsp_cons', guest.get('rsp_prod') + 1),
      xs.XENSTORE_ERROR_RINGIDX,
    ],
    ['our response index', () => guest.set('rsp_prod', 5000), xs.XENSTORE_ERROR_RINGIDX],
    [
      'a payload that is too long',
      () => guest.write(xs.xsd_sockmsg.create({ len: 4097 })),
      xs.XENSTORE_ERROR_PROTO,
    ],
  ])('%s: it is told, ignored, and may begin anew', (_, damage, error) => {
    ask(xs.XS_WATCH, 'data|t|');
    damage();
    ring.service();
    expect(guest.get('error')).toBe(error);
    const before = memory.copyOut(RING, 4096);
    guest.write(request(xs.XS_READ, 'data|'));
    store.client().write(`${HOME}/data`, 1);
    ring.service();
    expect(guest.get('error')).toBe(error);
    expect(memory.copyOut(gpa(RING + 1024), 1024)).toEqual(before.subarray(1024, 2048));

    guest.set('connection', xs.XENSTORE_RECONNECT);
    ring.service();
    expect([guest.get('connection'), guest.get('error'), guest.get('rsp_prod')]).toEqual([0, 0, 0]);
    expect(ask(xs.XS_READ, 'data|')).toEqual(['READ 1']);
    store.client().write(`${HOME}/data`, 2);
    expect(guest.read()).toEqual([]);
  });

  it('indices between its own request and an event', () => {
    ask(xs.XS_WATCH, 'data|t|');
    guest.set('rsp_cons', 12345);
    store.client().write(`${HOME}/data`, 1);
    expect(guest.get('error')).toBe(xs.XENSTORE_ERROR_RINGIDX);
  });

  it('and introduced again, it begins anew', () => {
    guest.set('req_prod', 5000);
    ring.service();
    store.domain(GUEST).reset();
    expect(ask(xs.XS_READ, 'data|')).toEqual(['READ ']);
  });
});

describe('a reconnection', () => {
  it('forgets what was half said, watches and transactions', () => {
    ask(xs.XS_WATCH, 'data|t|');
    ask(xs.XS_TRANSACTION_START, '|');
    guest.write(request(xs.XS_READ, 'data|').subarray(0, 10));
    ring.service();
    guest.set('connection', xs.XENSTORE_RECONNECT);
    ring.service();
    expect(guest.get('req_cons')).toBe(0);
    expect(ask(xs.XS_UNWATCH, 'data|t|')).toEqual(['ERROR ENOENT|']);
  });
});

describe('frozen', () => {
  it('leaves the page as it is until thaw', () => {
    ask(xs.XS_WATCH, 'data|t|');
    ring.freeze();
    const before = memory.copyOut(RING, 4096);
    store.client().write(`${HOME}/data`, 1);
    ring.service();
    expect(memory.copyOut(RING, 4096)).toEqual(before);
    guest.write(request(xs.XS_READ, 'data|'));
    ring.thaw();
    expect(guest.read().map(show)).toEqual(['WATCH_EVENT data|t|', 'READ 1']);
  });

  it('is saved, and another goes on where it was', async () => {
    ask(xs.XS_WATCH, 'data|t|');
    const bytes = request(xs.XS_WRITE, `data/long|${'x'.repeat(1500)}`);
    const half = guest.write(bytes);
    ring.service();
    for (let i = 0; i < 100; i++) store.client().write(`${HOME}/data/${i % 10}/${i}`, 1);
    ring.freeze();
    const state = JSON.parse(JSON.stringify(ring.save())) as Json;
    const page = memory.copyOut(RING, 4096);
    ring.close();
    memory.copyIn(RING, page);
    ({ store } = storeWithGuests());
    ring = new XenstoreRing(store, { ...options(), saved: new Saved(state, 'ring') });
    expect(memory.copyOut(RING, 4096)).toEqual(page);
    const heard = await exchange(bytes.subarray(half), 102);
    expect(heard.filter((each) => each.startsWith('WATCH_EVENT data/')).length).toBe(101);
    expect(heard).toContain('WRITE OK|');
    expect(store.client().read(`${HOME}/data/long`)?.length).toBe(1500);
  });

  it('stays broken', () => {
    guest.set('req_prod', 5000);
    ring.service();
    const state = JSON.parse(JSON.stringify(ring.save())) as Json;
    ring.close();
    ({ store } = storeWithGuests());
    ring = new XenstoreRing(store, { ...options(), saved: new Saved(state, 'ring') });
    guest.set('req_prod', guest.get('req_cons'));
    expect(ask(xs.XS_READ, 'data|')).toEqual([]);
  });

  it('is refused when it was damaged, and the domain is free again', () => {
    ring.close();
    const saved = new Saved({ broken: false, connection: 5 }, 'ring');
    expect(() => new XenstoreRing(store, { ...options(), saved })).toThrow(
      expect.objectContaining({ code: 'ESAVE_DAMAGED' }),
    );
    ring = new XenstoreRing(store, options());
  });
});

it('a guest that asks all the time does not keep the thread', async () => {
  const bytes = Buffer.concat(Array.from({ length: 64 }, () => request(xs.XS_RESET_WATCHES, '')));
  let passes = 0;
  let answered = 0;
  const raise = () => {
    // Every time that it is interrupted, the guest takes its answers and fills the ring again.
    answered += guest.read().length;
    if (passes++ < 1000) guest.write(bytes);
  };
  ring.close();
  ring = new XenstoreRing(store, { ...options(), raise });
  guest.write(bytes);
  ring.service();
  expect(passes).toBe(1);
  await settled();
  expect(passes).toBeGreaterThan(1);
  expect(passes).toBeLessThan(5);
  expect(answered).toBeGreaterThan(0);
});
