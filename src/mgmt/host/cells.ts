/** The host's memory by NUMA cell, which is libvirt's name for a node. Sizes are in KiB, and pages. */
import { hostNumber } from '../../base/host-files.js';
import { MAX_NUMA_NODES } from '../../base/limits.js';
import { type HugepagePool, hostMemory } from '../../kvm/index.js';
import { cpuMap } from './cpus.js';
import { HostError } from './errors.js';
import { type HostFiles, THIS_HOST } from './host-files.js';

export interface CellPages {
  readonly sizeKiB: number;
  readonly total: number;
  readonly free: number;
}

export interface Cell {
  readonly id: number;
  readonly memoryKiB: number;
  readonly freeKiB: number;
  /** Online ones. */
  readonly cpus: readonly number[];
  /** To each cell, by ACPI's SLIT: 10 is its own. None where the host has one memory for all. */
  readonly distances: readonly { readonly cell: number; readonly value: number }[];
  /** Smallest first: small pages, without those that the pools of huge ones have; and the pools. */
  readonly pages: readonly CellPages[];
}

/** KiB. */
export interface MemoryStats {
  readonly total: number;
  readonly free: number;
  /** Of the whole host only. */
  readonly buffers?: number;
  readonly cached?: number;
}

const NODES = 'sys/devices/system/node';
/** Linux has no others on x86-64. */
export const SMALL_PAGE_KIB = 4;

/** A host whose kernel knows no nodes is one cell, as libvirt has it. Otherwise their memory is what /proc/meminfo has, or less. */
export function cells(host: HostFiles = THIS_HOST): Cell[] {
  const { nodes, hugepages } = hostMemory(host.path('sys'));
  if (nodes.length === 0) {
    const { total, free } = memoryStats(undefined, host);
    const pages = pagesOf(total, free, hugepages);
    return [{ id: 0, memoryKiB: total, freeKiB: free, cpus: cpuMap(host).online, distances: [], pages }];
  }
  const online = new Set(cpuMap(host).online);
  return nodes.map(({ node, totalKiB, freeKiB, hugepages }) => {
    const cpus = (host.list(`${NODES}/node${node}/cpulist`) ?? []).filter((cpu) => online.has(cpu));
    const values = (host.text(`${NODES}/node${node}/distance`) ?? '').split(/\s+/, MAX_NUMA_NODES);
    const distances = nodes.flatMap(({ node: other }, i) => {
      const value = hostNumber(values[i]) ?? 0;
      return value === 0 ? [] : [{ cell: other, value }];
    });
    const pages = pagesOf(totalKiB, freeKiB, hugepages);
    return { id: node, memoryKiB: totalKiB, freeKiB, cpus, distances, pages };
  });
}

function pagesOf(totalKiB: number, freeKiB: number, pools: readonly HugepagePool[]): CellPages[] {
  const inPools = pools.reduce((sum, { sizeKiB, total }) => sum + sizeKiB * total, 0);
  const small = {
    sizeKiB: SMALL_PAGE_KIB,
    total: Math.floor(Math.max(0, totalKiB - inPools) / SMALL_PAGE_KIB),
    free: Math.floor(freeKiB / SMALL_PAGE_KIB),
  };
  return [small, ...pools.map(({ sizeKiB, total, free }) => ({ sizeKiB, total, free }))];
}

/** @throws HostError VIR_ERR_INTERNAL_ERROR: there is none of that number */
export function cell(id: number, host: HostFiles = THIS_HOST): Cell {
  const all = cells(host);
  const found = all.find((each) => each.id === id);
  if (found !== undefined) return found;
  const highest = all.at(-1)?.id ?? 0;
  throw new HostError(
    'VIR_ERR_INTERNAL_ERROR',
    id > highest ? `start cell ${id} out of range (0-${highest})` : `NUMA node ${id} is not available`,
  );
}

/** @throws HostError VIR_ERR_OPERATION_FAILED: no page of this cell has that size */
export function pagesOfSize({ id, pages }: Cell, sizeKiB: number): CellPages {
  const found = pages.find((each) => each.sizeKiB === sizeKiB);
  if (found !== undefined) return found;
  throw new HostError('VIR_ERR_OPERATION_FAILED', `page size ${sizeKiB} is not available on node ${id}`);
}

/**
 * @param id of a cell; undefined: of the host
 * @throws HostError VIR_ERR_INTERNAL_ERROR
 */
export function memoryStats(id: number | undefined, host: HostFiles = THIS_HOST): MemoryStats {
  if (id !== undefined) {
    const { memoryKiB, freeKiB } = cell(id, host);
    return { total: memoryKiB, free: freeKiB };
  }
  const text = host.long('proc/meminfo') ?? '';
  const field = (name: string) => hostNumber(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)?.[1]);
  const [total, free] = [field('MemTotal'), field('MemFree')];
  if (total === undefined || free === undefined)
    throw new HostError('VIR_ERR_INTERNAL_ERROR', 'the kernel does not tell how much memory there is');
  return { total, free, buffers: field('Buffers') ?? 0, cached: field('Cached') ?? 0 };
}

/** What can be had without swapping, by the kernel's own estimate (MemAvailable of proc_meminfo(5)). */
export function availableKiB(host: HostFiles = THIS_HOST): number {
  return hostNumber(/^MemAvailable: +(\d+) kB$/m.exec(host.long('proc/meminfo') ?? '')?.[1]) ?? 0;
}
