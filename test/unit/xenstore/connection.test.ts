/** Requests and answers as payloads (docs/misc/xenstore.txt), the order of answers and events, and what waits to be taken. */
import { Writable } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import * as limits from '../../../src/base/limits.js';
import { createLogger } from '../../../src/base/log.js';
import * as xs from '../../../src/xenner/abi/xs-wire.js';
import { type Json, Saved } from '../../../src/xenner/save/saved.js';
import { Connection } from '../../../src/xenner/xenstore/connection.js';
import type { Xenstore } from '../../../src/xenner/xenstore/index.js';
import { GUEST, storeWithGuests } from './clients.js';
import { messages, request, show } from './messages.js';

let store: Xenstore;
let overflows: number;

function connect(domid: number): Connection {
  return new Connection(store, domid, { ready: () => undefined, overflow: () => overflows++ });
}

function feed(connection: Connection, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    const piece = bytes.subarray(at, at + connection.wanted);
    at += piece.length;
    connection.feed(piece);
  }
}

function heard(connection: Connection): string[] {
  return messages(connection.take(Number.MAX_SAFE_INTEGER)).map(show);
}

function ask(connection: Connection, type: number, text: string, txId = 0): string[] {
  feed(connection, request(type, text, { txId }));
  return heard(connection);
}

beforeEach(() => {
  ({ store } = storeWithGuests());
  overflows = 0;
  const guest = connect(GUEST);
  store.introduce({ client: guest.client, reset: () => guest.reset(), close: () => guest.close() });
});

const HOME = `/local/domain/${GUEST}`;

