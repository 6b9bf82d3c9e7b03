/** What a disk has, seen through the images that it consists of. */
import { MAX_BACKING_CHAIN } from '../../../base/limits.js';
import type { DiskImage } from '../disk-image.js';

/** `hole`: no image that was asked has anything to say of it; where all were asked, it reads as zeros. */
export type DiskExtentKind = 'data' | 'zero' | 'hole';

export interface DiskExtent {
  readonly kind: DiskExtentKind;
  readonly offset: number;
  readonly length: number;
}

/** What is asked of the tables at once: bounds the answer, clusters of 512 bytes are the smallest. */
const WINDOW_BYTES = 32 * 1024 * 1024;

/**
 * Neighbours of one kind are one extent within a window. What lies behind the end of an image in the middle reads as zeros: whatever
 * is below that one is not to be seen there.
 *
 * @param above of its chain only the images above this one are asked; by default all
 */
export async function* diskExtents(
  image: DiskImage,
  above?: DiskImage,
  from = 0,
  to = image.sizeBytes,
): AsyncGenerator<DiskExtent> {
  for (let at = from; at < to; at += WINDOW_BYTES)
    yield* joined(await chainExtents(image, above, at, Math.min(WINDOW_BYTES, to - at), 0));
}

function* joined(extents: readonly DiskExtent[]): Generator<DiskExtent> {
  let last: DiskExtent | undefined;
  for (const extent of extents) {
    if (last?.kind === extent.kind) last = { ...last, length: last.length + extent.length };
    else {
      if (last) yield last;
      last = extent;
    }
  }
  if (last) yield last;
}

async function chainExtents(
  image: DiskImage,
  above: DiskImage | undefined,
  offset: number,
  length: number,
  depth: number,
): Promise<readonly DiskExtent[]> {
  const here = Math.max(0, Math.min(length, image.sizeBytes - offset));
  const found: DiskExtent[] = [];
  let at = offset;
  for (const extent of here > 0 ? await image.extents(offset, here) : []) {
    const { backing } = image;
    if (extent.kind !== 'hole') {
      const kind = extent.kind === 'zero' ? 'zero' : 'data';
      found.push({ kind, offset: at, length: extent.length });
    } else if (backing !== undefined && backing !== above && depth < MAX_BACKING_CHAIN) {
      found.push(...(await chainExtents(backing, above, at, extent.length, depth + 1)));
    } else {
      found.push({ kind: 'hole', offset: at, length: extent.length });
    }
    at += extent.length;
  }
  if (here < length) found.push({ kind: 'zero', offset: offset + here, length: length - here });
  return found;
}
