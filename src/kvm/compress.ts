/** Compression of clusters of disks, by Debian's libraries in the addon, on libuv's threads. */
import { type CompressFormat, loadAddon } from './addon.js';

export type { CompressFormat } from './addon.js';

/**
 * Compresses each piece of `data` by itself: `deflate` as qcow2 has it (no header, a window of 4 KiB), or a frame of `zstd`. A piece's
 * result is in `into` where the piece is in `data`, and its length in `sizes`: the piece's own, where it does not get smaller, and `into`
 * has nothing of it. Nobody may touch the three meanwhile.
 *
 * @param pieceBytes 2 to 2 MiB; the last piece may be shorter
 * @throws (rejection) ENOMEM
 */
export function compressPieces(
  format: CompressFormat,
  data: Uint8Array,
  pieceBytes: number,
  into: Uint8Array,
  sizes: Uint32Array,
): Promise<void> {
  return loadAddon().compressPieces(format, data, pieceBytes, into, sizes);
}
