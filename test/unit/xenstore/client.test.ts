/** Every request on nodes, as docs/misc/xenstore.txt has it and xenstored does it: results, errors, permissions. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Client } from '../../../src/xenner/xenstore/client.js';
import { GUEST, outcome, storeWithGuests } from './clients.js';

let host: Client;
let guest: Client;
let other: Client;

beforeEach(() => {
  const { host: h, guest: g, other: o } = storeWithGuests();
  host = h.client;
  guest = g.client;
  other = o.client;
});

const HOME = `/local/domain/${GUEST}`;
const bytes = (text: string) => Buffer.from(text, 'latin1');

interface Case {
  name: string;
  act: () => unknown;
  expect: unknown;
}

function table(cases: Case[]): void {
  it.each(cases)('$name', ({ act, expect: expected }) => expect(outcome(act)).toEqual(expected));
}

describe('paths', () => {
  table([
    { name: 'nothing', act: () => host.read(''), expect: 'EINVAL' },
    { name: 'a slash at the end', act: () => host.read('/tool/'), expect: 'EINVAL' },
    { name: 'two slashes', act: () => host.read('/tool//xenstored'), expect: 'EINVAL' },
    { name: 'a character that is not allowed', act: () => host.read('/a.b'), expect: 'EINVAL' },
    { name: 'a NUL', act: () => host.read('/tool\0'), expect: 'EINVAL' },
    { name: 'the root', act: () => host.read('/'), expect: '' },
    { name: 'a special path where none can be', act: () => host.read('@releaseDomain'), expect: 'EINVAL' },
    { name: 'relative to the home', act: () => guest.directory('data'), expect: [] },
    { name: 'relative, of the host', act: () => host.write('x', bytes('1')), expect: 'OK' },
    { name: 'the longest', act: () => host.write(`/${'a'.repeat(3071)}`, bytes('')), expect: 'OK' },
    { name: 'too long', act: () => host.write(`/${'a'.repeat(3072)}`, bytes('')), expect: 'EINVAL' },
    {
      name: "a guest's longest",
      act: () => guest.write(`data/${'a'.repeat(2043)}`, bytes('')),
      // The name is a part of its parent, which may have 2048 bytes in all.
      expect: 'ENOSPC',
    },
    {
      name: "a guest's longest that is found",
      act: () => guest.read(`data/${'a'.repeat(2043)}`),
      expect: 'ENOENT',
    },
    {
      name: "a guest's that is too long",
      act: () => guest.read(`data/${'a'.repeat(2044)}`),
      expect: 'EINVAL',
    },
  ]);
});

describe('nodes', () => {
  beforeEach(() => host.write('/a/b', bytes('v\0\xff')));

  table([
    { name: 'read gives every byte', act: () => host.read('/a/b'), expect: 'v\0\xff' },
    { name: 'read of a parent that was made on the way', act: () => host.read('/a'), expect: '' },
    { name: 'read of nothing', act: () => host.read('/a/c'), expect: 'ENOENT' },
    { name: 'directory', act: () => host.directory('/a'), expect: ['b'] },
    { name: 'directory of nothing', act: () => host.directory('/b'), expect: 'ENOENT' },
    { name: 'directory of the root', act: () => host.directory('/'), expect: ['tool', 'local', 'a'] },
    {
      name: 'write replaces the value only',
      act: () => {
        host.write('/a', bytes('x'));
        return [host.read('/a').toString(), host.directory('/a')];
      },
      expect: ['x', ['b']],
    },
    {
      name: 'mkdir leaves a value alone',
      act: () => {
        host.mkdir('/a/b');
        host.mkdir('/a/c/d');
        return [host.read('/a/b').length, host.directory('/a'), host.read('/a/c/d').length];
      },
      expect: [3, ['b', 'c'], 0],
    },
    {
      name: 'rm takes everything below',
      act: () => {
        host.rm('/a');
        return outcome(() => host.read('/a/b'));
      },
      expect: 'ENOENT',
    },
    { name: 'rm of nothing, below a node', act: () => host.rm('/a/c'), expect: 'OK' },
    { name: 'rm of nothing, below nothing', act: () => host.rm('/x/y'), expect: 'ENOENT' },
    { name: 'rm of the root', act: () => host.rm('/'), expect: 'EINVAL' },
    {
      name: 'the generation stays while the node does',
      act: () => {
        const before = host.generation('/a');
        host.write('/a/b', bytes('other'));
        host.write('/z', bytes(''));
        return host.generation('/a') === before;
      },
      expect: true,
    },
    {
      name: 'the generation changes with value, children and permissions',
      act: () => {
        const seen = [host.generation('/a')];
        host.write('/a', bytes(''));
        seen.push(host.generation('/a'));
        host.mkdir('/a/new');
        seen.push(host.generation('/a'));
        host.rm('/a/new');
        seen.push(host.generation('/a'));
        host.setPermissions('/a', ['r0']);
        seen.push(host.generation('/a'));
        return new Set(seen).size;
      },
      expect: 5,
    },
  ]);
});

describe('permissions', () => {
  table([
    { name: 'the root is the host’s', act: () => host.permissions('/'), expect: ['n0'] },
    { name: 'and a guest does not see it', act: () => guest.directory('/'), expect: 'EACCES' },
    { name: 'a guest reads its home', act: () => guest.directory(HOME), expect: ['data'] },
    { name: 'and writes only below what it owns', act: () => guest.write('x', bytes('')), expect: 'EACCES' },
    { name: 'not another’s', act: () => other.directory(HOME), expect: 'EACCES' },
    {
      name: 'it is not told what is missing where it may not look',
      act: () => other.read(`${HOME}/x`),
      expect: 'EACCES',
    },
    { name: 'but where it may', act: () => guest.read('x'), expect: 'ENOENT' },
    { name: 'rm needs the node', act: () => guest.rm(HOME), expect: 'EACCES' },
    { name: 'rm of nothing needs the parent', act: () => guest.rm('x'), expect: 'EACCES' },
    {
      name: 'what a guest makes is its own',
      act: () => {
        guest.write('data/x/y', bytes(''));
        return [host.permissions(`${HOME}/data/x`), host.permissions(`${HOME}/data/x/y`)];
      },
      expect: [['n5'], ['n5']],
    },
    {
      name: 'what the host makes has its parent’s',
      act: () => {
        host.write(`${HOME}/store/port`, bytes('1'));
        return host.permissions(`${HOME}/store/port`);
      },
      expect: ['n0', 'r5'],
    },
    {
      name: 'a guest owns what it may make at another’s, and the rest is inherited',
      act: () => {
        host.setPermissions(`${HOME}/data`, ['r5', 'b6']);
        other.write(`${HOME}/data/gift`, bytes(''));
        return host.permissions(`${HOME}/data/gift`);
      },
      expect: ['r6', 'b6'],
    },
    {
      name: 'a guest lets others in',
      act: () => {
        guest.setPermissions('data', ['n5', 'r6']);
        return [outcome(() => other.directory(`${HOME}/data`)), outcome(() => other.mkdir(`${HOME}/data/x`))];
      },
      expect: [[], 'EACCES'],
    },
    {
      name: 'the first entry that names a domain counts',
      act: () => {
        guest.setPermissions('data', ['b5', 'n6', 'b6']);
        return outcome(() => other.directory(`${HOME}/data`));
      },
      expect: 'EACCES',
    },
    {
      name: 'the owner’s mode is everybody’s',
      act: () => {
        guest.setPermissions('data', ['b5']);
        other.write(`${HOME}/data`, bytes('hello'));
        return guest.read('data');
      },
      expect: 'hello',
    },
    { name: 'a guest gives nothing away', act: () => guest.setPermissions('data', ['n6']), expect: 'EPERM' },
    {
      name: 'who may write does not own',
      act: () => {
        host.setPermissions(`${HOME}/data`, ['n5', 'b6']);
        return outcome(() => other.setPermissions(`${HOME}/data`, ['n5', 'b6']));
      },
      expect: 'EACCES',
    },
    { name: 'of nothing', act: () => host.setPermissions('/x', ['n0']), expect: 'ENOENT' },
    { name: 'a letter that is none', act: () => host.setPermissions('/', ['x0']), expect: 'EINVAL' },
    { name: 'a number that is none', act: () => host.setPermissions('/', ['n-1']), expect: 'EINVAL' },
    { name: 'DOMID_SELF', act: () => host.setPermissions('/', ['n32752']), expect: 'EINVAL' },
    { name: 'none at all', act: () => host.setPermissions('/', []), expect: 'EINVAL' },
    { name: 'of a special node', act: () => host.permissions('@releaseDomain'), expect: ['n0'] },
    { name: 'of one that is none', act: () => host.permissions('@other'), expect: 'ENOENT' },
    {
      name: 'a domain acts for its target',
      act: () => {
        guest.write('data/x', bytes('secret'));
        other.target = GUEST;
        return outcome(() => other.read(`${HOME}/data/x`));
      },
      expect: 'secret',
    },
  ]);
});
