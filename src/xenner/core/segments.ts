/** What a guest's kernel has mapped where, for a debugger that knows linear addresses only: read from its page tables. */
import { MAX_CORE_SEGMENTS, MAX_CORE_TABLES } from '../../base/limits.js';
import { type GuestMemory, gpa } from '../../kvm/index.js';
import { HOLE_FIRST_SLOT, HOLE_LAST_SLOT } from '../monitor/vcpu-area.js';

const PAGE = 4096;
const ENTRIES = 512;
const PAGE_PRESENT = 1;
const PAGE_RW = 2;
/** In the entry's upper half. */
const PAGE_NX = 0x8000_0000;
const MFN_HIGH_MASK = 0xfffff;
const MFN_LOW_BITS = 12;
const MFN_HIGH = 2 ** 20;
const TOP_LEVEL = 4;
/** Of linear page numbers, which have 36 bits: from here on addresses are negative. */
const UPPER_HALF = 2 ** 35;

/** Linear pages one after the other, on frames one after the other. */
export interface Segment {
  /** Linear address / 4096, of 36 bits. */
  readonly page: number;
  readonly mfn: number;
  count: number;
  readonly isWritable: boolean;
  readonly isExecutable: boolean;
}

export function linearAddress(page: number): bigint {
  return BigInt.asUintN(64, BigInt(page >= UPPER_HALF ? page - 2 * UPPER_HALF : page) * BigInt(PAGE));
}

class Walk {
  readonly segments: Segment[] = [];
  #tables = 0;

  constructor(
    private readonly memory: GuestMemory,
    private readonly nrPages: number,
  ) {}

  /**
   * A guest can map tables into themselves, and its memory as often as it likes: that ends somewhere. Linux fills its espfix area
   * with entries that are all the same (arch/x86/kernel/espfix_64.c): one of them says it.
   */
  table(mfn: number, level: number, firstPage: number, rights: number): void {
    if (mfn >= this.nrPages || ++this.#tables > MAX_CORE_TABLES) return;
    const bytes = this.memory.copyOut(gpa(mfn * PAGE), PAGE);
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, 2 * ENTRIES);
    const span = ENTRIES ** (level - 1);
    for (let slot = 0; slot < ENTRIES; slot++) {
      const [low, high] = [words[2 * slot]!, words[2 * slot + 1]!];
      if ((low & PAGE_PRESENT) === 0) continue;
      if (level > 1 && slot > 0 && low === words[2 * slot - 2] && high === words[2 * slot - 1]) continue;
      if (level === TOP_LEVEL && slot >= HOLE_FIRST_SLOT && slot <= HOLE_LAST_SLOT) continue;
      const frame = (low >>> MFN_LOW_BITS) + (high & MFN_HIGH_MASK) * MFN_HIGH;
      const allowed = rights & ((low & PAGE_RW) | ((high & PAGE_NX) === 0 ? PAGE_PRESENT : 0));
      if (level > 1) this.table(frame, level - 1, firstPage + slot * span, allowed);
      else this.#page(firstPage + slot, frame, allowed);
    }
  }

  #page(page: number, mfn: number, rights: number): void {
    if (mfn >= this.nrPages) return;
    const isWritable = (rights & PAGE_RW) !== 0;
    const isExecutable = (rights & PAGE_PRESENT) !== 0;
    const last = this.segments.at(-1);
    if (
      last !== undefined &&
      last.page + last.count === page &&
      last.mfn + last.count === mfn &&
      last.isWritable === isWritable &&
      last.isExecutable === isExecutable
    )
      last.count++;
    else if (this.segments.length < MAX_CORE_SEGMENTS)
      this.segments.push({ page, mfn, count: 1, isWritable, isExecutable });
  }
}

/** In the order of their addresses. @param cr3 of a vCPU; what is not the guest's own memory is left out */
export function segmentsOf(memory: GuestMemory, nrPages: number, cr3: bigint): Segment[] {
  const walk = new Walk(memory, nrPages);
  walk.table(Number(cr3 / BigInt(PAGE)), TOP_LEVEL, 0, PAGE_RW | PAGE_PRESENT);
  return walk.segments;
}
