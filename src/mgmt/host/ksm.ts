/** Kernel samepage merging: its figures and its knobs (Documentation/admin-guide/mm/ksm.rst). */
import { hostMemory } from '../../kvm/index.js';
import { availableKiB, SMALL_PAGE_KIB } from './cells.js';
import { HostError } from './errors.js';
import { type HostFiles, THIS_HOST } from './host-files.js';

const KSM = 'sys/kernel/mm/ksm';

export interface KsmTuning {
  /** Pages that are looked at before it sleeps, and for how long it does, in ms; each below 2^32. */
  readonly pagesToScan?: number;
  readonly sleepMs?: number;
  /** Whether pages of different NUMA nodes may become one. Can be changed while nothing is merged. */
  readonly mergeAcrossNodes?: boolean;
}

export interface KsmFacts {
  /** `unmerging`: it is off, and has taken apart what it had merged. */
  readonly state: 'off' | 'on' | 'unmerging';
  readonly pagesToScan: number;
  readonly sleepMs: number;
  /** Absent where there is one node. */
  readonly mergeAcrossNodes?: boolean;
  /** Pages that stand for several, and how many more they stand for: what is saved. */
  readonly pagesShared: number;
  readonly pagesSharing: number;
  /** Pages that are like no other, and those that change too fast to tell. */
  readonly pagesUnshared: number;
  readonly pagesVolatile: number;
  /** Empty pages for which the kernel's own one stands; counted apart. */
  readonly zeroPages: number;
  readonly fullScans: number;
}

/** @throws HostError VIR_ERR_NO_SUPPORT: the kernel has none */
export function ksmFacts(host: HostFiles = THIS_HOST): KsmFacts {
  const ksm = hostMemory(host.path('sys')).ksm;
  if (ksm === null) throw new HostError('VIR_ERR_NO_SUPPORT', 'this host has no KSM');
  const number = (name: string) => host.number(`${KSM}/${name}`) ?? 0;
  const across = host.number(`${KSM}/merge_across_nodes`);
  return {
    ...ksm,
    pagesToScan: number('pages_to_scan'),
    sleepMs: number('sleep_millisecs'),
    ...(across !== undefined && { mergeAcrossNodes: across !== 0 }),
    pagesUnshared: number('pages_unshared'),
    pagesVolatile: number('pages_volatile'),
    zeroPages: number('ksm_zero_pages'),
    fullScans: number('full_scans'),
  };
}

/** By libvirt's names (VIR_NODE_MEMORY_SHARED_*), without `shm_` before; those that the kernel has. */
export function sharedMemoryParameters(host: HostFiles = THIS_HOST): [name: string, value: number][] {
  return SHARED_MEMORY.flatMap((name) => {
    const value = host.number(`${KSM}/${name}`);
    return value === undefined ? [] : [[name, value] as [string, number]];
  });
}

const SHARED_MEMORY = [
  'pages_to_scan',
  'sleep_millisecs',
  'pages_shared',
  'pages_sharing',
  'pages_unshared',
  'pages_volatile',
  'full_scans',
  'merge_across_nodes',
] as const;

/** @throws HostError EACCES, VIR_ERR_NO_SUPPORT, VIR_ERR_OPERATION_INVALID: pages are merged; VIR_ERR_INVALID_ARG */
export function tuneKsm(
  { pagesToScan, sleepMs, mergeAcrossNodes }: KsmTuning,
  host: HostFiles = THIS_HOST,
): void {
  const before = ksmFacts(host);
  const isOther = mergeAcrossNodes !== undefined && mergeAcrossNodes !== before.mergeAcrossNodes;
  if (isOther && before.pagesShared > 0) {
    throw new HostError(
      'VIR_ERR_OPERATION_INVALID',
      `whether pages are merged across nodes cannot change while ${before.pagesShared} pages are`,
      'take them apart first: xenner ksm off --unmerge',
    );
  }
  if (pagesToScan !== undefined) host.write(`${KSM}/pages_to_scan`, pagesToScan, "KSM's pages to scan");
  if (sleepMs !== undefined) host.write(`${KSM}/sleep_millisecs`, sleepMs, "KSM's sleep");
  if (isOther) host.write(`${KSM}/merge_across_nodes`, mergeAcrossNodes ? 1 : 0, 'merging across nodes');
}

/** @throws HostError EACCES, VIR_ERR_NO_SUPPORT */
export function startKsm(host: HostFiles = THIS_HOST): void {
  ksmFacts(host);
  host.write(`${KSM}/run`, 1, 'KSM');
}

export interface StopOptions {
  /** Takes apart what is merged: that needs as much memory again as is saved. */
  readonly unmerge?: boolean;
  /** Even if the host has less. */
  readonly force?: boolean;
}

/**
 * Returns when it has stopped; without `unmerge` what is merged stays so.
 * @throws HostError EACCES, VIR_ERR_NO_SUPPORT; ENOMEM: to unmerge there is too little memory
 */
export function stopKsm(
  { unmerge = false, force = false }: StopOptions = {},
  host: HostFiles = THIS_HOST,
): void {
  const { pagesSharing, zeroPages } = ksmFacts(host);
  if (unmerge) {
    const neededKiB = (pagesSharing + zeroPages) * SMALL_PAGE_KIB;
    const freeKiB = availableKiB(host);
    if (neededKiB > freeKiB && !force) {
      throw new HostError(
        'ENOMEM',
        `what KSM has merged needs ${neededKiB} KiB when it is taken apart, ${freeKiB} KiB are available`,
        'end a domain first, or use --force',
      );
    }
    host.write(`${KSM}/run`, 2, 'KSM');
  }
  host.write(`${KSM}/run`, 0, 'KSM');
}
