/** Host clocks, read back to back. */
import { loadAddon } from './addon.js';

export interface ClockSample {
  /** Ticks of the time-stamp counter, which the guest's RDTSC shows as well. */
  tsc: bigint;
  monotonicNs: bigint;
  realtimeNs: bigint;
}

export function clockSample(): ClockSample {
  return loadAddon().clockSample();
}

/** The time-stamp counter alone, for a tenth of a sample's price. */
export function hostTsc(): bigint {
  return loadAddon().hostTsc();
}
