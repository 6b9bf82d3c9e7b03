/**
 * Where everything is at the start of day; xen/include/public/xen.h ("Start-of-day memory layout") and libxc's
 * xc_dom_build_image and alloc_pgtables_pv. Frame numbers start at 0, and frame 0 is mapped at the kernel's virtual base.
 */
import { XennerError } from '../../base/errors.js';
import { type Mapping, PAGE_BYTES, PageTables } from './page-tables.js';
import { type PvKernel, usableRange } from './pv-kernel.js';
import { hex } from './xen-params.js';

const PAGE = BigInt(PAGE_BYTES);
/** Rule 7: padding after the last element. */
const PAD_PAGES = (512 * 1024) / PAGE_BYTES;
/** Rule 2: the mapped region ends on such a boundary. */
const ALIGN = 4n << 20n;
const P2M_ENTRY_BYTES = 8;

export interface Area {
  pfn: number;
  pages: number;
}

export interface Layout {
  nrPages: number;
  initrd?: Area & { mapped: boolean };
  /** The list, and behind it the tables that map it when it is not in the initial mapping. */
  p2m: Area & { va: bigint };
  startInfoPfn: number;
  storePfn: number;
  consolePfn: number;
  /** Tables of the initial mapping, as start_info counts them. */
  ptFrames: Area;
  bootStackPfn: number;
  /** What pageTables map. */
  mappings: Mapping[];
  pageTables: PageTables;
}

/**
 * @param nrPages the guest's memory
 * @param initrdBytes 0 for none
 * @throws XennerError EMEMORY_TOO_SMALL, EINITRD_TOO_BIG, EKERNEL_NOT_PV
 */
export function planLayout(kernel: PvKernel, nrPages: number, initrdBytes: number): Layout {
  const initrdPages = Math.ceil(initrdBytes / PAGE_BYTES);
  const p2mPages = Math.ceil((nrPages * P2M_ENTRY_BYTES) / PAGE_BYTES);
  const kernelPages = pagesUpTo(kernel);
  // Before any arithmetic on addresses: the sum bounds them.
  fits(kernelPages + initrdPages + p2mPages, kernelPages, initrdPages, nrPages);

  let next = kernelPages;
  const take = (pages: number): number => {
    next += pages;
    return next - pages;
  };
  const initrd = (mapped: boolean): Area & { mapped: boolean } => ({
    pfn: take(initrdPages),
    pages: initrdPages,
    mapped,
  });

  const mappedInitrd = initrdBytes > 0 && !kernel.unmappedInitrd ? initrd(true) : undefined;
  const mappedP2m = kernel.initP2m === undefined ? take(p2mPages) : undefined;
  const [startInfoPfn, storePfn, consolePfn] = [take(1), take(1), take(1)];
  const { ptFrames, mappedPages } = placePageTables(kernel.virtBase, next);
  const bootStackPfn = ptFrames.pfn + ptFrames.pages;
  const virtEnd = kernel.virtBase + BigInt(mappedPages) * PAGE;
  if (!usableRange(kernel.virtBase, virtEnd)) {
    throw new XennerError(
      'EINITRD_TOO_BIG',
      'the kernel maps its initrd at the start, and there is no room for this one',
    );
  }
  const pageTables = new PageTables();
  pageTables.add(kernel.virtBase, virtEnd, ptFrames.pfn);
  const mappings: Mapping[] = [{ va: kernel.virtBase, pfn: 0, pages: mappedPages }];

  next = mappedPages;
  const unmappedInitrd = initrdBytes > 0 && kernel.unmappedInitrd ? initrd(false) : undefined;
  const placed = mappedInitrd ?? unmappedInitrd;
  const p2m =
    mappedP2m === undefined
      ? placeP2m(kernel, pageTables, mappings, take(p2mPages), p2mPages)
      : { va: kernel.virtBase + BigInt(mappedP2m) * PAGE, pfn: mappedP2m, pages: p2mPages };
  fits(Math.max(next, p2m.pfn + p2m.pages), kernelPages, initrdPages, nrPages);
  return {
    nrPages,
    ...(placed && { initrd: placed }),
    p2m,
    startInfoPfn,
    storePfn,
    consolePfn,
    ptFrames,
    bootStackPfn,
    mappings,
    pageTables,
  };
}

/** Frames below the kernel's end. */
function pagesUpTo(kernel: PvKernel): number {
  const pages = Number((kernel.end - kernel.virtBase + PAGE - 1n) / PAGE);
  // NetBSD takes the word after its end for the size of a symbol table: an empty page says that there is none.
  return kernel.bsdSymtab ? pages + 1 : pages;
}

/**
 * The tables map themselves and must leave room for the stack and the padding. Linux takes the initial mapping away up to
 * the 4 MiB boundary after the tables (xen_pagetable_cleanhighmap); where stack and padding would reach past that
 * boundary, it would leave memory writable and executable, so the tables then start a little later.
 */
function placePageTables(virtBase: bigint, firstPfn: number): { ptFrames: Area; mappedPages: number } {
  let pfn = firstPfn;
  for (;;) {
    const pages = countTables(virtBase, pfn);
    const tablesEnd = virtBase + BigInt(pfn + pages) * PAGE;
    const virtEnd = mappingEnd(virtBase, pfn + pages);
    const cleaned = alignUp(tablesEnd);
    if (cleaned === virtEnd) {
      return { ptFrames: { pfn, pages }, mappedPages: Number((virtEnd - virtBase) / PAGE) };
    }
    pfn += Number((cleaned - tablesEnd) / PAGE) + 1;
  }
}

/** The smallest number of tables that maps what they themselves make necessary. */
function countTables(virtBase: bigint, pfn: number): number {
  const none = new PageTables();
  let pages = 4;
  for (;;) {
    const needed = none.missing(virtBase, mappingEnd(virtBase, pfn + pages));
    if (needed <= pages) return pages;
    pages = needed;
  }
}

function mappingEnd(virtBase: bigint, tablesEndPfn: number): bigint {
  return alignUp(virtBase + BigInt(tablesEndPfn + 1 + PAD_PAGES) * PAGE);
}

function alignUp(va: bigint): bigint {
  return ((va + ALIGN - 1n) / ALIGN) * ALIGN;
}

/** The list at its own address: start_info's first_p2m_pfn and nr_p2m_frames cover its tables too. */
function placeP2m(
  kernel: PvKernel,
  pageTables: PageTables,
  mappings: Mapping[],
  pfn: number,
  pages: number,
): Area & { va: bigint } {
  const va = kernel.initP2m!;
  const end = va + BigInt(pages) * PAGE;
  if (!usableRange(va, end) || end > kernel.virtBase) {
    throw new XennerError(
      'EKERNEL_NOT_PV',
      `the kernel wants its p2m list at ${hex(va)}, where there is no room for it`,
    );
  }
  const tables = pageTables.missing(va, end);
  pageTables.add(va, end, pfn + pages);
  mappings.push({ va, pfn, pages });
  return { va, pfn, pages: pages + tables };
}

function fits(needed: number, kernelPages: number, initrdPages: number, nrPages: number): void {
  if (needed <= nrPages) return;
  const mib = (pages: number): number => Math.ceil((pages * PAGE_BYTES) / 2 ** 20);
  const initrd = initrdPages > 0 ? `, its initrd (${mib(initrdPages)} MiB)` : '';
  throw new XennerError(
    'EMEMORY_TOO_SMALL',
    `the kernel (${mib(kernelPages)} MiB)${initrd} and the first tables need ${mib(needed)} MiB, but the guest has ${mib(nrPages)} MiB`,
    'give it more memory',
  );
}
