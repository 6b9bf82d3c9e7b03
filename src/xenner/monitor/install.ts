/** Puts the monitor, its tables and the hole's page tables into a fresh guest. */
import { type Gpa, type GuestMemory, gpa } from '../../kvm/index.js';
import { GDT_PAGES, PAGE, RESERVED_GDT_PAGE, type XenFrames } from './frames.js';
import type { MonitorImage } from './image.js';
import * as area from './vcpu-area.js';

const PRESENT = 1n;
const RW = 2n;
const ACCESSED_DIRTY = 0x60n;
const LARGE = 0x80n;
const GLOBAL = 0x100n;
const NX = 1n << 63n;
const TABLE = PRESENT | RW | ACCESSED_DIRTY;
const ENTRIES = 512;
const TSS_LIMIT = 0x67;
const VECTORS = 256;
/** Vectors that `int n` reaches directly: int3, into, int 0x80. Others arrive as #GP, which the monitor sorts out. */
const USER_VECTORS: ReadonlySet<number> = new Set([3, 4, area.INT80_VECTOR]);
/**
 * NMI, #DF and #MC have a stack of their own: they may come when the other cannot be used. #DB has another, and interrupts,
 * in which a #DB may come.
 */
const IST: ReadonlyMap<number, bigint> = new Map([
  [1, 2n],
  [2, 1n],
  [8, 1n],
  [18, 1n],
]);
const IST_OF_INTERRUPTS = 3n;

function stackOf(vector: number): bigint {
  const interrupt = vector >= area.FIRST_INTERRUPT && vector !== area.INT80_VECTOR;
  return interrupt ? IST_OF_INTERRUPTS : (IST.get(vector) ?? 0n);
}

export interface HoleEntries {
  readonly xen: bigint;
  readonly direct: bigint;
}

function entry(address: number, flags: bigint): bigint {
  return BigInt(address) | flags;
}

/** What stands in the two L4 slots of every guest L4. */
export function holeEntries(frames: XenFrames): HoleEntries {
  return { xen: entry(frames.xenL3, TABLE), direct: entry(frames.directL3, TABLE) };
}

/** Fills the hole's tables. */
export function mapHole(memory: GuestMemory, frames: XenFrames): void {
  const put = (table: Gpa, index: number, value: bigint) => memory.writeU64(gpa(table + index * 8), value);
  const putTables = (l2: Gpa, tables: readonly Gpa[]) => {
    for (const [i, table] of tables.entries()) put(l2, i, entry(table, TABLE));
  };
  // Tables of one kind lie one behind the other.
  const putPages = (table: Gpa, from: number, first: Gpa, to: number, flags: bigint) => {
    const value = entry(first + from * PAGE, flags);
    memory.fillEntries(gpa(table + from * 8), to - from, value, BigInt(PAGE));
  };
  const [m2pL2, gdtL2, monitorL2] = frames.xenL2;
  for (const [i, l2] of frames.xenL2.entries()) put(frames.xenL3, i, entry(l2, TABLE));
  putTables(m2pL2, frames.m2pL1);
  putPages(frames.m2pL1[0]!, 0, frames.m2p, frames.m2pPages, PRESENT | ACCESSED_DIRTY | NX);
  put(gdtL2, 0, entry(frames.gdtL1, TABLE));
  put(gdtL2, 1, entry(frames.ldtL1, TABLE)); // LDT_VA: pages come when a selector is first loaded
  const textPages = area.MONITOR_TEXT_MAX / PAGE;
  const [monitorL1] = frames.monitorL1;
  putTables(monitorL2, frames.monitorL1);
  putPages(monitorL1!, 0, frames.monitor, textPages, PRESENT | ACCESSED_DIRTY | GLOBAL);
  putPages(monitorL1!, textPages, frames.monitor, frames.monitorPages, TABLE | GLOBAL);
  putTables(frames.directL3, frames.directL2);
  const largePages = frames.totalPages / ENTRIES;
  memory.fillEntries(frames.directL2[0]!, largePages, TABLE | LARGE | GLOBAL | NX, BigInt(ENTRIES * PAGE));
}

/** An 8-byte code or data descriptor, flat. */
function flat(access: number, flags: number): bigint {
  return 0xffffn | (BigInt(access) << 40n) | (BigInt((flags << 4) | 0xf) << 48n);
}

