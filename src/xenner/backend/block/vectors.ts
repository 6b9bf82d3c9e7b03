/** A request's segments as views of guest memory, for an image to read into or write from without a copy. */
import { type GuestMemory, gpa, VIEW_BYTES } from '../../../kvm/guest-memory.js';
import type { HostGrant } from '../../grants/host-grants.js';
import type { DataGrants } from './grant-cache.js';
import type { Segment } from './protocol.js';

const PAGE = 4096;
/** Sectors of segments, whatever the disk's are. */
export const SECTOR_BYTES = 512;
const SECTORS_PER_PAGE = PAGE / SECTOR_BYTES;

/** Of all segments together; undefined when one leaves its frame. */
export function sectorsOf(segments: readonly Segment[]): number | undefined {
  let sectors = 0;
  for (const { first, last } of segments) {
    if (last < first || last >= SECTORS_PER_PAGE) return undefined;
    sectors += last - first + 1;
  }
  return sectors;
}

export interface Vectors {
  readonly views: readonly Uint8Array[];
  readonly grants: readonly HostGrant[];
}

export function releaseAll(grants: readonly HostGrant[]): void {
  for (const grant of grants) grant.release();
}

/**
 * Takes the frames of segments that sectorsOf() accepted, and makes one view of neighbours.
 * @param write whether the frames are written: the guest reads its disk
 * @returns undefined when a grant is not to be had
 */
export function vectorsOf(
  memory: GuestMemory,
  pages: DataGrants,
  segments: readonly Segment[],
  write: boolean,
): Vectors | undefined {
  const grants: HostGrant[] = [];
  const views: Uint8Array[] = [];
  let start = 0;
  let end = 0;
  const flush = () => {
    if (end > start) views.push(memory.bytes(gpa(start), end - start));
  };
  for (const { gref, first, last } of segments) {
    const grant = pages.access(gref, { write });
    if (typeof grant === 'number') {
      releaseAll(grants);
      return undefined;
    }
    grants.push(grant);
    const at = grant.mfn * PAGE + first * SECTOR_BYTES;
    if (at !== end || at % VIEW_BYTES === 0) {
      flush();
      start = at;
    }
    end = grant.mfn * PAGE + (last + 1) * SECTOR_BYTES;
  }
  flush();
  return { views, grants };
}