describe.each([
  ['host', 0],
  ['guest', GUEST],
])('a %s', (who, domid) => {
  const host = who === 'host';
  it.each<[string, number, string, string]>([
    ['READ', xs.XS_READ, `${HOME}/data|`, 'READ '],
    ['READ of nothing', xs.XS_READ, `${HOME}/x|`, 'ERROR ENOENT|'],
    ['READ without NUL', xs.XS_READ, HOME, 'ERROR EINVAL|'],
    ['READ with more than a path', xs.XS_READ, `${HOME}|x|`, 'ERROR EINVAL|'],
    ['READ of an empty payload', xs.XS_READ, '', 'ERROR EINVAL|'],
    ['DIRECTORY', xs.XS_DIRECTORY, `${HOME}|`, 'DIRECTORY data|'],
    ['DIRECTORY without children', xs.XS_DIRECTORY, `${HOME}/data|`, 'DIRECTORY '],
    ['GET_PERMS', xs.XS_GET_PERMS, `${HOME}|`, 'GET_PERMS n0|r5|'],
    ['SET_PERMS', xs.XS_SET_PERMS, `${HOME}/data|b5|r6|`, 'SET_PERMS OK|'],
    ['SET_PERMS without any', xs.XS_SET_PERMS, `${HOME}/data|`, 'ERROR EINVAL|'],
    ['WRITE', xs.XS_WRITE, `${HOME}/data/x|1|2`, 'WRITE OK|'],
    ['WRITE of nothing', xs.XS_WRITE, `${HOME}/data/x|`, 'WRITE OK|'],
    ['WRITE without a path', xs.XS_WRITE, 'x', 'ERROR EINVAL|'],
    ['MKDIR', xs.XS_MKDIR, `${HOME}/data/x|`, 'MKDIR OK|'],
    ['RM', xs.XS_RM, `${HOME}/data|`, 'RM OK|'],
    ['UNWATCH of none', xs.XS_UNWATCH, `${HOME}|t|`, 'ERROR ENOENT|'],
    ['WATCH with less', xs.XS_WATCH, `${HOME}|`, 'ERROR EINVAL|'],
    ['WATCH with more', xs.XS_WATCH, `${HOME}|t|x|`, 'ERROR EINVAL|'],
    ['RESET_WATCHES', xs.XS_RESET_WATCHES, '|', 'RESET_WATCHES OK|'],
    ['TRANSACTION_START', xs.XS_TRANSACTION_START, '|', 'TRANSACTION_START 1|'],
    ['TRANSACTION_END of none', xs.XS_TRANSACTION_END, 'T|', 'ERROR ENOENT|'],
    ['TRANSACTION_END with neither', xs.XS_TRANSACTION_END, 'X|', 'ERROR EINVAL|'],
    ['GET_DOMAIN_PATH', xs.XS_GET_DOMAIN_PATH, '007|', 'GET_DOMAIN_PATH /local/domain/7|'],
    ['GET_DOMAIN_PATH of none', xs.XS_GET_DOMAIN_PATH, 'x|', 'ERROR EINVAL|'],
    ['GET_DOMAIN_PATH too big', xs.XS_GET_DOMAIN_PATH, '65536|', 'ERROR EINVAL|'],
    [
      'IS_DOMAIN_INTRODUCED',
      xs.XS_IS_DOMAIN_INTRODUCED,
      '5|',
      host ? 'IS_DOMAIN_INTRODUCED T|' : 'ERROR EACCES|',
    ],
    [
      'IS_DOMAIN_INTRODUCED of DOMID_SELF',
      xs.XS_IS_DOMAIN_INTRODUCED,
      '32752|',
      host ? 'IS_DOMAIN_INTRODUCED T|' : 'ERROR EACCES|',
    ],
    [
      'IS_DOMAIN_INTRODUCED of another',
      xs.XS_IS_DOMAIN_INTRODUCED,
      '6|',
      host ? 'IS_DOMAIN_INTRODUCED F|' : 'ERROR EACCES|',
    ],
    ['INTRODUCE', xs.XS_INTRODUCE, '5|1234|7|', host ? 'INTRODUCE OK|' : 'ERROR EACCES|'],
    [
      'INTRODUCE of one that is not there',
      xs.XS_INTRODUCE,
      '6|1234|7|',
      host ? 'ERROR ENOENT|' : 'ERROR EACCES|',
    ],
    ['INTRODUCE without a port', xs.XS_INTRODUCE, '5|1234|0|', host ? 'ERROR EINVAL|' : 'ERROR EACCES|'],
    ['INTRODUCE with less', xs.XS_INTRODUCE, '5|1234|', host ? 'ERROR EINVAL|' : 'ERROR EACCES|'],
    ['RELEASE of domain 0', xs.XS_RELEASE, '0|', host ? 'ERROR EINVAL|' : 'ERROR EACCES|'],
    ['RELEASE of none', xs.XS_RELEASE, '6|', host ? 'ERROR ENOENT|' : 'ERROR EACCES|'],
    ['RESUME', xs.XS_RESUME, '5|', host ? 'RESUME OK|' : 'ERROR EACCES|'],
    ['SET_TARGET', xs.XS_SET_TARGET, '5|0|', host ? 'SET_TARGET OK|' : 'ERROR EACCES|'],
    ['SET_TARGET to none', xs.XS_SET_TARGET, '5|6|', host ? 'ERROR ENOENT|' : 'ERROR EACCES|'],
    ['CONTROL', xs.XS_CONTROL, 'help|', host ? 'CONTROL Supported commands:\nhelp\nquota|' : 'ERROR EACCES|'],
    ['CONTROL of none', xs.XS_CONTROL, 'live-update|', host ? 'ERROR EINVAL|' : 'ERROR EACCES|'],
    ['WATCH_EVENT', xs.XS_WATCH_EVENT, `${HOME}|t|`, 'ERROR ENOSYS|'],
    ['ERROR', xs.XS_ERROR, 'EINVAL|', 'ERROR ENOSYS|'],
    ['RESTRICT, which Xen has no more', 20, '5|', 'ERROR ENOSYS|'],
    ['XS_INVALID', 0xffff, '', 'ERROR ENOSYS|'],
  ])('%s', (_, type, text, expected) => {
    expect(ask(connect(domid), type, text)).toEqual([expected]);
  });
});