const LONG_CODE = 0xa;
const CODE_OR_DATA_32 = 0xc;

/** Xen's reserved GDT page: its flat selectors (public/arch-x86/xen-x86_64.h) and the monitor's own. */
function writeGdt(memory: GuestMemory, page: Gpa, tss: bigint): void {
  const put = (selector: number, value: bigint) => memory.writeU64(gpa(page + (selector & 0xff8)), value);
  put(0xe019, flat(0xbb, CODE_OR_DATA_32)); // FLAT_RING1_CS
  put(area.SEL_USER_CS32, flat(0xfb, CODE_OR_DATA_32));
  put(area.SEL_USER_DS, flat(0xf3, CODE_OR_DATA_32));
  put(area.SEL_USER_CS64, flat(0xfb, LONG_CODE));
  const low =
    BigInt(TSS_LIMIT) | ((tss & 0xffffffn) << 16n) | (0x8bn << 40n) | (((tss >> 24n) & 0xffn) << 56n);
  put(area.SEL_TSS, low);
  put(area.SEL_TSS + 8, tss >> 32n);
  put(area.SEL_MONITOR_CS, flat(0x9b, LONG_CODE));
  put(area.SEL_MONITOR_SS, flat(0x93, CODE_OR_DATA_32));
  put(area.SEL_KERNEL_CS, flat(0xbb, LONG_CODE));
  put(area.SEL_KERNEL_SS, flat(0xb3, CODE_OR_DATA_32));
}

function writeIdt(memory: GuestMemory, idt: Gpa, image: MonitorImage): void {
  for (let vector = 0; vector < VECTORS; vector++) {
    const handler = image.vectorEntry(vector);
    const dpl = USER_VECTORS.has(vector) ? 3n : 0n;
    const ist = stackOf(vector);
    const low =
      (handler & 0xffffn) |
      (BigInt(area.SEL_MONITOR_CS) << 16n) |
      (ist << 32n) |
      ((0x8e00n | (dpl << 13n)) << 32n) |
      (((handler >> 16n) & 0xffffn) << 48n);
    memory.writeU64(gpa(idt + vector * 16), low);
    memory.writeU64(gpa(idt + vector * 16 + 8), handler >> 32n);
  }
}

/** TSS, GDT and syscall stub of one vCPU. */
function installBlock(memory: GuestMemory, frames: XenFrames, image: MonitorImage, vcpu: number): void {
  const offset = area.blockOffset(vcpu);
  const block = gpa(frames.monitor + offset);
  const va = area.MONITOR_VA + BigInt(offset);
  const tss = gpa(block + area.BLOCK_TSS);
  memory.writeU64(gpa(tss + 4), va + BigInt(area.BLOCK_STACK_TOP)); // RSP0
  memory.writeU64(gpa(tss + 36), va + BigInt(area.BLOCK_IST_TOP)); // IST1
  memory.writeU64(gpa(tss + 44), va + BigInt(area.BLOCK_DEBUG_TOP)); // IST2
  memory.writeU64(gpa(tss + 52), va + BigInt(area.BLOCK_INTERRUPT_TOP)); // IST3
  memory.writeU16(gpa(tss + 102), TSS_LIMIT + 1); // no I/O bitmap: no port for rings 1 to 3
  memory.copyIn(gpa(block + area.BLOCK_STUB), image.stub);
  writeGdt(memory, frames.xenGdt[vcpu]!, va + BigInt(area.BLOCK_TSS));
  for (let page = 0; page < GDT_PAGES; page++) {
    const frame = page === RESERVED_GDT_PAGE ? frames.xenGdt[vcpu]! : frames.zero;
    memory.writeU64(gpa(frames.gdtL1 + (vcpu * GDT_PAGES + page) * 8), entry(frame, TABLE));
  }
}

/** Copies the monitor and prepares the blocks of `nrVcpus` vCPUs. */
export function installMonitor(
  memory: GuestMemory,
  frames: XenFrames,
  image: MonitorImage,
  nrVcpus: number,
): void {
  memory.copyIn(frames.monitor, image.bytes);
  writeIdt(memory, gpa(frames.monitor + area.IDT_OFFSET), image);
  for (let vcpu = 0; vcpu < nrVcpus; vcpu++) installBlock(memory, frames, image, vcpu);
}
