/** The legacy LZ4 frame that `lz4 -l` writes and Linux uses: a magic number, then blocks with their compressed size. */
import type { Decompress } from './compression.js';
import { damagedStream, OutputBuffer } from './output-buffer.js';

export const LZ4_LEGACY_MAGIC = 0x184c2102;
/** Every block but the last expands to exactly this. */
const BLOCK_BYTES = 8 * 1024 * 1024;

/** @param data the whole frame, nothing after it */
export function expandLz4Legacy(data: Uint8Array, maxBytes: number, decompress: Decompress): Buffer {
  const input = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const output = new OutputBuffer(maxBytes);
  let at = 4;
  while (at < input.length) {
    if (at + 4 > input.length) throw damagedStream('lz4');
    const size = input.readUInt32LE(at);
    at += 4;
    // Frames may be concatenated; the kernel's decompressor skips the second magic number.
    if (size === LZ4_LEGACY_MAGIC) continue;
    if (size === 0 || at + size > input.length) throw damagedStream('lz4');
    const room = Math.min(BLOCK_BYTES, output.room);
    output.append(decompress('lz4-block', input.subarray(at, at + size), room));
    at += size;
  }
  return output.bytes();
}
