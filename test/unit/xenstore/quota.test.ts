/** What a guest may have is bounded: each limit is reached, and one more is refused without a trace. */
import { beforeEach, describe, expect, it } from 'vitest';
import * as limits from '../../../src/base/limits.js';
import { Client } from '../../../src/xenner/xenstore/client.js';
import type { Xenstore } from '../../../src/xenner/xenstore/index.js';
import { contents, GUEST, type Listener, listen, outcome, storeWithGuests } from './clients.js';

const bytes = (length: number) => Buffer.alloc(length, 'x');

let store: Xenstore;
let host: Listener;
let guest: Listener;

beforeEach(() => {
  ({ store, host, guest } = storeWithGuests());
});

/** Makes nodes in several directories, since a directory's size is bounded as well. */
function make(count: number, id = 0): void {
  for (let i = 0; i < count; i++) guest.client.write(`data/${i % 20}/${i}`, bytes(1), id);
}

function owned(): number {
  return store.tree.usage(GUEST).nodes;
}

describe('nodes', () => {
  it('of a guest', () => {
    expect(outcome(() => make(2000))).toBe('ENOSPC');
    expect(owned()).toBe(limits.MAX_XENSTORE_NODES);
    expect(outcome(() => guest.client.write('data/0/0', bytes(2)))).toBe('OK');
    guest.client.rm('data/0');
    expect(outcome(() => guest.client.write('data/0/0', bytes(2)))).toBe('OK');
  });

  it('of a guest, made by one path with many parents', () => {
    const path = `data${'/a'.repeat(limits.MAX_XENSTORE_NODES)}`;
    const before = contents(store);
    expect(outcome(() => guest.client.mkdir(path))).toBe('ENOSPC');
    expect(contents(store)).toEqual(before);
    expect(outcome(() => guest.client.mkdir(path.slice(0, -2)))).toBe('OK');
  });

  it('of several transactions together', () => {
    const ids = [0, 1].map(() => guest.client.startTransaction());
    ids.forEach((id, n) => {
      guest.client.mkdir(`data/${n}`);
      for (let i = 0; i < 600; i++) {
        outcome(() => guest.client.mkdir(`data/${n}${i % 20}/${i}`, id));
      }
    });
    expect(ids.map((id) => outcome(() => guest.client.endTransaction(id, true)))).toContain('EAGAIN');
    expect(owned()).toBeLessThanOrEqual(limits.MAX_XENSTORE_NODES);
  });

  it('that two transactions make in places that do not meet', () => {
    for (const name of ['a', 'b']) for (let i = 0; i < 20; i++) guest.client.mkdir(`data/${name}${i}`);
    const ids = ['a', 'b'].map((name) => {
      const id = guest.client.startTransaction();
      for (let i = 0; i < 500; i++) guest.client.mkdir(`data/${name}${i % 20}/${i}`, id);
      return id;
    });
    expect(ids.map((id) => outcome(() => guest.client.endTransaction(id, true)))).toEqual(['OK', 'ENOSPC']);
    expect(owned()).toBeLessThanOrEqual(limits.MAX_XENSTORE_NODES);
  });

  it('of the host are more', () => {
    for (let i = 0; i < 2 * limits.MAX_XENSTORE_NODES; i++) host.client.mkdir(`/x/${i}`);
    expect(host.client.directory('/x').length).toBe(2 * limits.MAX_XENSTORE_NODES);
  });
});

