/**
 * Transactions: what one sees is a snapshot, what it did is seen all at once, and whatever was committed could as well have been done
 * one after the other. The last is checked at random against a store without transactions.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Client } from '../../../src/xenner/xenstore/client.js';
import { Xenstore } from '../../../src/xenner/xenstore/index.js';
import { fuzzSettings, Random } from '../../fuzz/random.js';
import { contents, GUEST, type Listener, listen, outcome, storeWithGuests } from './clients.js';

const bytes = (text: string) => Buffer.from(text, 'latin1');

describe('one transaction', () => {
  let host: Listener;
  let client: Client;
  let id: number;

  beforeEach(() => {
    host = storeWithGuests().host;
    client = host.client;
    client.write('/a/b', bytes('old'));
    id = client.startTransaction();
  });

  it('is not seen before its end', () => {
    client.write('/a/b', bytes('new'), id);
    client.write('/a/c', bytes('new'), id);
    expect([client.read('/a/b').toString(), client.directory('/a')]).toEqual(['old', ['b']]);
    expect([client.read('/a/b', id).toString(), client.directory('/a', id)]).toEqual(['new', ['b', 'c']]);
    client.endTransaction(id, true);
    expect([client.read('/a/b').toString(), client.directory('/a')]).toEqual(['new', ['b', 'c']]);
  });

  it('sees what was there when it began', () => {
    client.write('/a/b', bytes('new'));
    client.rm('/tool');
    expect(client.read('/a/b', id).toString()).toBe('old');
    expect(client.directory('/tool', id)).toEqual(['xenstored']);
  });

  it('leaves nothing behind when it is given up', () => {
    client.rm('/a', id);
    client.endTransaction(id, false);
    expect(client.read('/a/b').toString()).toBe('old');
    expect(outcome(() => client.endTransaction(id, false))).toBe('ENOENT');
  });

  it('is nobody else’s', () => {
    expect(outcome(() => storeWithGuests().guest.client.read('data', id))).toBe('ENOENT');
  });

  interface Conflict {
    name: string;
    inside: () => unknown;
    outside: () => unknown;
    expect: unknown;
  }

  const read = (path: string) => () => outcome(() => client.read(path, id));
  it.each<Conflict>([
    {
      name: 'a node that was read',
      inside: read('/a/b'),
      outside: () => client.write('/a/b', bytes('x')),
      expect: 'EAGAIN',
    },
    {
      name: 'a node that was read, to the same value',
      inside: read('/a/b'),
      outside: () => client.write('/a/b', bytes('old')),
      expect: 'EAGAIN',
    },
    {
      name: 'a node that was read, removed',
      inside: read('/a/b'),
      outside: () => client.rm('/a'),
      expect: 'EAGAIN',
    },
    {
      name: 'its permissions',
      inside: read('/a/b'),
      outside: () => client.setPermissions('/a/b', ['r0']),
      expect: 'EAGAIN',
    },
    {
      name: 'a node that was missing',
      inside: read('/a/c'),
      outside: () => client.mkdir('/a/c'),
      expect: 'EAGAIN',
    },
    {
      name: 'a list of children',
      inside: () => client.directory('/a', id),
      outside: () => client.mkdir('/a/c'),
      expect: 'EAGAIN',
    },
    {
      name: 'a tree that was removed',
      inside: () => client.rm('/a', id),
      outside: () => client.mkdir('/a/b/c/d'),
      expect: 'EAGAIN',
    },
    { name: 'a brother', inside: read('/a/b'), outside: () => client.write('/a/c', bytes('')), expect: 'OK' },
    {
      name: 'a value below a list of children',
      inside: () => client.directory('/a', id),
      outside: () => client.write('/a/b', bytes('x')),
      expect: 'OK',
    },
    {
      name: 'another transaction',
      inside: () => client.write('/a/b', bytes('mine'), id),
      outside: () => {
        const second = client.startTransaction();
        client.write('/tool', bytes('theirs'), second);
        client.endTransaction(second, true);
      },
      expect: 'OK',
    },
  ])('meets a change of $name: $expect', ({ inside, outside, expect: expected }) => {
    inside();
    client.write('/mark', bytes('1'), id);
    outside();
    expect(outcome(() => client.endTransaction(id, true))).toBe(expected);
    expect(outcome(() => client.read('/mark'))).toBe(expected === 'OK' ? '1' : 'ENOENT');
  });

  it('tells each change once, at its end', () => {
    host.watch('/a', 'w');
    host.watch('/a/b', 'below');
    client.write('/a/b', bytes('1'), id);
    client.write('/a/b', bytes('2'), id);
    client.rm('/a', id);
    client.write('/a', bytes('3'), id);
    expect(host.heard()).toEqual([]);
    client.endTransaction(id, true);
    expect(host.heard().sort()).toEqual(['/a w', '/a/b below', '/a/b w']);
  });

  it('tells nothing when it fails', () => {
    host.watch('/a', 'w');
    client.read('/tool', id);
    client.write('/a/b', bytes('1'), id);
    client.write('/tool', bytes('x'));
    expect(outcome(() => client.endTransaction(id, true))).toBe('EAGAIN');
    expect(host.heard()).toEqual([]);
  });
});

type Step = (client: Client, id: number) => unknown;

/** A request, and the same on a path of a small tree, so that many meet. */
function step(random: Random): Step {
  const path = Array.from({ length: 1 + random.below(3) }, () => `/${random.pick(['a', 'b', 'c'])}`).join('');
  const value = bytes(`${random.below(1000)}`);
  const mode = random.pick(['n', 'r', 'w', 'b']);
  return random.pick<Step>([
    (client, id) => client.read(path, id),
    (client, id) => client.directory(path, id).sort(),
    (client, id) => client.permissions(path, id),
    (client, id) => client.write(path, value, id),
    (client, id) => client.mkdir(path, id),
    (client, id) => client.rm(path, id),
    (client, id) => client.setPermissions(path, [`${mode}0`], id),
  ]);
}

