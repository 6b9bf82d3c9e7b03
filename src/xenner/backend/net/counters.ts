/** What a device has carried. */

/** Of one direction. */
export interface Counters {
  packets: number;
  bytes: number;
  /** Packets that were not what they should be, or lay in memory that was not granted. */
  errors: number;
  /** Good packets that nobody took. */
  drops: number;
}

export function newCounters(): Counters {
  return { packets: 0, bytes: 0, errors: 0, drops: 0 };
}
