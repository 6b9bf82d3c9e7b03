/** The guest's initial page tables: which frames they take, and their entries. Four levels, 4 KiB pages only. */
import { type Gpa, type GuestMemory, gpa } from '../../kvm/guest-memory.js';

export const PAGE_BYTES = 4096;

export type Level = 1 | 2 | 3 | 4;

export interface PageTable {
  level: Level;
  pfn: number;
}

/** `pages` frames from `pfn` on, mapped from `va` on. */
export interface Mapping {
  va: bigint;
  pfn: number;
  pages: number;
}

interface PlacedTable extends PageTable {
  /** Which table of its level: the address bits above what it maps. */
  index: number;
}

const ENTRIES = 512;
const ENTRY_BYTES = 8;
const LEVELS: readonly Level[] = [4, 3, 2, 1];

const _PAGE_PRESENT = 0x001;
const _PAGE_RW = 0x002;
const _PAGE_USER = 0x004;
const _PAGE_ACCESSED = 0x020;
const _PAGE_DIRTY = 0x040;

/** As xc_dom_x86.c has them (lvl_prot): the kernel's own pages are not for user mode. */
const L1_PROT = _PAGE_PRESENT | _PAGE_RW | _PAGE_ACCESSED;
const UPPER_PROT = _PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_ACCESSED | _PAGE_DIRTY;

export class PageTables {
  private readonly byLevel: Record<Level, Map<number, PlacedTable>> = {
    1: new Map(),
    2: new Map(),
    3: new Map(),
    4: new Map(),
  };

  /** How many frames mapping [from, to) would take, beyond what is here. Both page-aligned and in one canonical half. */
  missing(from: bigint, to: bigint): number {
    let count = 0;
    for (const level of LEVELS)
      forEachIndex(level, from, to, (index) => this.byLevel[level].has(index) || count++);
    return count;
  }

  /** Places the missing tables in frames from `pfn` on: the L4 first, then level by level, as Xen does. */
  add(from: bigint, to: bigint, pfn: number): void {
    let next = pfn;
    for (const level of LEVELS) {
      forEachIndex(level, from, to, (index) => {
        if (!this.byLevel[level].has(index)) this.byLevel[level].set(index, { level, index, pfn: next++ });
      });
    }
  }

  /** Every table, the L4 first. */
  list(): PageTable[] {
    return LEVELS.flatMap((level) => [...this.byLevel[level].values()]).map(({ level, pfn }) => ({
      level,
      pfn,
    }));
  }

  /** Writes all tables. Frames in `readOnly` are mapped without _PAGE_RW: Xen lets no guest write page tables. */
  write(memory: GuestMemory, mappings: Mapping[], readOnly: { pfn: number; pages: number }): void {
    for (const level of [3, 2, 1] as const) {
      for (const table of this.byLevel[level].values()) {
        const parent = this.byLevel[(level + 1) as Level].get(Math.floor(table.index / ENTRIES))!;
        const slot = table.index % ENTRIES;
        memory.writeU64(slotGpa(parent, slot), entry(table.pfn, UPPER_PROT));
      }
    }
    for (const mapping of mappings) {
      this.writeLeaves(memory, mapping, L1_PROT & ~_PAGE_RW);
      for (const part of without(mapping, readOnly)) this.writeLeaves(memory, part, L1_PROT);
    }
  }

  private writeLeaves(memory: GuestMemory, mapping: Mapping, prot: number): void {
    const end = mapping.pfn + mapping.pages;
    const toPage = pageNumber(mapping.va) - mapping.pfn;
    for (let pfn = mapping.pfn; pfn < end; ) {
      const slot = (toPage + pfn) % ENTRIES;
      const count = Math.min(ENTRIES - slot, end - pfn);
      const table = this.byLevel[1].get(Math.floor((toPage + pfn) / ENTRIES))!;
      memory.fillEntries(slotGpa(table, slot), count, entry(pfn, prot), BigInt(PAGE_BYTES));
      pfn += count;
    }
  }
}

/** The parts of a mapping whose frames are not in `hole`. */
export function without({ va, pfn, pages }: Mapping, hole: { pfn: number; pages: number }): Mapping[] {
  const end = pfn + pages;
  const ends = [
    [pfn, Math.min(end, hole.pfn)],
    [Math.max(pfn, hole.pfn + hole.pages), end],
  ] as const;
  return ends
    .filter(([from, to]) => from < to)
    .map(([from, to]) => ({ va: va + BigInt((from - pfn) * PAGE_BYTES), pfn: from, pages: to - from }));
}

export function pageGpa(pfn: number): Gpa {
  return gpa(pfn * PAGE_BYTES);
}

function slotGpa({ pfn }: PageTable, slot: number): Gpa {
  return gpa(pfn * PAGE_BYTES + slot * ENTRY_BYTES);
}

function entry(pfn: number, flags: number): bigint {
  return BigInt(pfn * PAGE_BYTES + flags);
}

/** Bits 47:12 of an address. */
function pageNumber(va: bigint): number {
  return Number(BigInt.asUintN(48, va) >> 12n);
}

function forEachIndex(level: Level, from: bigint, to: bigint, visit: (index: number) => void): void {
  const pages = ENTRIES ** level;
  const last = Math.floor(pageNumber(to - 1n) / pages);
  for (let index = Math.floor(pageNumber(from) / pages); index <= last; index++) visit(index);
}
