/** Which compression it is, and its undoing, for everything that Linux compresses kernels with. */
import type { DecompressFormat } from '../../kvm/addon.js';
import { expandLz4Legacy } from './lz4-legacy.js';
import { expandLzop, LZOP_MAGIC } from './lzop.js';
import { damagedStream, tooBig } from './output-buffer.js';

/** The addon's `decompress`; see there for its errors. */
export type Decompress = (format: DecompressFormat, data: Uint8Array, maxBytes: number) => Buffer;

export type Compression = 'gzip' | 'bzip2' | 'lzma' | 'xz' | 'lzo' | 'lz4' | 'zstd';

/** Linux, lib/decompress.c, compressed_formats; lzma has no magic number, 5d 00 00 is what its usual settings give. */
const MAGIC: ReadonlyArray<readonly [Compression, Buffer]> = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['bzip2', Buffer.from('BZh')],
  ['lzma', Buffer.from([0x5d, 0x00, 0x00])],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ['lzo', LZOP_MAGIC],
  ['lz4', Buffer.from([0x02, 0x21, 0x4c, 0x18])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
];

export function detectCompression(data: Uint8Array): Compression | undefined {
  return MAGIC.find(([, magic]) => magic.equals(data.subarray(0, magic.length)))?.[0];
}

/**
 * @param data one stream; for lz4 nothing may follow it
 * @throws XennerError EIMAGE_DAMAGED, EIMAGE_TOO_BIG
 */
export function expand(
  format: Compression,
  data: Uint8Array,
  maxBytes: number,
  decompress: Decompress,
): Buffer {
  const named: Decompress = (raw, input, limit) => {
    try {
      return decompress(raw, input, limit);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EBADMSG') throw damagedStream(format, error);
      if (code === 'E2BIG') throw tooBig(maxBytes);
      throw error;
    }
  };
  switch (format) {
    case 'lz4':
      return expandLz4Legacy(data, maxBytes, named);
    case 'lzo':
      return expandLzop(data, maxBytes, named);
    default:
      return named(format, data, maxBytes);
  }
}
