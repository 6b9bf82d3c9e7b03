/** Messages as tests write and read them. */
import * as xs from '../../../src/xenner/abi/xs-wire.js';
import { encodeMessage, type Message, MessageReader } from '../../../src/xenner/xenstore/wire.js';

const NAMES = new Map(
  Object.entries(xs)
    .filter(([name, value]) => /^XS_/.test(name) && typeof value === 'number')
    .map(([name, value]) => [value as number, name.slice(3)]),
);

/** `text` as the payload's bytes; | stands for NUL, as in docs/misc/xenstore.txt. */
export function request(type: number, text: string, ids: { reqId?: number; txId?: number } = {}): Buffer {
  const payload = Buffer.from(text.replaceAll('|', '\0'), 'latin1');
  return encodeMessage({ type, reqId: ids.reqId ?? 1, txId: ids.txId ?? 0, payload });
}

/** `READ value`, with | for NUL. */
export function show({ type, payload }: Message): string {
  return `${NAMES.get(type) ?? type} ${payload.toString('latin1').replaceAll('\0', '|')}`;
}

/** Every message in the bytes, which end with one. */
export function messages(bytes: Buffer): Message[] {
  const reader = new MessageReader();
  const found: Message[] = [];
  for (let at = 0; at < bytes.length; ) {
    const piece = bytes.subarray(at, at + reader.wanted);
    at += piece.length;
    const message = reader.feed(piece);
    if (message !== undefined) found.push(message);
  }
  if (reader.partial.length > 0) throw new Error(`${reader.partial.length} bytes behind the last message`);
  return found;
}