describe('the size of a node', () => {
  const room = limits.MAX_XENSTORE_NODE_BYTES - 16 - 8;

  it('by its value', () => {
    expect(outcome(() => guest.client.write('data/x', bytes(room)))).toBe('OK');
    expect(outcome(() => guest.client.write('data/x', bytes(room + 1)))).toBe('ENOSPC');
    expect(outcome(() => guest.client.write('data/y', bytes(room + 1)))).toBe('ENOSPC');
    expect(guest.client.directory('data')).toEqual(['x']);
  });

  it('by its permissions', () => {
    guest.client.write('data/x', bytes(room));
    expect(outcome(() => guest.client.setPermissions('data/x', ['n5', 'r6']))).toBe('ENOSPC');
  });

  it('by its children’s names', () => {
    const name = 'n'.repeat(100);
    const results = Array.from({ length: 30 }, (_, i) =>
      outcome(() => guest.client.mkdir(`data/${name}${i}`)),
    );
    expect(results.indexOf('ENOSPC')).toBe(Math.floor((room + 10) / 103));
    expect(results.slice(results.indexOf('ENOSPC'))).not.toContain('OK');
  });

  it('is not the host’s', () => {
    expect(outcome(() => host.client.write('/x', bytes(4096)))).toBe('OK');
    expect(outcome(() => host.client.write('/x', bytes(4097)))).toBe('E2BIG');
  });
});

it('permissions of a node', () => {
  const list = ['n5', 'r1', 'r2', 'r3', 'r4'];
  expect(outcome(() => guest.client.setPermissions('data', list))).toBe('OK');
  expect(outcome(() => guest.client.setPermissions('data', [...list, 'r6']))).toBe('ENOSPC');
});

it('watches', () => {
  for (let i = 0; i < limits.MAX_XENSTORE_WATCHES; i++) guest.client.watch('data', `${i}`);
  expect(outcome(() => guest.client.watch('data', 'one more'))).toBe('E2BIG');
  guest.client.unwatch('data', '0');
  expect(outcome(() => guest.client.watch('data', 'another'))).toBe('OK');
});

it('transactions, and nodes of one', () => {
  const ids = Array.from({ length: limits.MAX_XENSTORE_TRANSACTIONS }, () => guest.client.startTransaction());
  expect(new Set(ids).size).toBe(limits.MAX_XENSTORE_TRANSACTIONS);
  expect(outcome(() => guest.client.startTransaction())).toBe('ENOSPC');
  const id = ids[0]!;
  for (let i = 0; i < limits.MAX_XENSTORE_TRANSACTION_NODES; i++) {
    expect(outcome(() => guest.client.read(`data/${i}`, id))).toBe('ENOENT');
  }
  expect(outcome(() => guest.client.read('data/other', id))).toBe('ENOSPC');
  expect(outcome(() => guest.client.endTransaction(id, true))).toBe('ENOMEM');
  expect(guest.client.startTransaction()).not.toBe(0);
});

it('bytes, of watches, transactions and what waits to be read', () => {
  const { client } = listen(store, GUEST);
  expect(client.bytes).toBe(store.tree.usage(GUEST).bytes);
  const before = client.bytes;
  client.watch('data', 'token');
  expect(client.bytes - before).toBe('/local/domain/5/data'.length + 'token'.length);
  const ids = Array.from({ length: limits.MAX_XENSTORE_TRANSACTIONS }, () => client.startTransaction());
  const results = ids.flatMap((id) =>
    Array.from({ length: 300 }, (_, i) =>
      outcome(() => client.write(`data/${i % 20}/${i}`, bytes(1900), id)),
    ),
  );
  expect(results[0]).toBe('OK');
  expect(results.at(-1)).toBe('ENOMEM');
  expect(client.bytes).toBeLessThanOrEqual(limits.MAX_XENSTORE_BYTES);
  expect(client.bytes).toBeGreaterThan(limits.MAX_XENSTORE_BYTES - 4096);
  expect(outcome(() => client.write('data/z', bytes(1900)))).toBe('ENOMEM');
  expect(outcome(() => client.watch('data', 't'.repeat(2000)))).toBe('ENOMEM');
  for (const id of ids) client.endTransaction(id, false);
  expect(outcome(() => client.write('data/z', bytes(1900)))).toBe('OK');

  const slow = new Client(store, GUEST, { event: () => undefined, queuedBytes: limits.MAX_XENSTORE_BYTES });
  expect(outcome(() => slow.write('data/y', bytes(1)))).toBe('ENOMEM');
});