describe('a request', () => {
  it('is answered with its numbers, also by an error', () => {
    const host = connect(0);
    feed(host, request(xs.XS_READ, '/tool|', { reqId: 0xdeadbeef }));
    feed(host, request(xs.XS_READ, '/tool|', { reqId: 7, txId: 9 }));
    const answers = messages(host.take(1000)).map(({ type, reqId, txId }) => [type, reqId, txId]);
    expect(answers).toEqual([
      [xs.XS_READ, 0xdeadbeef, 0],
      [xs.XS_ERROR, 7, 9],
    ]);
  });

  it('is told apart by its transaction only where that counts', () => {
    const host = connect(0);
    expect(ask(host, xs.XS_WATCH, '/a|t|', 99)).toEqual(['WATCH OK|', 'WATCH_EVENT /a|t|']);
    expect(ask(host, xs.XS_UNWATCH, '/a|t|', 99)).toEqual(['UNWATCH OK|']);
    expect(ask(host, xs.XS_GET_DOMAIN_PATH, '1|', 99)).toEqual(['ERROR ENOENT|']);
    ask(host, xs.XS_TRANSACTION_START, '|');
    expect(ask(host, xs.XS_TRANSACTION_START, '|', 1)).toEqual(['ERROR EBUSY|']);
    expect(ask(host, xs.XS_WRITE, '/a|1', 1)).toEqual(['WRITE OK|']);
    expect(ask(host, xs.XS_READ, '/a|')).toEqual(['ERROR ENOENT|']);
    expect(ask(host, xs.XS_TRANSACTION_END, 'T|', 1)).toEqual(['TRANSACTION_END OK|']);
    expect(ask(host, xs.XS_READ, '/a|')).toEqual(['READ 1']);
  });

  it('is answered before its events', () => {
    const guest = connect(GUEST);
    expect(ask(guest, xs.XS_WATCH, 'data|t|')).toEqual(['WATCH OK|', 'WATCH_EVENT data|t|']);
    expect(ask(guest, xs.XS_WRITE, 'data/x|1')).toEqual(['WRITE OK|', 'WATCH_EVENT data/x|t|']);
  });

  it('to release a domain ends it', () => {
    expect(ask(connect(0), xs.XS_RELEASE, `${GUEST}|`)).toEqual(['RELEASE OK|']);
    expect(store.isIntroduced(GUEST)).toBe(false);
  });

  it('for a domain’s figures gives them', () => {
    const [quota] = ask(connect(0), xs.XS_CONTROL, `quota|${GUEST}|`);
    expect(quota).toBe('CONTROL Domain 5:\nnodes            :        1\nbytes            :       24\n|');
    expect(ask(connect(0), xs.XS_CONTROL, 'quota|x|')).toEqual(['ERROR ENOENT|']);
    expect(ask(connect(0), xs.XS_CONTROL, 'quota|')[0]).toContain('watches          :      128\n');
  });
});

describe('a long directory', () => {
  const names = Array.from({ length: 500 }, (_, i) => `${'n'.repeat(i % 40)}${i}`);
  let host: Connection;

  beforeEach(() => {
    host = connect(0);
    for (const name of names) host.client.mkdir(`/long/${name}`);
  });

  it('does not fit into an answer, but in parts', () => {
    expect(ask(host, xs.XS_DIRECTORY, '/long|')).toEqual(['ERROR E2BIG|']);
    let list = '';
    const generations = new Set<string>();
    let parts = 0;
    do {
      feed(host, request(xs.XS_DIRECTORY_PART, `/long|${list.length}|`));
      const [message] = messages(host.take(1e6));
      expect(message!.payload.length).toBeLessThanOrEqual(4096);
      const text = message!.payload.toString('latin1');
      generations.add(text.slice(0, text.indexOf('\0')));
      list += text.slice(text.indexOf('\0') + 1);
      parts++;
    } while (!list.endsWith('\0\0'));
    expect(list.slice(0, -2).split('\0')).toEqual(names);
    expect([parts, generations.size]).toEqual([3, 1]);
  });

  it('has another generation when it changed', () => {
    const generation = () => ask(host, xs.XS_DIRECTORY_PART, '/long|0|')[0]!.split('|')[0];
    const before = generation();
    host.client.mkdir('/long/more');
    expect(generation()).not.toBe(before);
  });

  it.each<[string, string]>([
    ['/long|100000|', 'DIRECTORY_PART \\d+\\|\\|'],
    ['/long|-1|', 'ERROR EINVAL\\|'],
    ['/long|x|', 'ERROR EINVAL\\|'],
    ['/long|', 'ERROR EINVAL\\|'],
    ['/none|0|', 'ERROR ENOENT\\|'],
    ['/tool/xenstored|0|', 'DIRECTORY_PART \\d+\\|\\|'],
  ])('%s: %s', (text, expected) => {
    expect(ask(host, xs.XS_DIRECTORY_PART, text)[0]).toMatch(new RegExp(`^${expected}$`));
  });
});

