/** What the host gave one process: huge pages of each size and node, and what KSM merged of it (proc(5), ksm.rst). */
import { hostNumber } from '../../base/host-files.js';
import { type HostFiles, THIS_HOST } from './host-files.js';

export interface HeldPages {
  readonly sizeKiB: number;
  readonly node: number;
  readonly pages: number;
}

export interface ProcessMemory {
  /** Of pools; those that it has touched, and none where the kernel knows no nodes. */
  readonly hugepages: readonly HeldPages[];
  /** In huge pages that the kernel made by itself. */
  readonly transparentKiB: number;
  /** Of small pages, of those that KSM may merge; absent where it does not tell. */
  readonly ksm?: {
    /** That are one with others, of this process or not; empty ones for which the kernel's stands are counted apart. */
    readonly mergingPages: number;
    readonly zeroPages?: number;
    /** What is saved, less what it costs to know that; negative if that is more. */
    readonly profitBytes?: number;
  };
}

/** undefined: it has ended, or belongs to somebody else. */
export function processMemory(pid: number, host: HostFiles = THIS_HOST): ProcessMemory | undefined {
  const home = `proc/${pid}`;
  const rollup = host.long(`${home}/smaps_rollup`);
  if (rollup === undefined || rollup === '') return undefined;
  const kib = (name: string) => hostNumber(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(rollup)?.[1]) ?? 0;
  const ksm = ksmOf(home, host);
  return {
    hugepages: heldPages(host.long(`${home}/numa_maps`) ?? ''),
    transparentKiB: kib('AnonHugePages') + kib('ShmemPmdMapped'),
    ...(ksm !== undefined && { ksm }),
  };
}

function ksmOf(home: string, host: HostFiles): ProcessMemory['ksm'] {
  const stat = host.text(`${home}/ksm_stat`) ?? '';
  const field = (name: string) => {
    const digits = new RegExp(`^${name}:? (-?\\d{1,15})$`, 'm').exec(stat)?.[1];
    return digits === undefined ? undefined : Number(digits);
  };
  // Linux 6.1 has the one figure only, in a file of its own.
  const mergingPages = field('ksm_merging_pages') ?? host.number(`${home}/ksm_merging_pages`);
  if (mergingPages === undefined) return undefined;
  const [zeroPages, profitBytes] = [field('ksm_zero_pages'), field('ksm_process_profit')];
  return {
    mergingPages,
    ...(zeroPages !== undefined && { zeroPages }),
    ...(profitBytes !== undefined && { profitBytes }),
  };
}

/** `7f00 default file=/memfd:x huge dirty=5 N0=5 kernelpagesize_kB=2048` (Documentation/filesystems/proc.rst). */
function heldPages(maps: string): HeldPages[] {
  const held = new Map<string, HeldPages>();
  for (const line of maps.split('\n')) {
    const sizeKiB = hostNumber(/ kernelpagesize_kB=(\d+)$/.exec(line)?.[1]);
    if (sizeKiB === undefined || !/ huge( |$)/.test(line)) continue;
    for (const [, node = '', pages = ''] of line.matchAll(/ N(\d{1,4})=(\d{1,12})(?= )/g)) {
      const key = `${sizeKiB} ${node}`;
      const sum = (held.get(key)?.pages ?? 0) + Number(pages);
      held.set(key, { sizeKiB, node: Number(node), pages: sum });
    }
  }
  return [...held.values()].sort((a, b) => a.sizeKiB - b.sizeKiB || a.node - b.node);
}
