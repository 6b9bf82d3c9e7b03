/** Compressed kernels, initial RAM disks and clusters of disks, by Debian's libraries in the addon. */
import { type DecompressFormat, loadAddon } from './addon.js';

export type { DecompressFormat } from './addon.js';

/**
 * One compressed stream (bytes behind its end are ignored), or for `lz4-block` and `lzo1x` one raw block (which must
 * end with the data). Throws an Error with code EBADMSG when it is damaged or truncated, E2BIG when its output would
 * exceed maxBytes (at most 2 GiB) or it asks for an immoderate dictionary. Blocks the thread.
 */
export function decompress(format: DecompressFormat, data: Uint8Array, maxBytes: number): Buffer {
  return loadAddon().decompress(format, data, maxBytes);
}

/** The same on another thread, so that several are unpacked at once; `data` must stay as it is meanwhile. */
export function decompressElsewhere(
  format: DecompressFormat,
  data: Uint8Array,
  maxBytes: number,
): Promise<Buffer> {
  return loadAddon().decompressElsewhere(format, data, maxBytes);
}
