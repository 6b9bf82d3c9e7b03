/** Who hears of which change, and as what. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Xenstore } from '../../../src/xenner/xenstore/index.js';
import { GUEST, type Listener, outcome, storeWithGuests } from './clients.js';

const HOME = `/local/domain/${GUEST}`;
const bytes = (text: string) => Buffer.from(text, 'latin1');

let store: Xenstore;
let host: Listener;
let guest: Listener;

beforeEach(() => {
  ({ store, host, guest } = storeWithGuests());
  host.client.write('/a/b/c', bytes('1'));
});

describe('a watch of the host at /a/b', () => {
  beforeEach(() => host.watch('/a/b', 'w'));

  it.each<[string, (client: Listener['client']) => void, string[]]>([
    ['hears of its node', (c) => c.write('/a/b', bytes('')), ['/a/b w']],
    ['hears of a node below', (c) => c.write('/a/b/c', bytes('')), ['/a/b/c w']],
    [
      'hears of one that is made, not of the parents that come with it',
      (c) => c.mkdir('/a/b/x/y'),
      ['/a/b/x/y w'],
    ],
    ['hears of permissions', (c) => c.setPermissions('/a/b', ['r0']), ['/a/b w']],
    ['hears of a node below that goes', (c) => c.rm('/a/b/c'), ['/a/b/c w']],
    ['hears of itself when all above goes', (c) => c.rm('/a'), ['/a/b w']],
    ['hears of itself once when it goes', (c) => c.rm('/a/b'), ['/a/b w']],
    ['hears nothing of mkdir of what is there', (c) => c.mkdir('/a/b'), []],
    ['hears nothing of rm of what is not there', (c) => c.rm('/a/b/x'), []],
    ['hears nothing of a request that fails', (c) => outcome(() => c.rm('/a/x/y')), []],
    ['hears nothing of what is above', (c) => c.write('/a', bytes('')), []],
    ['hears nothing of a longer name', (c) => c.write('/a/bc', bytes('')), []],
    [
      'hears nothing when it is gone',
      (c) => {
        c.unwatch('/a/b', 'w');
        c.write('/a/b', bytes(''));
      },
      [],
    ],
  ])('%s', (_, act, heard) => {
    act(host.client);
    expect(host.heard()).toEqual(heard);
  });

  it('hears nothing of a path that was not there when all above goes', () => {
    host.watch('/a/none', 'n');
    host.client.rm('/a');
    expect(host.heard()).toEqual(['/a/b w']);
  });
});

it('the root hears of everything but special events', () => {
  host.watch('/', 'w');
  host.client.write('/a', bytes(''));
  host.client.setPermissions('@releaseDomain', ['r0']);
  expect(host.heard()).toEqual(['/a w']);
});

it('a relative watch has relative events, also when all above goes', () => {
  guest.watch('data', 'w');
  guest.client.write('data/x', bytes(''));
  guest.client.write(`${HOME}/data/y`, bytes(''));
  host.client.rm(HOME);
  expect(guest.heard()).toEqual(['data/x w', 'data/y w', 'data w']);
});

it('an event is for those who may read the node or its parent, now or before', () => {
  guest.watch('/', 'all');
  host.client.write('/a/b', bytes(''));
  host.client.write(`${HOME}/hidden`, bytes(''));
  host.client.setPermissions(`${HOME}/hidden`, ['n0']);
  host.client.write(`${HOME}/hidden/deep`, bytes(''));
  host.client.setPermissions('/a/b', ['n0', `r${GUEST}`]);
  host.client.setPermissions('/a/b', ['n0']);
  host.client.write('/a/b', bytes(''));
  expect(guest.heard()).toEqual([`${HOME}/hidden all`, `${HOME}/hidden all`, '/a/b all', '/a/b all']);
});

it('the same path and token only once, the same path with others', () => {
  const { client } = guest;
  client.watch('data', 'w');
  expect(guest.heard()).toEqual(['data w']);
  expect(outcome(() => client.watch(`${HOME}/data`, 'w'))).toBe('EEXIST');
  guest.watch('data', 'v');
  expect(outcome(() => client.unwatch('data', 'x'))).toBe('ENOENT');
  expect(outcome(() => client.watch('data/', 'w'))).toBe('EINVAL');
  client.write('data', bytes(''));
  expect(guest.heard()).toEqual(['data w', 'data v']);
  client.reset();
  client.write('data', bytes(''));
  expect(guest.heard()).toEqual([]);
});

describe('domains', () => {
  let events: string[];
  const introduce = (domid: number) => {
    const { client } = domid === GUEST ? guest : storeWithGuests().other;
    store.introduce({ client, reset: () => client.reset(), close: () => client.close() });
  };

  beforeEach(() => {
    host.watch('@introduceDomain', 'i');
    host.watch('@releaseDomain', 'r');
    host.watch('/', 'root');
    guest.watch('@introduceDomain', 'i');
    introduce(GUEST);
    events = host.heard();
  });

  it('come with an event, for those who may see it', () => {
    expect(events).toEqual(['@introduceDomain i']);
    expect(guest.heard()).toEqual([]);
    expect(() => introduce(GUEST)).toThrow('EEXIST');
  });

  it('end once, unless they were resumed', () => {
    store.shutdown(GUEST);
    store.shutdown(GUEST);
    expect(host.heard()).toEqual(['@releaseDomain r']);
    store.resume(GUEST);
    store.shutdown(GUEST);
    expect(host.heard()).toEqual(['@releaseDomain r']);
  });

  it('go with what they owned and what they were allowed', () => {
    guest.client.write('data/x/y', bytes('1'));
    host.client.setPermissions('/a', ['n0', `b${GUEST}`, 'r6']);
    host.client.setPermissions('@introduceDomain', [`r${GUEST}`]);
    host.heard();
    store.release(GUEST);
    expect(host.heard()).toEqual([`${HOME}/data root`, '@releaseDomain r']);
    expect(host.client.directory(HOME)).toEqual([]);
    expect(host.client.permissions(HOME)).toEqual(['n0']);
    expect(host.client.permissions('/a')).toEqual(['n0', 'r6']);
    expect(host.client.permissions('@introduceDomain')).toEqual(['n0']);
    expect(store.tree.usage(GUEST).nodes).toBe(0);
    expect(store.isIntroduced(GUEST)).toBe(false);
    expect(() => store.release(GUEST)).toThrow('ENOENT');
  });
});
