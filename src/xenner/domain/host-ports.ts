/**
 * The host's ends of a domain's event channels, on the vCPU thread. Each calls a notifier of the back ends' thread, by a bell where
 * the engine has bells.
 */
import { XennerError } from '../../base/errors.js';
import { type Machine as EngineMachine, notify } from '../../kvm/index.js';
import type { EventChannels } from '../event-channels.js';
import type { EventInbox } from '../event-inbox.js';
import type { HostEnd } from '../event-table.js';

/**
 * A guest that is at work has more for a patient back end, and each time that one begins costs both of them more than a request
 * does. So it hears of it after this time, or when the guest goes to sleep; at once of what follows a sleep.
 */
const HOLD_NS = 200_000;

export interface HostPortsMachine {
  systemTime(): number;
  /** attend() is called at this system time, or soon after. */
  arm(deadlineNs: number): void;
}

export class HostPorts {
  /** By notifier. */
  readonly #ends = new Map<number, HostEnd>();
  /** Notifiers that are still to be called. */
  readonly #held = new Set<number>();
  #due = Infinity;
  #slept = true;

  constructor(
    private readonly events: EventChannels,
    private readonly bells: Pick<EngineMachine, 'addBell' | 'removeBell'>,
    private readonly inbox: Pick<EventInbox, 'isPatient'>,
    private readonly machine: HostPortsMachine,
  ) {}

  /** System time at which attend() is to be called. */
  get due(): number {
    return this.#due;
  }

  attend(now: number): void {
    if (now >= this.#due) this.#release();
  }

  /** A vCPU has nothing more to do. */
  sleep(): void {
    this.#slept = true;
    this.#release();
  }

  /** A port that start_info names; it stays the host's when the guest closes it. */
  create(notifier: number): number {
    return this.events.bindHostPort(() => notify(notifier));
  }

  /** Of a port that is the host's already. */
  addBell(port: number, notifier: number): void {
    if (this.bells.addBell(port, notifier)) this.events.setBell(port);
  }

  /** @throws XennerError EPORT */
  bind(port: number, notifier: number): void {
    const end = this.events.connectHostPort(port, () => this.#send(port, notifier));
    if (end === undefined)
      throw new XennerError('EPORT', `the guest has no port ${port} for its back end to bind to`);
    this.#ends.set(notifier, end);
    this.addBell(port, notifier);
  }

  /** Nothing happens if it is not bound. */
  unbind(notifier: number): void {
    const end = this.#ends.get(notifier);
    if (end === undefined) return;
    this.#ends.delete(notifier);
    this.#held.delete(notifier);
    if (!this.#isBound(end.port)) this.bells.removeBell(end.port);
    this.events.closeHostEnd(end);
  }

  #send(port: number, notifier: number): void {
    if (this.#slept || !this.inbox.isPatient(port)) {
      this.#slept = false;
      notify(notifier);
      return;
    }
    this.#held.add(notifier);
    if (this.#due !== Infinity) return;
    this.#due = this.machine.systemTime() + HOLD_NS;
    this.machine.arm(this.#due);
  }

  #release(): void {
    this.#due = Infinity;
    for (const notifier of this.#held) notify(notifier);
    this.#held.clear();
  }

  /** The guest closed a port and opened it anew, and another back end has bound to that. */
  #isBound(port: number): boolean {
    return [...this.#ends.values()].some((other) => other.port === port);
  }
}
