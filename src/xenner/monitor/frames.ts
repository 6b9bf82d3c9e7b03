/** Xen's frames: they follow the guest's own, and hold what the hypervisor and the monitor need inside the guest. */
import { type Gpa, gpa } from '../../kvm/index.js';
import { BLOCK_SIZE } from './vcpu-area.js';

export const PAGE = 4096;
/** The GDT of a vCPU is 16 pages: 14 of the guest's, Xen's own, and one unused (FIRST_RESERVED_GDT_PAGE). */
export const GDT_PAGES = 16;
export const RESERVED_GDT_PAGE = 14;
/** 8192 descriptors. */
export const LDT_PAGES = 16;
const ENTRIES = 512;
const LARGE_PAGE = ENTRIES * PAGE;
const GIB = ENTRIES * LARGE_PAGE;

export interface XenFrames {
  readonly nrPages: number;
  /** A multiple of 512, so that large pages map all of it. */
  readonly totalPages: number;
  readonly monitor: Gpa;
  readonly monitorPages: number;
  readonly sharedInfo: Gpa;
  readonly m2p: Gpa;
  readonly m2pPages: number;
  readonly pageInfo: Gpa;
  readonly grantFrames: Gpa;
  readonly nrGrantFrames: number;
  /** One page, mapped wherever a guest has no GDT frame. */
  readonly zero: Gpa;
  /** L1 entries of all GDTs: GDT_PAGES a vCPU. */
  readonly gdtL1: Gpa;
  /** L1 entries of all LDTs: LDT_PAGES a vCPU. */
  readonly ldtL1: Gpa;
  /** Xen's own GDT page of each vCPU. */
  readonly xenGdt: readonly Gpa[];
  /** Tables of the hole: L3 of XEN_SLOT and of DIRECT_SLOT, and the rest by need. */
  readonly xenL3: Gpa;
  readonly directL3: Gpa;
  readonly xenL2: readonly [m2p: Gpa, gdt: Gpa, monitor: Gpa];
  readonly m2pL1: readonly Gpa[];
  readonly monitorL1: readonly Gpa[];
  readonly directL2: readonly Gpa[];
  /** A byte an event channel. */
  readonly ports: Gpa;
}

function pagesFor(bytes: number): number {
  return Math.ceil(bytes / PAGE);
}

/** Lays out Xen's frames behind `nrPages` guest frames. A guest sees where they are: a profile's dump holds it. */
export function layoutXenFrames(nrPages: number, nrVcpus: number, nrGrantFrames: number): XenFrames {
  const monitorPages = (BLOCK_SIZE / PAGE) * (1 + nrVcpus);
  // The arrays of 8 bytes a frame describe themselves too; 2 MiB of slack covers everything else.
  const fixed = nrPages + monitorPages + nrGrantFrames + 2 * ENTRIES;
  const totalPages = Math.ceil((fixed + pagesFor(fixed * 8) * 2 + 64) / ENTRIES) * ENTRIES;
  const perFrame = pagesFor(totalPages * 8);
  let next = nrPages;
  const take = (count: number): Gpa => {
    const first = next;
    next += count;
    return gpa(first * PAGE);
  };
  const takeEach = (count: number): Gpa[] => Array.from({ length: count }, () => take(1));
  const frames: XenFrames = {
    nrPages,
    totalPages,
    monitor: take(monitorPages),
    monitorPages,
    sharedInfo: take(1),
    m2p: take(perFrame),
    m2pPages: perFrame,
    pageInfo: take(perFrame),
    grantFrames: take(nrGrantFrames),
    nrGrantFrames,
    zero: take(1),
    gdtL1: take(pagesFor(nrVcpus * GDT_PAGES * 8)),
    ldtL1: take(pagesFor(nrVcpus * LDT_PAGES * 8)),
    xenGdt: takeEach(nrVcpus),
    xenL3: take(1),
    directL3: take(1),
    xenL2: [take(1), take(1), take(1)],
    m2pL1: takeEach(Math.ceil(perFrame / ENTRIES)),
    monitorL1: takeEach(Math.ceil(monitorPages / ENTRIES)),
    directL2: takeEach(Math.ceil((totalPages * PAGE) / GIB)),
    ports: take(1),
  };
  if (next > totalPages) throw new Error(`Xen's frames need ${next} pages of ${totalPages}`);
  return frames;
}
