/** SCHEDOP_watchdog: timers that end a domain unless it pushes them back (domain_watchdog in xen/common/sched/core.c). */
import { EINVAL, ENOSPC } from '../abi/errno.js';
import type { Json, Saved } from '../save/saved.js';

/** NR_DOMAIN_WATCHDOG_TIMERS */
const NR_WATCHDOGS = 2;
const NS_PER_S = 1e9;

export class Watchdogs {
  /** System time, ns; 0 is a free timer. */
  readonly #deadlines = new Float64Array(NR_WATCHDOGS);
  #earliest = Infinity;

  /** @param changed to be told that `deadline` may be another one */
  constructor(private readonly changed: () => void) {}

  /**
   * @param id 0 for a new timer, or one that exists
   * @param timeoutS seconds from now; 0 gives an existing timer back
   * @returns the id of a new timer, 0 for an existing one, or a negative errno
   */
  set(id: number, timeoutS: number, nowNs: number): number {
    if (id > NR_WATCHDOGS) return -EINVAL;
    const index = id === 0 ? this.#deadlines.indexOf(0) : id - 1;
    if (index < 0) return -ENOSPC;
    if (id !== 0 && this.#deadlines[index] === 0) return -EINVAL;
    const stop = id !== 0 && timeoutS === 0;
    // Never 0 while it is in use, even for a time-out of nothing at time 0.
    this.#deadlines[index] = stop ? 0 : Math.max(1, nowNs + timeoutS * NS_PER_S);
    this.#changed();
    return id === 0 ? index + 1 : 0;
  }

  /** By time that the guest could do nothing in. */
  postpone(ns: number): void {
    this.#deadlines.forEach((at, i) => {
      if (at !== 0) this.#deadlines[i] = at + ns;
    });
    this.#earliest += ns;
  }

  /** System time of the earliest, ns; Infinity when there is none. */
  get deadline(): number {
    return this.#earliest;
  }

  /** For a save file. */
  save(): Json {
    return [...this.#deadlines];
  }

  /** @throws XennerError ESAVE_DAMAGED */
  restore(saved: Saved): void {
    this.#deadlines.set(saved.tuple(NR_WATCHDOGS).map((deadline) => deadline.time()));
    this.#changed();
  }

  #changed(): void {
    this.#earliest = Math.min(...this.#deadlines.map((at) => (at === 0 ? Infinity : at)));
    this.changed();
  }
}
