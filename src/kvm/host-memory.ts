/** What memory the host has for guests: huge pages by size and by NUMA node, transparent ones, KSM. Read from sysfs. */
import { closeSync, constants, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_NUMA_NODES, MAX_SYSFS_BYTES } from '../base/limits.js';

/** Pages of one size that the administrator set aside (Documentation/admin-guide/mm/hugetlbpage.rst). */
export interface HugepagePool {
  readonly sizeKiB: number;
  readonly total: number;
  /** Of these, `reserved` are promised to somebody who has not touched them yet. Known for the whole host only. */
  readonly free: number;
  readonly reserved?: number;
}

export interface NumaNode {
  readonly node: number;
  readonly totalKiB: number;
  readonly freeKiB: number;
  readonly hugepages: readonly HugepagePool[];
}

const THP_MODES = ['always', 'madvise', 'never'] as const;

/** Documentation/admin-guide/mm/ksm.rst. */
export interface Ksm {
  /** `unmerging`: it stopped, and took apart what it had merged. */
  readonly state: 'off' | 'on' | 'unmerging';
  /** Pages that stand for several, and how many more they stand for: what is saved. */
  readonly pagesShared: number;
  readonly pagesSharing: number;
}

export interface HostMemory {
  /** Smallest first. */
  readonly hugepages: readonly HugepagePool[];
  /** null: the kernel has none. */
  readonly transparentHugepages: (typeof THP_MODES)[number] | null;
  readonly ksm: Ksm | null;
  readonly nodes: readonly NumaNode[];
}

export const SYSFS = '/sys';
const MM = 'kernel/mm';
const NODES = 'devices/system/node';
export const THP_ENABLED = `${MM}/transparent_hugepage/enabled`;
const KSM_STATES = ['off', 'on', 'unmerging'] as const;

/** Where a size's pool is in sysfs: the host's, or one node's. */
export function poolDirectory(sizeKiB: number, node?: number): string {
  return `${node === undefined ? MM : `${NODES}/node${node}`}/hugepages/hugepages-${sizeKiB}kB`;
}

/** What is missing or makes no sense is left out. */
export function hostMemory(sysfs = SYSFS): HostMemory {
  return {
    hugepages: readPools(join(sysfs, MM, 'hugepages')),
    transparentHugepages: transparentHugepages(sysfs),
    ksm: readKsm(join(sysfs, MM, 'ksm')),
    nodes: numbered(join(sysfs, NODES), /^node(\d{1,4})$/)
      .slice(0, MAX_NUMA_NODES)
      .flatMap((node) => readNode(join(sysfs, NODES, `node${node}`), node)),
  };
}

function readPools(directory: string): HugepagePool[] {
  return numbered(directory, /^hugepages-(\d{1,9})kB$/).flatMap((sizeKiB) => {
    const pool = join(directory, `hugepages-${sizeKiB}kB`);
    const total = readCount(join(pool, 'nr_hugepages'));
    const free = readCount(join(pool, 'free_hugepages'));
    if (sizeKiB === 0 || total === undefined || free === undefined) return [];
    const reserved = readCount(join(pool, 'resv_hugepages'));
    return [{ sizeKiB, total, free, ...(reserved !== undefined && { reserved }) }];
  });
}

/** `always [madvise] never` */
export function transparentHugepages(sysfs = SYSFS): HostMemory['transparentHugepages'] {
  const chosen = /\[(\w+)\]/.exec(readText(join(sysfs, THP_ENABLED)) ?? '')?.[1];
  return THP_MODES.find((mode) => mode === chosen) ?? null;
}

function readKsm(directory: string): Ksm | null {
  const state = KSM_STATES[readCount(join(directory, 'run')) ?? -1];
  if (state === undefined) return null;
  return {
    state,
    pagesShared: readCount(join(directory, 'pages_shared')) ?? 0,
    pagesSharing: readCount(join(directory, 'pages_sharing')) ?? 0,
  };
}

function readNode(directory: string, node: number): NumaNode[] {
  const text = readText(join(directory, 'meminfo')) ?? '';
  const field = (name: string) =>
    count(new RegExp(`^Node ${node} ${name}: +(\\d+) kB$`, 'm').exec(text)?.[1]);
  const [totalKiB, freeKiB] = [field('MemTotal'), field('MemFree')];
  if (totalKiB === undefined || freeKiB === undefined) return [];
  return [{ node, totalKiB, freeKiB, hugepages: readPools(join(directory, 'hugepages')) }];
}

/** The numbers in the names of a folder's entries that match, in order. */
function numbered(directory: string, pattern: RegExp): number[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  return names.flatMap((name) => count(pattern.exec(name)?.[1]) ?? []).sort((a, b) => a - b);
}

function readCount(file: string): number | undefined {
  return count(readText(file)?.trim());
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The beginning of a file; undefined if it cannot be read. Never waits. */
function readText(file: string): string | undefined {
  try {
    const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const bytes = Buffer.alloc(MAX_SYSFS_BYTES);
      return bytes.toString('latin1', 0, readSync(fd, bytes));
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}
