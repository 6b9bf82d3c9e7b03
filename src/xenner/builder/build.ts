/** Puts a kernel and everything it expects at its start into empty guest memory. */
import { type Gpa, type GuestMemory, gpa } from '../../kvm/guest-memory.js';
import { SIF_MOD_START_PFN, start_info } from '../abi/xen.js';
import { PT_LOAD } from './elf.js';
import type { Features } from './features.js';
import { checkCmdline } from './guest-options.js';
import { hypercallPage } from './hypercall-page.js';
import type { ImageSource } from './image-source.js';
import type { KernelImage } from './kernel-image.js';
import { type Area, type Layout, planLayout } from './layout.js';
import { type Mapping, PAGE_BYTES, type PageTable, pageGpa, without } from './page-tables.js';

export interface BuildOptions {
  /** Frames 0 to nrPages - 1 are the guest's. */
  nrPages: number;
  cmdline: string;
  initrd?: ImageSource;
  /** Where the domain keeps struct shared_info. */
  sharedInfo: Gpa;
  storeEvtchn: number;
  consoleEvtchn: number;
  /** start_info's, and SIF_* beside what the image needs. */
  magic: string;
  flags: number;
}

/** Guest-virtual and guest-physical address of the same byte. */
export interface Placed {
  va: bigint;
  gpa: Gpa;
}

/** What the domain needs to start vCPU 0 and to account for the frames. MFN and pfn are the same number. */
export interface StartOfDay {
  nrPages: number;
  entry: bigint;
  /** rsp at the start: the end of the boot stack. */
  stack: bigint;
  /** rsi at the start. */
  startInfo: Placed;
  /** The L4, for CR3. Its slots 256 to 271 are empty: Xen's. */
  ptBase: Placed;
  /** Tables of the initial mapping; pageTables may list more, which map the p2m list elsewhere. */
  nrPtFrames: number;
  /** Every page-table frame, the L4 first. All of them are mapped read-only or not at all. */
  pageTables: PageTable[];
  /** What they map writable, no frame twice. */
  writable: Mapping[];
  storePfn: number;
  consolePfn: number;
  p2m: Area & { va: bigint };
  initrd?: Area;
  /** Absent: the kernel issues syscalls itself. */
  hypercallPage?: Placed;
  features: Features;
}

/**
 * @param memory all zero; at least options.nrPages pages
 * @throws XennerError ECMDLINE, EMEMORY_TOO_SMALL, EINITRD_TOO_BIG, EKERNEL_NOT_PV, EIMAGE_DAMAGED
 */
export function buildGuest(memory: GuestMemory, kernel: KernelImage, options: BuildOptions): StartOfDay {
  checkCmdline(options.cmdline);
  const { pv } = kernel;
  const layout = planLayout(pv, options.nrPages, options.initrd?.size ?? 0);
  loadKernel(memory, kernel);
  if (layout.initrd && options.initrd) {
    options.initrd.load(0, options.initrd.size, memory, pageGpa(layout.initrd.pfn));
  }
  // p2m[pfn] = pfn
  memory.fillEntries(pageGpa(layout.p2m.pfn), layout.nrPages, 0n, 1n);
  layout.pageTables.write(memory, layout.mappings, layout.ptFrames);
  const placed = (pfn: number): Placed => ({ va: pv.virtBase + BigInt(pfn * PAGE_BYTES), gpa: pageGpa(pfn) });
  const startInfo = placed(layout.startInfoPfn);
  writeStartInfo(memory, layout, placed, options);
  return {
    nrPages: layout.nrPages,
    entry: pv.entry,
    stack: placed(layout.bootStackPfn + 1).va,
    startInfo,
    ptBase: placed(layout.ptFrames.pfn),
    nrPtFrames: layout.ptFrames.pages,
    pageTables: layout.pageTables.list(),
    writable: layout.mappings.flatMap((mapping) => without(mapping, layout.ptFrames)),
    storePfn: layout.storePfn,
    consolePfn: layout.consolePfn,
    p2m: layout.p2m,
    ...(layout.initrd && { initrd: { pfn: layout.initrd.pfn, pages: layout.initrd.pages } }),
    ...writeHypercallPage(memory, kernel),
    features: kernel.params.features,
  };
}

function loadKernel(memory: GuestMemory, { source, elf, pv }: KernelImage): void {
  for (const segment of elf.segments) {
    if (segment.type !== PT_LOAD) continue;
    const address = gpa(Number(segment.paddr - pv.paddrOffset));
    source.load(segment.offset, segment.length, memory, address);
  }
}

function writeHypercallPage(memory: GuestMemory, { pv }: KernelImage): { hypercallPage?: Placed } {
  if (pv.hypercallPage === undefined) return {};
  const placed = { va: pv.hypercallPage, gpa: gpa(Number(pv.hypercallPage - pv.virtBase)) };
  memory.bytes(placed.gpa, PAGE_BYTES).set(hypercallPage());
  return { hypercallPage: placed };
}

function writeStartInfo(
  memory: GuestMemory,
  layout: Layout,
  placed: (pfn: number) => Placed,
  options: BuildOptions,
): void {
  const { initrd, p2m, ptFrames } = layout;
  const modStart = initrd === undefined ? 0n : initrd.mapped ? placed(initrd.pfn).va : BigInt(initrd.pfn);
  start_info.encode(
    {
      magic: options.magic,
      nr_pages: BigInt(layout.nrPages),
      shared_info: BigInt(options.sharedInfo),
      flags: options.flags | (initrd && !initrd.mapped ? SIF_MOD_START_PFN : 0),
      store_mfn: BigInt(layout.storePfn),
      store_evtchn: options.storeEvtchn,
      console: { domU: { mfn: BigInt(layout.consolePfn), evtchn: options.consoleEvtchn } },
      pt_base: placed(ptFrames.pfn).va,
      nr_pt_frames: BigInt(ptFrames.pages),
      mfn_list: p2m.va,
      mod_start: modStart,
      mod_len: BigInt(options.initrd?.size ?? 0),
      cmd_line: options.cmdline,
      first_p2m_pfn: BigInt(p2m.pfn),
      nr_p2m_frames: BigInt(p2m.pages),
    },
    memory.bytes(pageGpa(layout.startInfoPfn), PAGE_BYTES),
  );
}
