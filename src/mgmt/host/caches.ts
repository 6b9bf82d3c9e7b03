/** The CPUs' last caches (Documentation/ABI/testing/sysfs-devices-system-cpu). */
import { CPUS, cpuMap } from './cpus.js';
import { formatList, type HostFiles, THIS_HOST } from './host-files.js';

export interface CacheBank {
  readonly id: number;
  readonly level: number;
  readonly type: 'both' | 'code' | 'data';
  readonly sizeKiB: number;
  /** Online ones that share it. */
  readonly cpus: readonly number[];
}

const TYPES: Readonly<Record<string, CacheBank['type']>> = {
  Unified: 'both',
  Instruction: 'code',
  Data: 'data',
};
/** libvirt tells of those that CPUs share. */
const LEAST_LEVEL = 3;
/** Levels of one CPU, each perhaps twice; the kernel has at most some five. */
const MAX_INDICES = 16;

/** By level and number. */
export function cacheBanks(host: HostFiles = THIS_HOST): CacheBank[] {
  const banks = new Map<string, CacheBank>();
  for (const cpu of cpuMap(host).online) {
    const caches = `${CPUS}/cpu${cpu}/cache`;
    for (const index of host.numbered(caches, /^index(\d{1,4})$/).slice(0, MAX_INDICES)) {
      const bank = readBank(`${caches}/index${index}`, host);
      if (bank !== undefined)
        banks.set(`${bank.level} ${bank.id} ${bank.type} ${formatList(bank.cpus)}`, bank);
    }
  }
  return [...banks.values()].sort((a, b) => a.level - b.level || a.id - b.id);
}

function readBank(path: string, host: HostFiles): CacheBank | undefined {
  const [id, level, cpus] = [
    host.number(`${path}/id`),
    host.number(`${path}/level`),
    host.list(`${path}/shared_cpu_list`),
  ];
  const type = TYPES[host.text(`${path}/type`) ?? ''];
  const sizeKiB = Number(/^(\d{1,9})K$/.exec(host.text(`${path}/size`) ?? '')?.[1]);
  if (id === undefined || level === undefined || cpus === undefined || type === undefined) return undefined;
  return level < LEAST_LEVEL || Number.isNaN(sizeKiB) ? undefined : { id, level, type, sizeKiB, cpus };
}
