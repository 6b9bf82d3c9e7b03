/** The host's CPUs: where each is (Documentation/admin-guide/cputopology.rst), what they are, what they have done (proc_stat(5)). */
import { hostNumber } from '../../base/host-files.js';
import { MAX_HOST_CPUS } from '../../base/limits.js';
import { HostError } from './errors.js';
import { type HostFiles, THIS_HOST } from './host-files.js';

export const CPUS = 'sys/devices/system/cpu';

export interface CpuMap {
  /** One more than the highest number of a CPU that is there, which is how libvirt counts. */
  readonly present: number;
  readonly online: readonly number[];
}

/** Where an online CPU is; numbers are the kernel's, and need not begin at 0. */
export interface CpuPlace {
  readonly cpu: number;
  readonly socket: number;
  readonly die: number;
  readonly core: number;
  /** Threads of the same core, itself among them. */
  readonly siblings: readonly number[];
}

/** Nanoseconds since the host was started. */
export interface CpuStats {
  readonly user: number;
  readonly system: number;
  readonly idle: number;
  readonly iowait: number;
}

/** What /proc/cpuinfo says of the CPUs, the last one where they differ. */
export interface CpuIdentity {
  /** libvirt's name for it, if it has one. */
  readonly vendor: string | undefined;
  readonly model: string | undefined;
  readonly family: number | undefined;
  readonly modelNumber: number | undefined;
  readonly stepping: number | undefined;
  readonly microcode: number | undefined;
  readonly physicalAddressBits: number | undefined;
  /** As it is now, without what is behind the point; 0 where that is not told. */
  readonly mhz: number;
}

const VENDORS: Readonly<Record<string, string>> = {
  AuthenticAMD: 'AMD',
  GenuineIntel: 'Intel',
  HygonGenuine: 'Hygon',
};
/** USER_HZ, which is 100 on every architecture that Linux has had Xen on. */
const NANOSECONDS_PER_TICK = 1e7;

/** @throws HostError VIR_ERR_INTERNAL_ERROR: the kernel tells of none */
export function cpuMap(host: HostFiles = THIS_HOST): CpuMap {
  const online = host.list(`${CPUS}/online`) ?? listedCpus(host);
  const present = host.list(`${CPUS}/present`) ?? online;
  if (online.length === 0) throw new HostError('VIR_ERR_INTERNAL_ERROR', 'no CPUs found');
  return { present: Math.max(...present, ...online) + 1, online };
}

/** A container may have no /sys. */
function listedCpus(host: HostFiles): number[] {
  const lines = (host.long('proc/cpuinfo') ?? '').matchAll(/^processor[\t ]*:[\t ]*(\d{1,6})$/gm);
  return [...lines].slice(0, MAX_HOST_CPUS).map(([, cpu]) => Number(cpu));
}

/** What is not told is 0, as libvirt has it (virhostcpu.c), and -1 of a CPU without dies too. */
export function cpuPlace(cpu: number, host: HostFiles = THIS_HOST): CpuPlace {
  const topology = `${CPUS}/cpu${cpu}/topology`;
  return {
    cpu,
    socket: host.number(`${topology}/physical_package_id`) ?? 0,
    die: host.number(`${topology}/die_id`) ?? 0,
    core: host.number(`${topology}/core_id`) ?? 0,
    siblings: host.list(`${topology}/thread_siblings_list`) ?? [cpu],
  };
}

/**
 * @param cpu undefined: all of them together
 * @throws HostError VIR_ERR_INVALID_ARG: there is no such CPU, or it is offline
 */
export function cpuStats(cpu?: number, host: HostFiles = THIS_HOST): CpuStats {
  const line = new RegExp(`^cpu${cpu ?? ''} +(\\d[\\d ]*)$`, 'm').exec(host.long('proc/stat') ?? '')?.[1];
  const [user, nice, system, idle, iowait = 0, irq = 0, softirq = 0] = line?.split(' ').map(Number) ?? [];
  if (user === undefined || nice === undefined || system === undefined || idle === undefined)
    throw new HostError('VIR_ERR_INVALID_ARG', `this host has no statistics of CPU ${cpu ?? 'time'}`);
  const ns = (ticks: number) => ticks * NANOSECONDS_PER_TICK;
  return { user: ns(user + nice), system: ns(system + irq + softirq), idle: ns(idle), iowait: ns(iowait) };
}

export function cpuIdentity(host: HostFiles = THIS_HOST): CpuIdentity {
  const text = host.long('proc/cpuinfo') ?? '';
  const field = (name: string) =>
    new RegExp(`^${name}[\\t ]*:[\\t ]*(.{1,200})$`, 'm').exec(text)?.[1]?.trim();
  const number = (name: string) => hostNumber(field(name));
  const microcode = /^0x([0-9a-f]{1,8})$/.exec(field('microcode') ?? '')?.[1];
  const frequencies = [...text.matchAll(/^cpu MHz[\t ]*:[\t ]*(\d{1,7})/gm)];
  const facts = {
    vendor: VENDORS[field('vendor_id') ?? ''],
    model: field('model name'),
    family: number('cpu family'),
    modelNumber: number('model'),
    stepping: number('stepping'),
    microcode: microcode === undefined ? undefined : Number.parseInt(microcode, 16),
    physicalAddressBits: hostNumber(/^(\d{1,2}) bits physical/.exec(field('address sizes') ?? '')?.[1]),
  };
  return { ...facts, mhz: Number(frequencies.at(-1)?.[1] ?? 0) };
}