interface Open {
  readonly client: Client;
  readonly id: number;
  readonly steps: { act: Step; gave: unknown }[];
}

describe('many at random', () => {
  const { cases, seed } = fuzzSettings(60);

  it.each(Array.from({ length: cases }, (_, i) => seed + i))(
    'could have been one after the other (seed %i)',
    (each) => {
      const random = new Random(each);
      const store = new Xenstore();
      const clients = [listen(store, 0).client, listen(store, 0).client];
      const model = new Xenstore();
      const plain = listen(model, 0).client;
      let open: Open[] = [];
      const ends = { committed: 0, again: 0 };

      const end = (transaction: Open) => {
        open = open.filter((other) => other !== transaction);
        const result = outcome(() => transaction.client.endTransaction(transaction.id, true));
        expect(['OK', 'EAGAIN']).toContain(result);
        if (result === 'EAGAIN') {
          ends.again++;
          return;
        }
        ends.committed++;
        for (const { act, gave } of transaction.steps) expect(outcome(() => act(plain, 0))).toEqual(gave);
      };

      for (let i = 0; i < 400; i++) {
        const client = random.pick(clients);
        const act = step(random);
        const choice = random.below(10);
        if (choice === 0 && open.length < 6) open.push({ client, id: client.startTransaction(), steps: [] });
        else if (choice === 1 && open.length > 0) end(random.pick(open));
        else if (choice < 8 && open.length > 0) {
          const { client: owner, id, steps } = random.pick(open);
          steps.push({ act, gave: outcome(() => act(owner, id)) });
        } else expect(outcome(() => act(client, 0))).toEqual(outcome(() => act(plain, 0)));
      }
      expect(contents(store).sort()).toEqual(contents(model).sort());
      expect(ends.committed).toBeGreaterThan(0);
      expect(ends.again).toBeGreaterThan(0);
    },
  );
});

describe('what a domain owns', () => {
  it('is counted as it is, however it came about', () => {
    const { store, guest, host } = storeWithGuests();
    const random = new Random(7);
    for (let i = 0; i < 300; i++) {
      const client = random.pick([guest, host]).client;
      const path = `/local/domain/${GUEST}/data/${random.pick(['a', 'b', 'c', 'a/b', 'b/c/d'])}`;
      const id = random.below(3) === 0 ? client.startTransaction() : 0;
      outcome(() => client.write(path, bytes('x'.repeat(random.below(100))), id));
      if (random.below(3) === 0) outcome(() => client.rm(path, id));
      if (random.below(4) === 0)
        outcome(() => host.client.setPermissions(path, [`n${random.pick([0, GUEST])}`]));
      if (id !== 0) outcome(() => client.endTransaction(id, true));
    }
    const owned = [...store.tree.walk()].filter(([, { permissions }]) => permissions[0].domid === GUEST);
    const size = owned.reduce(
      (sum, [, { value, permissions, children }]) =>
        sum +
        16 +
        8 * permissions.length +
        value.length +
        [...children.keys()].join('').length +
        children.size,
      0,
    );
    expect(store.tree.usage(GUEST)).toEqual({ nodes: owned.length, bytes: size });
    expect(owned.length).toBeGreaterThan(0);
  });
});