describe('what waits', () => {
  it('is taken in pieces of any size', () => {
    const [guest, other] = [connect(GUEST), connect(GUEST)];
    for (const each of [guest, other]) {
      for (let i = 0; i < 5; i++) feed(each, request(xs.XS_READ, 'data|'));
    }
    const pieces: Buffer[] = [];
    for (let piece = guest.take(7); piece.length > 0; piece = guest.take(7)) pieces.push(piece);
    expect(Buffer.concat(pieces)).toEqual(other.take(1e6));
    expect(guest.queuedBytes).toBe(0);
  });

  it('is so many answers, and then no more is asked', () => {
    const guest = connect(GUEST);
    let asked = 0;
    for (; guest.listening; asked++) feed(guest, request(xs.XS_READ, 'data|'));
    expect(asked).toBe(limits.MAX_XENSTORE_OUTSTANDING);
    guest.take(15);
    expect(guest.listening).toBe(false);
    guest.take(1);
    expect(guest.listening).toBe(true);
  });

  it('is each event once, but special ones always', () => {
    const host = connect(0);
    for (const path of ['/a', '@introduceDomain']) ask(host, xs.XS_WATCH, `${path}|t|`);
    const writer = connect(0);
    for (let i = 0; i < 3; i++) writer.client.write('/a', Buffer.from(`${i}`));
    for (let i = 6; i < 8; i++) {
      const { client } = connect(i);
      store.introduce({ client, reset: () => undefined, close: () => undefined });
    }
    writer.client.write('/a', Buffer.from('again'));
    const special = 'WATCH_EVENT @introduceDomain|t|';
    expect(heard(host)).toEqual(['WATCH_EVENT /a|t|', special, special]);
    writer.client.write('/a', Buffer.from('after that'));
    expect(heard(host)).toEqual(['WATCH_EVENT /a|t|']);
  });

  it('is bounded, and what is left out is known', () => {
    const guest = connect(GUEST);
    const token = 't'.repeat(4000);
    const home = connect(0);
    home.client.setPermissions(`${HOME}/data`, ['n0', 'r5']);
    ask(guest, xs.XS_WATCH, `data|${token}|`);
    for (let i = 0; i < 2000; i++) home.client.write(`${HOME}/data/${i % 30}/${i}`, Buffer.alloc(0));
    expect(overflows).toBeGreaterThan(0);
    expect(guest.queuedBytes).toBeGreaterThan(2 ** 20);
    expect(guest.client.bytes).toBeLessThanOrEqual(limits.MAX_XENSTORE_BYTES);
    expect(guest.listening).toBe(true);
    const events = heard(guest).length;
    expect(events + overflows).toBe(2000);
  });

  it('leaves out an event that is too long for a message', () => {
    const guest = connect(GUEST);
    ask(guest, xs.XS_WATCH, `data|${'t'.repeat(4086)}|`);
    connect(0).client.write(`${HOME}/data/long`, Buffer.alloc(0));
    expect(heard(guest)).toEqual([]);
  });
});

