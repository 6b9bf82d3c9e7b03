/** A tar archive as a stream, entry by entry (POSIX ustar; sizes also in GNU's binary form). */
import { XennerError } from '../../../base/errors.js';

const BLOCK = 512;
const SIZE_AT = 124;
const CHECKSUM_AT = 148;
const TYPE_AT = 156;

export interface TarEntry {
  readonly name: string;
  readonly sizeBytes: number;
  readonly isFile: boolean;
}

function damaged(what: string): XennerError {
  return new XennerError('EXVA_DAMAGED', `the archive is damaged: ${what}`, 'export the guest again');
}

export class TarReader {
  readonly #source: AsyncIterator<Uint8Array>;
  /** What came and is not taken yet. */
  #rest: Uint8Array = new Uint8Array(0);
  /** Of the last entry, with the blocks' padding. */
  #left = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Skips what is left of the one before. @returns undefined at the end. @throws XennerError EXVA_DAMAGED */
  async next(): Promise<TarEntry | undefined> {
    await this.#take(this.#left, undefined);
    const header = Buffer.alloc(BLOCK);
    await this.#take(BLOCK, header);
    // Two blocks of zeros end an archive; one is enough to know.
    if (header.every((byte) => byte === 0)) return undefined;
    checkSum(header);
    const sizeBytes = sizeOf(header);
    this.#left = Math.ceil(sizeBytes / BLOCK) * BLOCK;
    const type = header[TYPE_AT]!;
    return { name: cString(header, 0, 100), sizeBytes, isFile: type === 0 || type === 0x30 };
  }

  /** The entry's content. The caller has a bound for its size. */
  async content({ sizeBytes }: TarEntry): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(sizeBytes);
    await this.#take(sizeBytes, bytes);
    this.#left -= sizeBytes;
    return bytes;
  }

  /** Lets go of the source. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #take(length: number, into: Uint8Array | undefined): Promise<void> {
    for (let done = 0; done < length; ) {
      if (this.#rest.length === 0) {
        const { value, done: ended } = await this.#source.next();
        if (ended) throw damaged('it ends too early');
        this.#rest = value;
      }
      const piece = this.#rest.subarray(0, length - done);
      into?.set(piece, done);
      this.#rest = this.#rest.subarray(piece.length);
      done += piece.length;
    }
  }
}

function cString(header: Buffer, at: number, length: number): string {
  return header.toString('latin1', at, at + length).replace(/\0.*$/s, '');
}

function octal(header: Buffer, at: number, length: number): number {
  const digits = cString(header, at, length).trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number.NaN;
}

function sizeOf(header: Buffer): number {
  const isBinary = (header[SIZE_AT]! & 0x80) !== 0;
  const size = isBinary ? Number(header.readBigUInt64BE(SIZE_AT + 4)) : octal(header, SIZE_AT, 12);
  if (!Number.isSafeInteger(size)) throw damaged('an entry has no size');
  return size;
}

/** The sum of the header's bytes, its own counted as blanks. */
function checkSum(header: Buffer): void {
  const said = octal(header, CHECKSUM_AT, 8);
  const without = header.subarray(CHECKSUM_AT, CHECKSUM_AT + 8).reduce((sum, byte) => sum + byte, 0);
  const sum = header.reduce((all, byte) => all + byte, 0) - without + 8 * 0x20;
  if (sum !== said) throw damaged('the header of an entry is none');
}
