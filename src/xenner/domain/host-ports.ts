/**
 * The host's ends of a domain's event channels, on the vCPU thread. Each calls a notifier of the back ends' thread, by a bell where
 * the engine has bells.
 */
import { XennerError } from '../../base/errors.js';
import { type Machine as EngineMachine, notify } from '../../kvm/index.js';
import type { EventChannels } from '../event-channels.js';
import type { HostEnd } from '../event-table.js';

export class HostPorts {
  /** By notifier. */
  readonly #ends = new Map<number, HostEnd>();

  constructor(
    private readonly events: EventChannels,
    private readonly bells: Pick<EngineMachine, 'addBell' | 'removeBell'>,
  ) {}

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
    const end = this.events.connectHostPort(port, () => notify(notifier));
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
    if (!this.#isBound(end.port)) this.bells.removeBell(end.port);
    this.events.closeHostEnd(end);
  }

  /** The guest closed a port and opened it anew, and another back end has bound to that. */
  #isBound(port: number): boolean {
    return [...this.#ends.values()].some((other) => other.port === port);
  }
}
