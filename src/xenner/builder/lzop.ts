/**
 * The container of lzop(1): a header, then blocks of LZO1X, big-endian. Layout: lzop's src/lzop.c (write_header,
 * lzop_decompress); Linux reads the same in lib/decompress_unlzo.c. Checksums are not looked at, as there: the size that
 * follows a kernel's payload and the size of every block are.
 */
import type { Decompress } from './compression.js';
import { damagedStream, OutputBuffer } from './output-buffer.js';

export const LZOP_MAGIC = Buffer.from([0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a]);

const F_ADLER32_D = 0x0001;
const F_ADLER32_C = 0x0002;
const F_H_EXTRA_FIELD = 0x0040;
const F_CRC32_D = 0x0100;
const F_CRC32_C = 0x0200;
const F_H_FILTER = 0x0800;
/** Since this version the header says what reads it and how it was compressed. */
const VERSION_WITH_LEVEL = 0x0940;
/** lzop refuses larger blocks as well. */
const MAX_BLOCK_BYTES = 64 * 1024 * 1024;

/** Big-endian fields in a row; past the end is a damaged stream. */
class Reader {
  constructor(
    private readonly bytes: Buffer,
    private at: number,
  ) {}

  number(size: 1 | 2 | 4): number {
    return this.take(size).readUIntBE(0, size);
  }

  take(size: number): Buffer {
    if (this.at + size > this.bytes.length) throw damagedStream('lzo');
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }
}

/** @returns the header's flags */
function readHeader(reader: Reader): number {
  const version = reader.number(2);
  reader.take(2);
  if (version >= VERSION_WITH_LEVEL) reader.take(2);
  reader.take(1);
  if (version >= VERSION_WITH_LEVEL) reader.take(1);
  const flags = reader.number(4);
  // A filter changes the data before compression; lzop itself has made none since 1.0.
  if (flags & F_H_FILTER) throw damagedStream('lzo');
  reader.take(4 + 4);
  if (version >= VERSION_WITH_LEVEL) reader.take(4);
  reader.take(reader.number(1));
  reader.take(4);
  if (flags & F_H_EXTRA_FIELD) {
    reader.take(reader.number(4));
    reader.take(4);
  }
  return flags;
}

export function expandLzop(data: Uint8Array, maxBytes: number, decompress: Decompress): Buffer {
  const input = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const reader = new Reader(input, LZOP_MAGIC.length);
  const flags = readHeader(reader);
  const output = new OutputBuffer(maxBytes);
  for (;;) {
    const size = reader.number(4);
    if (size === 0) return output.bytes();
    const compressed = reader.number(4);
    if (size > MAX_BLOCK_BYTES || compressed === 0 || compressed > size) throw damagedStream('lzo');
    output.need(size);
    if (flags & F_ADLER32_D) reader.take(4);
    if (flags & F_CRC32_D) reader.take(4);
    if (compressed < size && flags & F_ADLER32_C) reader.take(4);
    if (compressed < size && flags & F_CRC32_C) reader.take(4);
    const block = reader.take(compressed);
    const expanded = compressed === size ? block : decompress('lzo1x', block, size);
    if (expanded.length !== size) throw damagedStream('lzo');
    output.append(expanded);
  }
}
