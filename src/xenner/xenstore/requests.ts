/** What each request's payload says, and what its answer does (docs/misc/xenstore.txt). */
import { DOMID_SELF } from '../abi/xen.js';
import * as xs from '../abi/xs-wire.js';
import type { Client } from './client.js';
import { control } from './control.js';
import { XenstoreError } from './errors.js';
import { homeOf } from './path.js';
import type { Xenstore } from './store.js';
import { decodeStrings, encodeStrings, type Message } from './wire.js';

interface Asked {
  readonly store: Xenstore;
  readonly client: Client;
  readonly payload: Buffer;
  /** Of the transaction; 0: none. */
  readonly id: number;
}

interface Request {
  /** The payload of the answer; OK when there is none. */
  readonly answer: (asked: Asked) => Buffer | undefined;
  /** Only domain 0 may. */
  readonly privileged?: boolean;
  /** The transaction's number is not looked at. */
  readonly outside?: boolean;
}

const OK = encodeStrings('OK');
/** Decimal digits of a generation, NULs, and the name that ends a part, all fit beside it. */
const LONGEST_GENERATION = `${Number.MAX_SAFE_INTEGER}`.length;

/** At least `least` texts, or exactly so many. */
function texts(payload: Buffer, least: number, exactly = false): string[] {
  const found = decodeStrings(payload);
  if (found.length < least || (exactly && found.length > least)) {
    throw new XenstoreError('EINVAL', `${found.length} texts for ${least}`);
  }
  return found;
}

/** One text that ends with the payload. */
function text(payload: Buffer): string {
  const end = payload.indexOf(0);
  if (end < 0 || end !== payload.length - 1) throw new XenstoreError('EINVAL', 'not one text');
  return payload.toString('latin1', 0, end);
}

function number(digits: string, max: number): number {
  const value = /^\d{1,10}$/.test(digits) ? Number(digits) : Number.NaN;
  if (!(value <= max)) throw new XenstoreError('EINVAL', 'not a number that can be');
  return value;
}

const domid = (digits: string) => number(digits, 0xffff);

function guest(payload: Buffer): number {
  const id = domid(text(payload));
  if (id === 0) throw new XenstoreError('EINVAL', 'domain 0 stays');
  return id;
}

/** Names from a byte offset of the whole list, as many as fit; an empty one behind the last. */
function directoryPart({ client, payload, id }: Asked): Buffer {
  const [path, offset] = texts(payload, 2, true) as [string, string];
  const names = encodeStrings(...client.directory(path, id));
  const generation = encodeStrings(`${client.generation(path, id)}`);
  const rest = names.subarray(number(offset, 0xffffffff));
  const room = xs.XENSTORE_PAYLOAD_MAX - LONGEST_GENERATION - 2;
  if (rest.length <= room) return Buffer.concat([generation, rest, Buffer.alloc(1)]);
  return Buffer.concat([generation, rest.subarray(0, rest.lastIndexOf(0, room - 1) + 1)]);
}

/** The domain talks over a ring already: its connection begins anew. This process introduces domains itself. */
function introduce({ store, payload }: Asked): undefined {
  const [domain, , port] = texts(payload, 3) as [string, string, string];
  if (number(port, 0x7fffffff) === 0) throw new XenstoreError('EINVAL', 'no port');
  store.domain(domid(domain)).reset();
}

function setTarget({ store, payload }: Asked): undefined {
  const [domain, target] = texts(payload, 2).map(domid) as [number, number];
  if (!store.isIntroduced(target)) throw new XenstoreError('ENOENT', `domain ${target} was not introduced`);
  store.domain(domain).client.target = target;
}

function write({ client, payload, id }: Asked): undefined {
  const [path] = texts(payload, 1) as [string];
  client.write(path, payload.subarray(path.length + 1), id);
}

function endTransaction({ client, payload, id }: Asked): undefined {
  const commit = text(payload);
  if (commit !== 'T' && commit !== 'F') throw new XenstoreError('EINVAL', 'neither T nor F');
  client.endTransaction(id, commit === 'T');
}

