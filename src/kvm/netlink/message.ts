/** Messages of netlink as bytes, by linux/netlink.h and linux/rtnetlink.h: nothing here trusts a length. */
import { XennerError } from '../../base/errors.js';

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;

export const NLM_F_REQUEST = 0x001;
export const NLM_F_ACK = 0x004;
export const NLM_F_DUMP_INTR = 0x010;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_DUMP = 0x300;
/** Of an NLMSG_ERROR: without the message that it is about, and with attributes behind. */
export const NLM_F_CAPPED = 0x100;
export const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

export const AF_INET = 2;
export const AF_INET6 = 10;

/** Bits above a type: the value is made of attributes; it is in network byte order. */
const NLA_TYPE_MASK = 0x3fff;
const HEADER_BYTES = 16;

export interface Message {
  /** NLMSG_* or RTM_*. */
  readonly type: number;
  /** NLM_F_*. */
  readonly flags: number;
  readonly payload: Buffer;
}

const align = (length: number) => (length + 3) & ~3;

function malformed(what: string): XennerError {
  return new XennerError('ENETLINK', `netlink: ${what}`);
}

/** struct nlmsghdr and what comes behind it, one message after the other. @throws XennerError ENETLINK */
export function decodeMessages(bytes: Buffer): Message[] {
  const messages: Message[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < HEADER_BYTES) throw malformed('a message without its header');
    const length = bytes.readUInt32LE(at);
    if (length < HEADER_BYTES || length > bytes.length - at)
      throw malformed(`a message of ${length} bytes where there are ${bytes.length - at}`);
    messages.push({
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      payload: bytes.subarray(at + HEADER_BYTES, at + length),
    });
    at += align(length);
  }
  return messages;
}

export function encodeMessage(type: number, flags: number, ...payload: readonly Buffer[]): Buffer {
  const message = Buffer.concat([Buffer.alloc(HEADER_BYTES), ...payload]);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(NLM_F_REQUEST | flags, 6);
  return message;
}

/** What an NLMSG_ERROR or NLMSG_DONE says: 0, or a positive errno; and the kernel's words, if it has any. */
export function decodeError({ type, flags, payload }: Message): { errno: number; text?: string } {
  if (payload.length < 4) throw malformed('an error without its number');
  const errno = -payload.readInt32LE(0);
  if (type !== NLMSG_ERROR || !(flags & NLM_F_ACK_TLVS) || payload.length < 4 + HEADER_BYTES)
    return { errno };
  const about = flags & NLM_F_CAPPED ? HEADER_BYTES : align(payload.readUInt32LE(4));
  if (about < HEADER_BYTES || 4 + about > payload.length) return { errno };
  const text = new Attributes(payload.subarray(4 + about)).string(NLMSGERR_ATTR_MSG);
  return text === undefined ? { errno } : { errno, text };
}

/** struct rtattr, one behind the other. Of two of a type, the last counts, as in the kernel. */
export class Attributes {
  readonly #values = new Map<number, Buffer>();

  /** @throws XennerError ENETLINK */
  constructor(bytes: Buffer) {
    for (let at = 0; bytes.length - at >= 4; ) {
      const length = bytes.readUInt16LE(at);
      if (length < 4 || length > bytes.length - at)
        throw malformed(`an attribute of ${length} bytes where there are ${bytes.length - at}`);
      this.#values.set(bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length));
      at += align(length);
    }
  }

  /** Undefined where it is missing or short, as all others. */
  u8(type: number): number | undefined {
    return this.#of(type, 1)?.readUInt8();
  }
  u16(type: number): number | undefined {
    return this.#of(type, 2)?.readUInt16LE();
  }
  u32(type: number): number | undefined {
    return this.#of(type, 4)?.readUInt32LE();
  }
  bytes(type: number): Buffer | undefined {
    return this.#values.get(type);
  }
  /** Up to a NUL. */
  string(type: number): string | undefined {
    const bytes = this.#values.get(type);
    if (bytes === undefined) return undefined;
    const end = bytes.indexOf(0);
    return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
  }
  nested(type: number): Attributes | undefined {
    const bytes = this.#values.get(type);
    return bytes && new Attributes(bytes);
  }
  /** By type. */
  all(): Buffer[] {
    return [...this.#values].sort(([a], [b]) => a - b).map(([, value]) => value);
  }

  #of(type: number, length: number): Buffer | undefined {
    const bytes = this.#values.get(type);
    return bytes !== undefined && bytes.length >= length ? bytes : undefined;
  }
}

/** Its length is without the padding behind it. */
export function attribute(type: number, ...data: readonly Buffer[]): Buffer {
  const length = data.reduce((sum, { length }) => sum + length, 4);
  const bytes = Buffer.alloc(align(length));
  bytes.writeUInt16LE(length, 0);
  bytes.writeUInt16LE(type, 2);
  Buffer.concat(data).copy(bytes, 4);
  return bytes;
}

export function u8(value: number): Buffer {
  return Buffer.from([value]);
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
