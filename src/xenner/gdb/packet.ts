/** Frames of GDB's remote serial protocol (GDB manual, appendix E.1): `$` data `#` checksum, and what stands between. */
import { MAX_GDB_PACKET_BYTES } from '../../base/limits.js';

const DOLLAR = 0x24;
const HASH = 0x23;
const ESCAPE = 0x7d;
const STAR = 0x2a;
const ESCAPE_BIT = 0x20;
/** Sent outside of packets: Ctrl-C. */
const INTERRUPT = 0x03;

/** What came in: a packet's data, one whose checksum is wrong, or an interrupt. */
export type Input = Buffer | 'damaged' | 'interrupt';

/** The client does not keep to the protocol; there is no way to go on with it. */
export class ProtocolError extends Error {}

/** Takes a stream apart, however it is cut into pieces. Acknowledgements are dropped: TCP loses nothing. */
export class PacketReader {
  readonly #bytes: number[] = [];
  #inside = false;
  /** Digits of the checksum that have come; undefined: none is due yet. */
  #checksum: string | undefined;

  /** @throws ProtocolError for a packet above the limit; the reader is of no use afterwards */
  *feed(chunk: Uint8Array): Generator<Input> {
    for (const byte of chunk) {
      if (this.#checksum !== undefined) {
        this.#checksum += String.fromCharCode(byte);
        if (this.#checksum.length === 2) yield this.#finish(this.#checksum);
      } else if (byte === DOLLAR) {
        this.#inside = true;
        this.#bytes.length = 0;
      } else if (!this.#inside) {
        if (byte === INTERRUPT) yield 'interrupt';
      } else if (byte === HASH) {
        this.#checksum = '';
      } else {
        if (this.#bytes.length === MAX_GDB_PACKET_BYTES) throw new ProtocolError('a packet is too long');
        this.#bytes.push(byte);
      }
    }
  }

  #finish(checksum: string): Input {
    this.#checksum = undefined;
    this.#inside = false;
    const sum = this.#bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
    const right = /^[0-9a-f]{2}$/i.test(checksum) && Number.parseInt(checksum, 16) === sum;
    return right ? withoutEscapes(this.#bytes) : 'damaged';
  }
}

function withoutEscapes(bytes: readonly number[]): Buffer {
  const data: number[] = [];
  for (let i = 0; i < bytes.length; i++) {
    const escaped = bytes[i] === ESCAPE && i + 1 < bytes.length;
    data.push(escaped ? bytes[++i]! ^ ESCAPE_BIT : bytes[i]!);
  }
  return Buffer.from(data);
}

/** @param data one character a byte */
export function encodePacket(data: string): Buffer {
  const bytes: number[] = [];
  for (const byte of Buffer.from(data, 'latin1')) {
    // `*` would begin a run-length.
    if ([DOLLAR, HASH, ESCAPE, STAR].includes(byte)) bytes.push(ESCAPE, byte ^ ESCAPE_BIT);
    else bytes.push(byte);
  }
  const sum = bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
  return Buffer.from([DOLLAR, ...bytes, HASH, ...Buffer.from(sum.toString(16).padStart(2, '0'))]);
}
