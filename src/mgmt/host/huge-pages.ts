/** Huge pages that are set aside (Documentation/admin-guide/mm/hugetlbpage.rst). */
import { type HugepagePool, hostMemory, poolDirectory } from '../../kvm/index.js';
import { cell, cells, pagesOfSize, SMALL_PAGE_KIB } from './cells.js';
import { HostError } from './errors.js';
import { aloneWith, type HostFiles, THIS_HOST } from './host-files.js';

/** All pages of a size, or those of one NUMA node. */
export interface HugepageCount extends HugepagePool {
  readonly node?: number;
}

export interface HugetlbMount {
  readonly path: string;
  readonly sizeKiB?: number;
}

/** hugetlbfs(5) has no more on any host; a line each. */
const MAX_MOUNTS = 1024;
const KIB_OF_UNIT: Readonly<Record<string, number>> = { K: 1, M: 1024, G: 1024 * 1024 };

/** Smallest size first, each with its nodes. */
export function hugepageCounts(host: HostFiles = THIS_HOST): HugepageCount[] {
  const { hugepages, nodes } = hostMemory(host.path('sys'));
  return hugepages.flatMap((pool) => [
    pool,
    ...nodes.flatMap(({ node, hugepages: own }) =>
      own.filter(({ sizeKiB }) => sizeKiB === pool.sizeKiB).map((each) => ({ ...each, node })),
    ),
  ]);
}

/** Where such pages can be had as files. */
export function hugetlbMounts(host: HostFiles = THIS_HOST): HugetlbMount[] {
  const lines = (host.long('proc/self/mounts') ?? '').split('\n');
  const found = lines.flatMap((line) => {
    const [, path, type, options] = line.split(' ');
    if (type !== 'hugetlbfs' || path === undefined) return [];
    const [, digits, unit = ''] = /(?:^|,)pagesize=(\d{1,6})([KMG])/.exec(options ?? '') ?? [];
    const size = digits === undefined ? {} : { sizeKiB: Number(digits) * KIB_OF_UNIT[unit]! };
    // mounts of proc_pid_mounts(5) has blanks as \040.
    const plain = path.replace(/\\(0[0-7]{2}|1[0-7]{2})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    return [{ path: Buffer.from(plain, 'latin1').toString(), ...size }];
  });
  return found.slice(0, MAX_MOUNTS);
}

/** @throws HostError VIR_ERR_OPERATION_FAILED, VIR_ERR_INTERNAL_ERROR, VIR_ERR_NO_SUPPORT: there is no such pool */
function countOf(sizeKiB: number, node: number | undefined, host: HostFiles): HugepageCount {
  if (sizeKiB === SMALL_PAGE_KIB)
    throw new HostError('VIR_ERR_NO_SUPPORT', "system pages pool can't be modified");
  if (node !== undefined) pagesOfSize(cell(node, host), sizeKiB);
  const found = hugepageCounts(host).find((each) => each.sizeKiB === sizeKiB && each.node === node);
  if (found !== undefined) return found;
  throw new HostError('VIR_ERR_OPERATION_FAILED', `page size ${sizeKiB} is not available`);
}

/** What is set aside: surplus pages come and go by themselves, and what is written does not count them. */
const setAside = ({ total, surplus = 0 }: HugepagePool) => total - surplus;

const poolFile = (sizeKiB: number, node: number | undefined) =>
  `sys/${poolDirectory(sizeKiB, node)}/nr_hugepages`;
const poolName = (sizeKiB: number) => `how many pages of ${sizeKiB} KiB there are`;

/** How many are set aside then. */
function write(sizeKiB: number, count: number, node: number | undefined, host: HostFiles): number {
  host.write(poolFile(sizeKiB, node), count, poolName(sizeKiB));
  return setAside(countOf(sizeKiB, node, host));
}

/**
 * As libvirt's virNodeAllocPages: sets how many pages there are to be, or with `add` how many more. What the kernel gave stays.
 * @param node undefined: of any, as the kernel likes
 * @throws HostError VIR_ERR_OPERATION_FAILED: they are fewer, and how many; EACCES
 */
export function allocatePages(
  sizeKiB: number,
  count: number,
  { add = false, node }: { add?: boolean; node?: number } = {},
  host: HostFiles = THIS_HOST,
): void {
  const before = setAside(countOf(sizeKiB, node, host));
  const wanted = add ? before + count : count;
  if (wanted === before) return;
  const given = write(sizeKiB, wanted, node, host);
  if (given < wanted) {
    const message = `Unable to allocate ${wanted} pages. Allocated only ${given}`;
    throw new HostError('VIR_ERR_OPERATION_FAILED', message);
  }
}

/**
 * Sets so many more aside, or none.
 * @returns how many there are then
 * @throws HostError (rejection) ENOMEM: the kernel found fewer, and the pool is as it was; EACCES
 */
export function reserveHugepages(
  sizeKiB: number,
  count: number,
  node?: number,
  host: HostFiles = THIS_HOST,
): Promise<number> {
  return changePool(sizeKiB, node, host, () => {
    const before = setAside(countOf(sizeKiB, node, host));
    const given = write(sizeKiB, before + count, node, host) - before;
    if (given >= count) return before + given;
    const again = write(sizeKiB, before, node, host);
    throw new HostError(
      'ENOMEM',
      `the kernel found ${Math.max(0, given)} of ${count} pages of ${sizeKiB} KiB: memory is short, or in pieces`,
      again === before ? `there are ${before}, as before` : `there are ${again}, before there were ${before}`,
    );
  });
}

/**
 * Gives so many back that nobody uses and nobody was promised, or none.
 * @returns how many there are then
 * @throws HostError (rejection) VIR_ERR_OPERATION_INVALID: there are fewer of them; EACCES
 */
export function releaseHugepages(
  sizeKiB: number,
  count: number,
  node?: number,
  host: HostFiles = THIS_HOST,
): Promise<number> {
  return changePool(sizeKiB, node, host, () => {
    const pool = countOf(sizeKiB, node, host);
    const idle = Math.max(0, Math.min(pool.free, idleOf(countOf(sizeKiB, undefined, host))));
    if (idle < count) {
      throw new HostError(
        'VIR_ERR_OPERATION_INVALID',
        `${idle} of ${pool.total} pages of ${sizeKiB} KiB are free, not ${count}`,
        'xenner hugepages shows which domains have them',
      );
    }
    const left = write(sizeKiB, setAside(pool) - count, node, host);
    const { surplus = 0 } = countOf(sizeKiB, node, host);
    // Whoever took some in this moment has them still: they count as surplus then, until they are let go of.
    if (surplus <= (pool.surplus ?? 0)) return left;
    write(sizeKiB, setAside(pool), node, host);
    throw new HostError(
      'VIR_ERR_OPERATION_INVALID',
      `pages of ${sizeKiB} KiB were taken meanwhile: none was given back`,
    );
  });
}

/** One change at a time: each puts back what it found. */
function changePool(
  sizeKiB: number,
  node: number | undefined,
  host: HostFiles,
  change: () => number,
): Promise<number> {
  return Promise.resolve()
    .then(() => countOf(sizeKiB, node, host))
    .then(() => aloneWith(host, poolFile(sizeKiB, undefined), poolName(sizeKiB), change));
}

/** Free, and promised to nobody. */
export function idleOf({ free, reserved = 0 }: HugepagePool): number {
  return free - reserved;
}

/** Cells that have pages to be set aside. */
export function cellNumbers(host: HostFiles = THIS_HOST): number[] {
  return cells(host).map(({ id }) => id);
}