function startTransaction({ client, id }: Asked): Buffer {
  if (id !== 0) throw new XenstoreError('EBUSY', 'a transaction in a transaction');
  return encodeStrings(`${client.startTransaction()}`);
}

function watchOf(payload: Buffer): [string, string] {
  return texts(payload, 2, true) as [string, string];
}

function isIntroduced({ store, payload }: Asked): Buffer {
  const id = domid(text(payload));
  return encodeStrings(id === DOMID_SELF || store.isIntroduced(id) ? 'T' : 'F');
}

/** Statements that have no value. */
const done = (act: (asked: Asked) => void): Request['answer'] => {
  return (asked) => {
    act(asked);
    return undefined;
  };
};

const REQUESTS = new Map<number, Request>([
  [xs.XS_CONTROL, { answer: ({ store, payload }) => control(store, texts(payload, 1)), privileged: true }],
  [
    xs.XS_DIRECTORY,
    { answer: ({ client, payload, id }) => encodeStrings(...client.directory(text(payload), id)) },
  ],
  [xs.XS_DIRECTORY_PART, { answer: directoryPart }],
  [xs.XS_READ, { answer: ({ client, payload, id }) => client.read(text(payload), id) }],
  [xs.XS_WRITE, { answer: write }],
  [xs.XS_MKDIR, { answer: done(({ client, payload, id }) => client.mkdir(text(payload), id)) }],
  [xs.XS_RM, { answer: done(({ client, payload, id }) => client.rm(text(payload), id)) }],
  [
    xs.XS_GET_PERMS,
    { answer: ({ client, payload, id }) => encodeStrings(...client.permissions(text(payload), id)) },
  ],
  [
    xs.XS_SET_PERMS,
    {
      answer: done(({ client, payload, id }) => {
        const [path, ...permissions] = texts(payload, 2) as [string, ...string[]];
        client.setPermissions(path, permissions, id);
      }),
    },
  ],
  [xs.XS_WATCH, { answer: done(({ client, payload }) => client.watch(...watchOf(payload))), outside: true }],
  [
    xs.XS_UNWATCH,
    { answer: done(({ client, payload }) => client.unwatch(...watchOf(payload))), outside: true },
  ],
  [xs.XS_RESET_WATCHES, { answer: done(({ client }) => client.reset()) }],
  [xs.XS_TRANSACTION_START, { answer: startTransaction }],
  [xs.XS_TRANSACTION_END, { answer: endTransaction }],
  [xs.XS_GET_DOMAIN_PATH, { answer: ({ payload }) => encodeStrings(homeOf(domid(text(payload)))) }],
  [xs.XS_IS_DOMAIN_INTRODUCED, { answer: isIntroduced, privileged: true }],
  [xs.XS_INTRODUCE, { answer: introduce, privileged: true }],
  [xs.XS_RELEASE, { answer: done(({ store, payload }) => store.release(guest(payload))), privileged: true }],
  [xs.XS_RESUME, { answer: done(({ store, payload }) => store.resume(guest(payload))), privileged: true }],
  [xs.XS_SET_TARGET, { answer: setTarget, privileged: true }],
]);

/** By its constant, for traces. */
export function requestName(type: number): string {
  const known = Object.entries(xs).find(([name, value]) => name.startsWith('XS_') && value === type);
  return known?.[0] ?? `request ${type}`;
}

/** The answer's payload. @throws XenstoreError */
export function answer(store: Xenstore, client: Client, { type, txId, payload }: Message): Buffer {
  const request = REQUESTS.get(type);
  if (request === undefined) throw new XenstoreError('ENOSYS', `no request ${type}`);
  if (request.privileged && !client.privileged) throw new XenstoreError('EACCES', 'only domain 0 may');
  const id = request.outside ? 0 : txId;
  if (id !== 0) client.transaction(id);
  const given = request.answer({ store, client, payload, id }) ?? OK;
  if (given.length > xs.XENSTORE_PAYLOAD_MAX) throw new XenstoreError('E2BIG', 'the answer is too long');
  return given;
}
