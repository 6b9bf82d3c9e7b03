/**
 * Has KSM work while memory is short, and the harder the longer it is: what ksmtuned does, with its names' meanings and defaults
 * (/etc/ksmtuned.conf of Debian's package).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { liveDomains } from '../domain/live/runtime-directory.js';
import { availableKiB, memoryStats } from './cells.js';
import { type HostFiles, THIS_HOST } from './host-files.js';
import { ksmFacts, startKsm, stopKsm, tuneKsm } from './ksm.js';

export interface GovernorLimits {
  /** Pages more to scan, while less than the threshold is free, and fewer, while more is. */
  readonly boostPages: number;
  readonly decayPages: number;
  readonly minPages: number;
  readonly maxPages: number;
  /** Of the host's memory, but at least so much. */
  readonly thresholdPercent: number;
  readonly thresholdKiB: number;
  /** Between two scans on a host of 16 GiB; on a larger one less, but never below 10. */
  readonly sleepMs: number;
}

export const DEFAULT_LIMITS: GovernorLimits = {
  boostPages: 300,
  decayPages: 50,
  minPages: 64,
  maxPages: 1250,
  thresholdPercent: 20,
  thresholdKiB: 2048,
  sleepMs: 10,
};
const LEAST_SLEEP_MS = 10;
const KIB_OF_16_GIB = 16 * 2 ** 20;

/** KiB. */
export interface MemoryPressure {
  readonly total: number;
  readonly available: number;
  /** What all live domains may take. */
  readonly committed: number;
}

export type KsmDecision =
  | { readonly run: false }
  | { readonly run: true; readonly pagesToScan: number; readonly sleepMs: number };

/** @param scanned pages to scan until now */
export function decideKsm(
  { total, available, committed }: MemoryPressure,
  scanned: number,
  limits: GovernorLimits = DEFAULT_LIMITS,
): KsmDecision {
  const threshold = Math.max((total * limits.thresholdPercent) / 100, limits.thresholdKiB);
  if (committed + threshold < total && available > threshold) return { run: false };
  const wished = scanned + (available < threshold ? limits.boostPages : -limits.decayPages);
  return {
    run: true,
    pagesToScan: Math.max(limits.minPages, Math.min(limits.maxPages, wished)),
    sleepMs: Math.max(LEAST_SLEEP_MS, Math.floor((limits.sleepMs * KIB_OF_16_GIB) / total)),
  };
}

/**
 * ksmtuned takes what is free, in buffers and cached for available; but guests' memory is a memfd, which counts as cached. The kernel's
 * own estimate knows the difference.
 */
async function pressure(host: HostFiles): Promise<MemoryPressure> {
  const committed = (await liveDomains()).reduce((sum, { memoryMiB }) => sum + memoryMiB * 1024, 0);
  return { total: memoryStats(undefined, host).total, available: availableKiB(host), committed };
}

/** @throws HostError EACCES, VIR_ERR_NO_SUPPORT */
function carryOut(decision: KsmDecision, host: HostFiles): void {
  const { state } = ksmFacts(host);
  if (!decision.run) {
    if (state === 'on') stopKsm({}, host);
    return;
  }
  tuneKsm({ pagesToScan: decision.pagesToScan, sleepMs: decision.sleepMs }, host);
  if (state !== 'on') startKsm(host);
}

/** What KSM was told to do, to be told it again. */
export function restoreKsm(host: HostFiles = THIS_HOST): () => void {
  const { state, pagesToScan, sleepMs } = ksmFacts(host);
  return () => {
    tuneKsm({ pagesToScan, sleepMs }, host);
    if (state === 'on') startKsm(host);
    else stopKsm({}, host);
  };
}

export interface GovernorOptions {
  readonly limits?: GovernorLimits;
  /** Between two decisions. */
  readonly intervalMs: number;
  /** What ends it; without one it decides once. */
  readonly signal?: AbortSignal;
  readonly report?: (pressure: MemoryPressure, decision: KsmDecision) => void;
}

/** Resolves when it is ended; KSM stays as it was told last. @throws HostError (rejection) EACCES, VIR_ERR_NO_SUPPORT */
export async function governKsm(
  { limits = DEFAULT_LIMITS, intervalMs, signal, report }: GovernorOptions,
  host: HostFiles = THIS_HOST,
): Promise<void> {
  const { state, pagesToScan } = ksmFacts(host);
  let scanned = state === 'on' ? pagesToScan : limits.minPages;
  do {
    const now = await pressure(host);
    const decision = decideKsm(now, scanned, limits);
    carryOut(decision, host);
    if (decision.run) scanned = decision.pagesToScan;
    report?.(now, decision);
    if (signal !== undefined) await delay(intervalMs, undefined, { signal }).catch(() => {});
  } while (signal?.aborted === false);
}
