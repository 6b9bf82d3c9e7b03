/** The rate limit of what a guest sends, as Linux's netback has it: so many bytes each interval, and bursts of 128 KiB. */

/** xl's `rate=10MB/s@20ms` is 200000 bytes each 20000 us; in xenstore `rate` = "200000,20000". */
export interface Rate {
  readonly bytes: number;
  readonly intervalUs: number;
}

/** A packet of the largest size must be able to leave, however low the rate. */
const MIN_BURST_BYTES = 131_072;

export class Credit {
  readonly #rate: Rate;
  readonly #now: () => number;
  #remaining: number;
  #windowStart: number;

  /** @param now milliseconds of a clock that never goes back */
  constructor(rate: Rate, now: () => number) {
    this.#rate = rate;
    this.#now = now;
    this.#remaining = rate.bytes;
    this.#windowStart = now();
  }

  /** Takes a packet's bytes: 0. Or how many milliseconds to wait before the next attempt, which is more than 0. */
  take(bytes: number): number {
    if (bytes > this.#remaining) {
      const next = this.#windowStart + this.#rate.intervalUs / 1000;
      const now = this.#now();
      if (now < next) return next - now;
      this.#windowStart = now;
      const burst = Math.max(MIN_BURST_BYTES, this.#rate.bytes);
      this.#remaining = Math.min(this.#remaining + this.#rate.bytes, burst);
      if (bytes > this.#remaining) return this.#rate.intervalUs / 1000;
    }
    this.#remaining -= bytes;
    return 0;
  }
}
