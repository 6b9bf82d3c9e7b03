/** Writes of whole clusters that are compressed on the way, on other threads. */
import { compressPieces } from '../../../kvm/index.js';
import type { Qcow2Image } from '../qcow2/image.js';

/** @returns what takes ranges that begin with a cluster, and end with one or with the disk */
export function compressInto(image: Qcow2Image): (offset: number, bytes: Buffer) => Promise<void> {
  const { clusterBytes, compression } = image.header;
  const format = compression === 'zlib' ? 'deflate' : compression;
  return async (offset, bytes) => {
    const data = padded(bytes, clusterBytes);
    const into = Buffer.allocUnsafe(data.length);
    const sizes = new Uint32Array(data.length / clusterBytes);
    await compressPieces(format, data, clusterBytes, into, sizes);
    const packed: { at: number; bytes: Uint8Array }[] = [];
    const asIs: Promise<void>[] = [];
    for (const [i, size] of sizes.entries()) {
      const from = i * clusterBytes;
      const at = offset + from;
      if (size < clusterBytes) packed.push({ at, bytes: into.subarray(from, from + size) });
      else asIs.push(image.write(at, [bytes.subarray(from, from + clusterBytes)]));
    }
    await Promise.allSettled(asIs);
    await Promise.all([...asIs, ...(packed.length > 0 ? [image.writePacked(packed)] : [])]);
  };
}

/** The last cluster of a disk may be a part of one. */
function padded(bytes: Buffer, clusterBytes: number): Buffer {
  const rest = bytes.length % clusterBytes;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(clusterBytes - rest)]);
}