describe('saved and restored', () => {
  function again(connection: Connection): Connection {
    const saved = new Saved(JSON.parse(JSON.stringify(connection.save())) as Json, 'connection');
    const restored = connect(GUEST);
    restored.restore(saved);
    return restored;
  }

  it('goes on in the middle of a message and of an answer', () => {
    const guest = connect(GUEST);
    feed(guest, request(xs.XS_READ, 'data|'));
    expect(guest.take(5).length).toBe(5);
    const next = request(xs.XS_WRITE, 'data/x|long value');
    feed(guest, next.subarray(0, 20));
    const restored = again(guest);
    expect(restored.take(1000)).toEqual(guest.take(1000));
    feed(restored, next.subarray(20));
    expect(heard(restored)).toEqual(['WRITE OK|']);
    expect(store.client().read(`${HOME}/data/x`)).toBe('long value');
  });

  it('keeps watches, without telling of them again', () => {
    const guest = connect(GUEST);
    ask(guest, xs.XS_WATCH, `data|relative|`);
    ask(guest, xs.XS_WATCH, `${HOME}/data|\xe4|`);
    const restored = again(guest);
    expect(heard(restored)).toEqual([]);
    store.client().write(`${HOME}/data/x`, 1);
    expect(heard(restored)).toEqual(['WATCH_EVENT data/x|relative|', `WATCH_EVENT ${HOME}/data/x|\xe4|`]);
  });

  it('has transactions begin anew at their end, whatever is done in them', () => {
    const guest = connect(GUEST);
    expect(ask(guest, xs.XS_TRANSACTION_START, '|')).toEqual(['TRANSACTION_START 1|']);
    ask(guest, xs.XS_WRITE, 'data/x|1', 1);
    const restored = again(guest);
    expect(ask(restored, xs.XS_WRITE, 'data/x|2', 1)).toEqual(['WRITE OK|']);
    expect(ask(restored, xs.XS_TRANSACTION_END, 'T|', 1)).toEqual(['ERROR EAGAIN|']);
    expect(ask(restored, xs.XS_TRANSACTION_START, '|')).toEqual(['TRANSACTION_START 2|']);
    expect(store.client().exists(`${HOME}/data/x`)).toBe(false);
  });

  it.each<[string, (saved: Record<string, unknown>) => void]>([
    ['a watch of no path', (saved) => Object.assign(saved, { watches: [['//', 't']] })],
    [
      'a watch twice',
      (saved) =>
        Object.assign(saved, {
          watches: [
            ['data', 't'],
            ['data', 't'],
          ],
        }),
    ],
    ['too many watches', (saved) => Object.assign(saved, { watches: Array(129).fill(['data', 't']) })],
    ['too many transactions', (saved) => Object.assign(saved, { transactions: [...Array(11).keys()] })],
    ['transaction 0', (saved) => Object.assign(saved, { transactions: [0] })],
    [
      'a whole message',
      (saved) => Object.assign(saved, { input: request(xs.XS_READ, 'x|').toString('base64') }),
    ],
    [
      'a message that is too long',
      (saved) => Object.assign(saved, { input: Buffer.alloc(16, 0xff).toString('base64') }),
    ],
    ['no output', (saved) => Object.assign(saved, { output: 5 })],
  ])('refuses %s', (_, damage) => {
    const saved = JSON.parse(JSON.stringify(connect(GUEST).save())) as Record<string, unknown>;
    damage(saved);
    expect(() => connect(GUEST).restore(new Saved(saved as Json, 'connection'))).toThrow(
      expect.objectContaining({ code: 'ESAVE_DAMAGED' }),
    );
  });
});

it('traces requests, their answers, what they change and events, and nothing unasked', () => {
  const lines: Record<string, unknown>[] = [];
  const destination = new Writable({
    write: (chunk, _encoding, done) => {
      const { msg, time: _, level: __, topic, ...fields } = JSON.parse(`${chunk}`) as Record<string, unknown>;
      lines.push({ [`${topic} ${msg}`]: fields });
      done();
    },
  });
  store.log = createLogger(['exit'], destination);
  const guest = connect(GUEST);
  ask(guest, xs.XS_WRITE, 'data/quiet\0x');
  store.log = createLogger(['xenstore'], destination);
  ask(guest, xs.XS_WATCH, 'data\0token\0');
  ask(guest, xs.XS_WRITE, `data/a\0${'x'.repeat(1000)}`);
  ask(guest, xs.XS_READ, '/nobody/s\0', 7);
  const domid = GUEST;
  const home = `/local/domain/${GUEST}`;
  expect(lines).toEqual([
    { 'xenstore XS_WATCH': { domid, txId: 0, asked: 'data token', answer: 'OK' } },
    { 'xenstore event': { domid, path: 'data', token: 'token' } },
    { 'xenstore changed': { path: `${home}/data/a` } },
    { 'xenstore XS_WRITE': { domid, txId: 0, asked: `data/a ${'x'.repeat(249)}`, answer: 'OK' } },
    { 'xenstore event': { domid, path: 'data/a', token: 'token' } },
    { 'xenstore XS_READ': { domid, txId: 7, asked: '/nobody/s', error: 'ENOENT' } },
  ]);
});
