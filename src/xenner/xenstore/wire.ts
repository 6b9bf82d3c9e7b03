/** Messages as bytes (public/io/xs_wire.h): a header and a payload, which come in pieces of any size. */
import { XENSTORE_PAYLOAD_MAX, xsd_sockmsg } from '../abi/xs-wire.js';

export interface Message {
  /** XS_* */
  readonly type: number;
  /** Chosen by who asks, and sent back. */
  readonly reqId: number;
  /** 0: none. */
  readonly txId: number;
  readonly payload: Buffer;
}

/** The other end does not speak the protocol, and what it sends next cannot be told apart. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

export function encodeMessage({ type, reqId, txId, payload }: Message): Buffer {
  const header = xsd_sockmsg.create({ type, req_id: reqId, tx_id: txId, len: payload.length });
  return Buffer.concat([header, payload]);
}

/** Texts of a payload, each with a NUL behind it. Latin-1 keeps every byte. */
export function encodeStrings(...texts: readonly string[]): Buffer {
  return Buffer.from(texts.map((text) => `${text}\0`).join(''), 'latin1');
}

/** The texts that end with a NUL; what is behind the last NUL is left out, as xenstored does. */
export function decodeStrings(payload: Buffer): string[] {
  return payload.toString('latin1').split('\0').slice(0, -1);
}

export class MessageReader {
  readonly #header = Buffer.alloc(xsd_sockmsg.size);
  #payload: Buffer | undefined;
  #filled = 0;

  /** Bytes that complete the header, or the payload; never 0. */
  get wanted(): number {
    return this.#target.length - this.#filled;
  }

  /** What came of a message that is not complete, as it came. */
  get partial(): Buffer {
    const begun = this.#target.subarray(0, this.#filled);
    return this.#payload === undefined ? Buffer.from(begun) : Buffer.concat([this.#header, begun]);
  }

  /**
   * @param bytes at most `wanted`
   * @returns the message that they complete
   * @throws ProtocolError when it is longer than may be
   */
  feed(bytes: Uint8Array): Message | undefined {
    this.#target.set(bytes, this.#filled);
    this.#filled += bytes.length;
    if (this.wanted > 0) return undefined;
    this.#filled = 0;
    const { type, req_id, tx_id, len } = xsd_sockmsg.decode(this.#header);
    if (len > XENSTORE_PAYLOAD_MAX) throw new ProtocolError(`a payload of ${len} bytes`);
    if (this.#payload === undefined && len > 0) {
      this.#payload = Buffer.alloc(len);
      return undefined;
    }
    const payload = this.#payload ?? Buffer.alloc(0);
    this.#payload = undefined;
    return { type, reqId: req_id, txId: tx_id, payload };
  }

  get #target(): Buffer {
    return this.#payload ?? this.#header;
  }
}
