/** What guest memory is made of on the host: small or huge pages, mergeable or not, of which NUMA node. */
import { join } from 'node:path';
import { XennerError } from '../base/errors.js';
import { loadAddon, type NativeGuestMemory } from './addon.js';
import { hostMemory, poolDirectory, SYSFS, THP_ENABLED, transparentHugepages } from './host-memory.js';

export interface GuestMemoryOptions {
  /**
   * `2M`, `1G`: from the pool that the administrator set aside, all or nothing; a last page may be used in part. `thp`: private
   * memory for which the host makes huge pages where it can. `none`: small pages.
   */
  hugepages?: '2M' | '1G' | 'thp' | 'none';
  /**
   * Lets the host's KSM merge equal pages of all such guests. It looks at private anonymous pages only, so that memory is not
   * a memfd then, and never hugetlb. Nothing is merged until /sys/kernel/mm/ksm/run is 1.
   */
  mergeable?: boolean;
  /** All pages from this node; without it, wherever the host likes. */
  numaNode?: number;
}

/** What `hugepages` may be. */
export const HUGEPAGES = ['2M', '1G', 'thp', 'none'] as const;
const PAGE_SHIFT = { '2M': 21, '1G': 30 } as const;

function hugepageFailure(
  size: '2M' | '1G',
  bytes: number,
  node: number | undefined,
  cause: unknown,
): XennerError {
  const pageBytes = 2 ** PAGE_SHIFT[size];
  const sizeKiB = pageBytes / 1024;
  const host = hostMemory();
  const pools =
    node === undefined ? host.hugepages : (host.nodes.find((each) => each.node === node)?.hugepages ?? []);
  const pool = pools.find((each) => each.sizeKiB === sizeKiB);
  const where = node === undefined ? 'this host' : `NUMA node ${node}`;
  if (pool === undefined) {
    return new XennerError('ENOHUGEPAGES', `${where} has no pages of ${size}`, undefined, { cause });
  }
  const nrPages = Math.ceil(bytes / pageBytes);
  const free = pool.free - (pool.reserved ?? 0);
  return new XennerError(
    'ENOHUGEPAGES',
    `${nrPages} pages of ${size} are needed, ${where} has ${free} free`,
    `write a larger number to ${join(SYSFS, poolDirectory(sizeKiB, node), 'nr_hugepages')}`,
    { cause },
  );
}

function requireTransparentPages(): void {
  const mode = transparentHugepages();
  if (mode === null) throw new XennerError('ENOTHP', 'this host has no transparent huge pages');
  if (mode === 'never') {
    throw new XennerError(
      'ENOTHP',
      'transparent huge pages are off',
      `write madvise to ${join(SYSFS, THP_ENABLED)}`,
    );
  }
}

function requireKsm(): void {
  if (hostMemory().ksm === null) throw new XennerError('ENOKSM', 'this host has no KSM');
}

function requireNode(wanted: number): void {
  const nodes = hostMemory().nodes.map(({ node }) => node);
  if (nodes.includes(wanted)) return;
  throw new XennerError(
    'ENONODE',
    `this host has no NUMA node ${wanted}`,
    nodes.length > 0 ? `it has ${nodes.join(', ')}` : 'it has none',
  );
}

/**
 * For a real KVM: transparent pages where the host has them and nothing else was asked for. Each page that the guest touches first
 * costs a fault in the nested tables besides the host's own. KSM is for hosts that have too little memory: small pages, as it
 * takes huge ones apart.
 */
export function backingForKvm(options: GuestMemoryOptions): GuestMemoryOptions {
  if (options.hugepages !== undefined || options.mergeable) return options;
  const mode = transparentHugepages();
  return mode === null || mode === 'never' ? options : { ...options, hugepages: 'thp' };
}

/** @throws XennerError ENOHUGEPAGES, ENOTHP, ENOKSM, ENONODE: the host has none, and what to do */
export function allocateGuestMemory(bytes: number, options: GuestMemoryOptions): NativeGuestMemory {
  const { hugepages, mergeable = false, numaNode } = options;
  const pool = hugepages === '2M' || hugepages === '1G' ? hugepages : undefined;
  if (hugepages !== undefined && !HUGEPAGES.includes(hugepages))
    throw new XennerError('EINVAL', `hugepages must be ${HUGEPAGES.join(', ')}, not ${hugepages}`);
  if (pool && mergeable)
    throw new XennerError('EINVAL', 'KSM does not merge hugetlb pages', 'choose one of the two');
  if (hugepages === 'thp') requireTransparentPages();
  if (mergeable) requireKsm();
  if (numaNode !== undefined) requireNode(numaNode);
  const shift = pool ? PAGE_SHIFT[pool] : 12;
  const node = (numaNode ?? -1) + 1;
  try {
    const { GuestMemory } = loadAddon();
    return new GuestMemory(bytes, shift, hugepages === 'thp' ? 1 : 0, mergeable ? 1 : 0, node);
  } catch (error) {
    // A TypeError is the addon's own: of a wrong argument.
    if (pool && !(error instanceof TypeError)) throw hugepageFailure(pool, bytes, numaNode, error);
    throw error;
  }
}
