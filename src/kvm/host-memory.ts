/** What memory the host has for guests: huge pages by size and by NUMA node, transparent ones, KSM. Read from sysfs. */
import { join } from 'node:path';
import { hostNumber, numberedEntries, readHostFile, readHostNumber } from '../base/host-files.js';
import { MAX_NUMA_NODES } from '../base/limits.js';

/** Pages of one size that the administrator set aside (Documentation/admin-guide/mm/hugetlbpage.rst). */
export interface HugepagePool {
  readonly sizeKiB: number;
  readonly total: number;
  /** Of these, `reserved` are promised to somebody who has not touched them yet. Known for the whole host only. */
  readonly free: number;
  readonly reserved?: number;
  /** Of the total, those that the kernel took beyond what was set aside, for as long as they are used. */
  readonly surplus?: number;
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
    nodes: numberedEntries(join(sysfs, NODES), /^node(\d{1,4})$/)
      .slice(0, MAX_NUMA_NODES)
      .flatMap((node) => readNode(join(sysfs, NODES, `node${node}`), node)),
  };
}

function readPools(directory: string): HugepagePool[] {
  return numberedEntries(directory, /^hugepages-(\d{1,9})kB$/).flatMap((sizeKiB) => {
    const pool = join(directory, `hugepages-${sizeKiB}kB`);
    const total = readHostNumber(join(pool, 'nr_hugepages'));
    const free = readHostNumber(join(pool, 'free_hugepages'));
    if (sizeKiB === 0 || total === undefined || free === undefined) return [];
    const reserved = readHostNumber(join(pool, 'resv_hugepages'));
    const surplus = readHostNumber(join(pool, 'surplus_hugepages'));
    return [
      {
        sizeKiB,
        total,
        free,
        ...(reserved !== undefined && { reserved }),
        ...(surplus !== undefined && { surplus }),
      },
    ];
  });
}

/** `always [madvise] never` */
export function transparentHugepages(sysfs = SYSFS): HostMemory['transparentHugepages'] {
  const chosen = /\[(\w+)\]/.exec(readHostFile(join(sysfs, THP_ENABLED)) ?? '')?.[1];
  return THP_MODES.find((mode) => mode === chosen) ?? null;
}

function readKsm(directory: string): Ksm | null {
  const state = KSM_STATES[readHostNumber(join(directory, 'run')) ?? -1];
  if (state === undefined) return null;
  return {
    state,
    pagesShared: readHostNumber(join(directory, 'pages_shared')) ?? 0,
    pagesSharing: readHostNumber(join(directory, 'pages_sharing')) ?? 0,
  };
}

function readNode(directory: string, node: number): NumaNode[] {
  const text = readHostFile(join(directory, 'meminfo')) ?? '';
  const field = (name: string) =>
    hostNumber(new RegExp(`^Node ${node} ${name}: +(\\d+) kB$`, 'm').exec(text)?.[1]);
  const [totalKiB, freeKiB] = [field('MemTotal'), field('MemFree')];
  if (totalKiB === undefined || freeKiB === undefined) return [];
  return [{ node, totalKiB, freeKiB, hugepages: readPools(join(directory, 'hugepages')) }];
}
