/**
 * What a vCPU has to be interrupted for at a time: its periodic timer, and where it has no local APIC the deadlines in its
 * area, which are the one-shot timer and the time-out of a poll.
 */
import type * as monitor from '../monitor/vcpu-area.js';
import type { Json, Saved } from '../save/saved.js';

/** Deadlines further away than ten years never come; the host's timers take them as they are. */
const NEVER_NS = 3.2e17;
/** A vCPU has a tick of 100 Hz until it says otherwise (vcpu_create in xen/common/domain.c). */
const DEFAULT_PERIOD_NS = 10_000_000;

/** Times are system time, ns. */
export class VcpuTimers {
  #periodNs = 0;
  #tick = 0;
  #bound = false;
  #armed = Infinity;

  /**
   * @param lapic the deadlines in the area are the monitor's own
   * @param arm to be told of a deadline that comes before all that it was told of and that have not come yet
   */
  constructor(
    private readonly area: monitor.VcpuArea,
    private readonly lapic: boolean,
    private readonly arm: (deadlineNs: number) => void,
  ) {}

  /** To be called when the vCPU starts. */
  start(now: number): void {
    this.setPeriod(DEFAULT_PERIOD_NS, now);
  }

  get periodNs(): number {
    return this.#periodNs;
  }

  /** The first tick is one period from now; 0 stops it. */
  setPeriod(ns: number, now: number): void {
    this.#periodNs = ns;
    this.#tick = ns === 0 ? 0 : now + ns;
    this.changed();
  }

  /** Whether VIRQ_TIMER goes anywhere: without that, ticks are for nobody, and none comes. */
  bound(bound: boolean, now: number): void {
    this.#bound = bound;
    this.setPeriod(this.#periodNs, now);
  }

  /** One of the deadlines may be another one, the one in the area included. */
  changed(): void {
    const next = this.#next();
    if (next < this.#armed) this.#setArmed(next);
  }

  /** When check() is due; Infinity is never. */
  get armed(): number {
    return this.#armed;
  }

  /** For a save file: what the area does not say. */
  save(): Json {
    return { periodNs: this.#periodNs, tick: this.#tick };
  }

  /** Of a new vCPU, with the area that was saved. @throws XennerError ESAVE_DAMAGED */
  restore(saved: Saved): void {
    this.#periodNs = saved.get('periodNs').time();
    this.#tick = saved.get('tick').time();
    // A local APIC that was armed is another machine's.
    this.area.set('timer_armed', 0n);
    this.#setArmed(this.#next());
  }

  /** Whether VIRQ_TIMER is due. Arms what comes next. */
  check(now: number): boolean {
    if (now < this.#armed) return false;
    const single = this.#deadline('timer_deadline');
    const due = now >= Math.min(single, this.#periodic());
    if (now >= single) this.area.set('timer_deadline', 0n);
    if (now >= this.#periodic()) {
      // Ticks that were missed are not made up for (xen/common/sched/core.c, vcpu_periodic_timer_work).
      const missed = Math.floor((now - this.#tick) / this.#periodNs);
      this.#tick += (missed + 1) * this.#periodNs;
    }
    this.#setArmed(this.#next(now));
    return due;
  }

  /** A time-out that has passed is the waiter's to see, and wakes nobody again. */
  #next(now = -Infinity): number {
    const timeout = this.#deadline('poll_timeout');
    return Math.min(this.#deadline('timer_deadline'), this.#periodic(), timeout > now ? timeout : Infinity);
  }

  #deadline(name: 'timer_deadline' | 'poll_timeout'): number {
    const ns = this.lapic ? 0 : Number(this.area.get(name));
    return ns === 0 || ns >= NEVER_NS ? Infinity : ns;
  }

  #periodic(): number {
    return !this.#bound || this.#tick === 0 || this.#tick >= NEVER_NS ? Infinity : this.#tick;
  }

  /** The monitor leaves the guest for an earlier deadline only; 0 in the area is none. */
  #setArmed(ns: number): void {
    this.#armed = ns;
    if (!this.lapic) this.area.set('timer_armed', ns === Infinity ? 0n : BigInt(Math.ceil(ns)));
    if (ns !== Infinity) this.arm(ns);
  }
}
