/** A domain's back ends, on the main thread, during one start of the guest. */
import { createNotifier, GuestMemory, gpa, kick, type Notifier, openLine } from '../../kvm/index.js';
import type { BackendChannel, BackendHost } from '../backend/backend-host.js';
import { ConsoleBackend, type ConsoleSink } from '../backend/console.js';
import type { EventInbox } from '../event-inbox.js';
import { EventLine } from '../event-line.js';
import { type HostGrant, HostGrants } from '../grants/host-grants.js';
import type { ReadyMessage } from './messages.js';
import type { Order } from './orders.js';

/** What the back ends need of their domain. */
export interface BackendsDomain {
  readonly inbox: EventInbox;
  readonly console: ConsoleSink;
  /** Has the vCPU thread obey. */
  order(order: Order): Promise<void>;
}

export class Backends implements BackendHost {
  readonly domid: number;
  readonly memory: GuestMemory;
  readonly console: ConsoleBackend;
  readonly #grants: HostGrants;
  readonly #line: EventLine | undefined;
  readonly #channels = new Set<Notifier>();

  constructor(
    private readonly domain: BackendsDomain,
    private readonly ready: ReadyMessage,
  ) {
    const { line, memoryId, consoleRing, consolePort, nrPages, pageInfo, grantFrames } = ready;
    this.domid = ready.domid;
    this.memory = GuestMemory.attach(memoryId);
    this.#line =
      line === undefined ? undefined : new EventLine(this.memory, line.addresses, openLine(line.id));
    this.#grants = new HostGrants({ memory: this.memory, grantFrames, nrPages, pageInfo });
    const raise = () => this.#raise(consolePort);
    this.console = new ConsoleBackend(this.memory, gpa(consoleRing), domain.console, raise);
  }

  access(gref: number, options: { readonly write: boolean }): HostGrant | number {
    return this.#grants.access(gref, options);
  }

  async bindPort(port: number, onEvent: () => void): Promise<BackendChannel> {
    let open = true;
    const notifier = createNotifier(() => {
      if (open) onEvent();
    });
    this.#channels.add(notifier);
    const close = () => {
      open = false;
      this.#channels.delete(notifier);
      notifier.close();
    };
    try {
      await this.domain.order({ kind: 'bind', port, notifier: notifier.id });
    } catch (error) {
      close();
      throw error;
    }
    return {
      notify: () => open && this.#raise(port),
      close: () => {
        if (!open) return;
        close();
        // A domain that has ended has no ports.
        this.domain.order({ kind: 'unbind', notifier: notifier.id }).catch(() => {});
      },
    };
  }

  /** The guest is gone, and nothing of its memory is touched any more. */
  close(): void {
    for (const notifier of this.#channels) notifier.close();
    this.#channels.clear();
    this.#line?.close();
    this.memory.close();
  }

  #raise(port: number): void {
    if (this.#line !== undefined) this.#line.raise(port);
    else if (this.domain.inbox.post(port)) kick(this.ready.engineId);
  }
}
