/** Requests of rtnetlink, and what the kernel tells without being asked. */
import { getSystemErrorMap } from 'node:util';
import { XennerError } from '../../base/errors.js';
import { MAX_NETLINK_ANSWER_BYTES } from '../../base/limits.js';
import { loadAddon } from '../addon.js';
import { createNotifier } from '../notifier.js';
import {
  decodeError,
  decodeMessages,
  encodeMessage,
  type Message,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
} from './message.js';

/* linux/rtnetlink.h */
const RTMGRP_LINK = 0x1;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV4_ROUTE = 0x40;
const RTMGRP_IPV6_IFADDR = 0x100;
const RTMGRP_IPV6_ROUTE = 0x400;

/** Times that a dump is asked for anew because something changed meanwhile. */
const DUMP_ATTEMPTS = 10;

/** A change, or a question with one answer. @throws XennerError ELINK, with the errno's name as its cause's `code` */
export function request(what: string, type: number, flags: number, ...payload: readonly Buffer[]): Message[] {
  return transact(what, encodeMessage(type, NLM_F_ACK | flags, ...payload));
}

/** All objects of a kind, as they were at one moment. @throws XennerError ELINK */
export function dump(what: string, type: number, header: Buffer): Message[] {
  for (let attempt = 1; ; attempt++) {
    const messages = transact(what, encodeMessage(type, NLM_F_DUMP, header));
    if (!messages.some(({ flags }) => flags & NLM_F_DUMP_INTR)) return messages;
    if (attempt === DUMP_ATTEMPTS) throw linkError(what, 'EBUSY', 'it changes all the time');
  }
}

function transact(what: string, bytes: Buffer): Message[] {
  let answer: Buffer;
  try {
    answer = loadAddon().netlinkRequest(bytes, MAX_NETLINK_ANSWER_BYTES, 'rtnetlink');
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException;
    throw linkError(what, code, message);
  }
  const messages = decodeMessages(answer);
  const end = messages.findIndex(({ type }) => type === NLMSG_ERROR || type === NLMSG_DONE);
  if (end < 0) throw linkError(what, 'EBADMSG', 'the answer has no end');
  const { errno, text } = decodeError(messages[end]!);
  if (errno === 0) return messages.slice(0, end);
  const [name, words] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, `errno ${errno}`];
  throw linkError(what, name, text === undefined ? words : `${words} (${text})`);
}

function linkError(what: string, code: string, text: string): XennerError {
  const cause = Object.assign(new Error(text), { code });
  const next = code === 'EPERM' ? 'it takes CAP_NET_ADMIN' : undefined;
  return new XennerError('ELINK', `cannot ${what}: ${text}`, next, { cause });
}

/** The errno's name of what request() and dump() have thrown. */
export function linkErrno(error: unknown): string | undefined {
  if (!(error instanceof XennerError) || error.code !== 'ELINK') return undefined;
  return (error.cause as NodeJS.ErrnoException | undefined)?.code;
}

export interface NetworkWatch {
  /** Whether it keeps the process alive; it does, at first. */
  hold(held: boolean): void;
  /** Idempotent. */
  close(): void;
}

/**
 * Links, addresses and routes as they change, of this network namespace.
 *
 * @param told RTM_NEW* and RTM_DEL*; undefined: some were lost, and what is known has to be read anew
 * @throws system errors
 */
export function watchNetwork(told: (messages: readonly Message[] | undefined) => void): NetworkWatch {
  const groups =
    RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;
  let isClosed = false;
  const drain = () => {
    while (!isClosed) {
      let messages: Message[] | undefined;
      try {
        const bytes = native.receive();
        if (bytes === null) return;
        messages = decodeMessages(bytes);
      } catch {
        messages = undefined;
      }
      told(messages);
    }
  };
  const notifier = createNotifier(drain);
  const native = new (loadAddon().NetlinkEvents)(groups, notifier.id);
  notifier.hold(true);
  return {
    hold: (held) => notifier.hold(held),
    close: () => {
      isClosed = true;
      native.close();
      notifier.close();
    },
  };
}
