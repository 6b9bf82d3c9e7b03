/** What guest memory is made of on the host: small or huge pages, mergeable or not, of which NUMA node. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { XennerError } from '../base/errors.js';
import { loadAddon, type NativeGuestMemory } from './addon.js';

export interface GuestMemoryOptions {
  /**
   * `2M`, `1G`: from the pool that the administrator set aside, all or nothing. `thp`: private memory for which the host makes
   * huge pages where it can.
   */
  hugepages?: '2M' | '1G' | 'thp';
  /**
   * Lets the host's KSM merge equal pages of all such guests. It looks at private anonymous pages only, so that memory is not
   * a memfd then, and never hugetlb. Nothing is merged until /sys/kernel/mm/ksm/run is 1.
   */
  mergeable?: boolean;
  /** All pages from this node; without it, wherever the host likes. */
  numaNode?: number;
}

const PAGE_SHIFT = { '2M': 21, '1G': 30 } as const;
const MM = '/sys/kernel/mm';
const NODES = '/sys/devices/system/node';

function hugepageFailure(size: '2M' | '1G', bytes: number, cause: unknown): XennerError {
  const pageBytes = 2 ** PAGE_SHIFT[size];
  const pool = `${MM}/hugepages/hugepages-${pageBytes / 1024}kB`;
  if (!existsSync(pool)) {
    return new XennerError('ENOHUGEPAGES', `this host has no pages of ${size}`, undefined, { cause });
  }
  const free = readFileSync(`${pool}/free_hugepages`, 'utf8').trim();
  return new XennerError(
    'ENOHUGEPAGES',
    `${bytes / pageBytes} pages of ${size} are needed, ${free} are free`,
    `write a larger number to ${pool}/nr_hugepages`,
    { cause },
  );
}

function requireTransparentPages(): void {
  const file = `${MM}/transparent_hugepage/enabled`;
  if (!existsSync(file)) throw new XennerError('ENOTHP', 'this host has no transparent huge pages');
  if (readFileSync(file, 'utf8').includes('[never]')) {
    throw new XennerError('ENOTHP', 'transparent huge pages are off', `write madvise to ${file}`);
  }
}

function requireNode(node: number): void {
  if (!Number.isInteger(node) || node < 0 || !existsSync(`${NODES}/node${node}`)) {
    const nodes = existsSync(NODES) ? readdirSync(NODES).filter((name) => /^node\d+$/.test(name)) : [];
    const there = nodes.map((name) => name.slice(4)).join(', ');
    throw new XennerError('ENONODE', `this host has no NUMA node ${node}; it has ${there || 'none'}`);
  }
}

/** @throws XennerError ENOHUGEPAGES, ENOTHP, ENOKSM, ENONODE: the host has none, and what to do */
export function allocateGuestMemory(bytes: number, options: GuestMemoryOptions): NativeGuestMemory {
  const { hugepages, mergeable = false, numaNode } = options;
  const pool = hugepages === '2M' || hugepages === '1G' ? hugepages : undefined;
  if (hugepages !== undefined && pool === undefined && hugepages !== 'thp')
    throw new XennerError('EINVAL', `hugepages must be 2M, 1G or thp, not ${hugepages}`);
  if (pool && mergeable)
    throw new XennerError('EINVAL', 'KSM does not merge hugetlb pages', 'choose one of the two');
  if (hugepages === 'thp') requireTransparentPages();
  if (mergeable && !existsSync(`${MM}/ksm`)) throw new XennerError('ENOKSM', 'this host has no KSM');
  if (numaNode !== undefined) requireNode(numaNode);
  const shift = pool ? PAGE_SHIFT[pool] : 12;
  const node = (numaNode ?? -1) + 1;
  try {
    const { GuestMemory } = loadAddon();
    return new GuestMemory(bytes, shift, hugepages === 'thp' ? 1 : 0, mergeable ? 1 : 0, node);
  } catch (error) {
    // A TypeError is the addon's own: of a wrong argument.
    if (pool && !(error instanceof TypeError)) throw hugepageFailure(pool, bytes, error);
    throw error;
  }
}
