/** Messages in pieces of any size, and those that are none. */
import { describe, expect, it } from 'vitest';
import * as xs from '../../../src/xenner/abi/xs-wire.js';
import {
  decodeStrings,
  encodeMessage,
  encodeStrings,
  type Message,
  MessageReader,
  ProtocolError,
} from '../../../src/xenner/xenstore/wire.js';

const MESSAGES: Message[] = [
  { type: xs.XS_READ, reqId: 0xffffffff, txId: 0, payload: Buffer.from('/tool\0') },
  { type: xs.XS_RESET_WATCHES, reqId: 2, txId: 0xfffffffe, payload: Buffer.alloc(0) },
  { type: 0xffff, reqId: 3, txId: 7, payload: Buffer.alloc(4096, 0xa5) },
  { type: xs.XS_WRITE, reqId: 4, txId: 0, payload: Buffer.from('/a\0\0\xff', 'latin1') },
];

function read(bytes: Buffer, pieceSize: number): Message[] {
  const reader = new MessageReader();
  const found: Message[] = [];
  for (let at = 0; at < bytes.length; ) {
    const piece = bytes.subarray(at, at + Math.min(pieceSize, reader.wanted));
    expect(piece.length).toBeGreaterThan(0);
    at += piece.length;
    const message = reader.feed(piece);
    if (message !== undefined) found.push(message);
  }
  return found;
}

it('is written as the header says', () => {
  expect(
    encodeMessage({ type: 2, reqId: 0x11223344, txId: 5, payload: Buffer.from('/\0') }).toString('hex'),
  ).toBe('02000000443322110500000002000000' + '2f00');
});

it.each([1, 2, 7, 16, 1024, 8192])('is read in pieces of %i bytes', (size) => {
  expect(read(Buffer.concat(MESSAGES.map(encodeMessage)), size)).toEqual(MESSAGES);
});

it('is partial until it is whole', () => {
  const bytes = encodeMessage(MESSAGES[0]!);
  for (let length = 0; length < bytes.length; length++) {
    const reader = new MessageReader();
    for (let at = 0; at < length; at++) expect(reader.feed(bytes.subarray(at, at + 1))).toBeUndefined();
    expect(reader.partial).toEqual(bytes.subarray(0, length));
  }
});

describe('a payload', () => {
  it.each([4097, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff])('of %i bytes is refused', (length) => {
    const header = xs.xsd_sockmsg.create({ type: xs.XS_READ, len: length });
    expect(() => new MessageReader().feed(header)).toThrow(ProtocolError);
  });

  it('is texts with a NUL each', () => {
    expect(decodeStrings(encodeStrings('', 'a', '\xff'))).toEqual(['', 'a', '\xff']);
    expect(decodeStrings(Buffer.from('a\0b'))).toEqual(['a']);
    expect(decodeStrings(Buffer.alloc(0))).toEqual([]);
  });
});
