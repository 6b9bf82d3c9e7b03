/**
 * One start of a guest as the main thread has it: its vCPU thread, the orders given to that, its back ends. After a reboot it is
 * another one.
 */
import type { MessagePort, Worker } from 'node:worker_threads';
import { XennerError } from '../../base/errors.js';
import { createNotifier, kick, type Notifier } from '../../kvm/index.js';
import type { ConsoleSink } from '../backend/console.js';
import type { Device } from '../backend/device.js';
import { EventInbox } from '../event-inbox.js';
import type { SavedMachine } from '../save/save-file.js';
import type { Json, Saved } from '../save/saved.js';
import type { Xenstore } from '../xenstore/index.js';
import { Backends } from './backends.js';
import type { CompleteConfig } from './config.js';
import type { ExitCounts } from './exit-counts.js';
import {
  CONTROL_ORDERS,
  CONTROL_STOP,
  type EndMessage,
  type FailedMessage,
  type OrderMessage,
  type ReadyMessage,
  type WorkerMessage,
} from './messages.js';
import type { Order } from './orders.js';
import { takeThread } from './vcpu-thread.js';

/** What a restored domain begins with. */
export interface SavedStart {
  readonly machine: SavedMachine;
  /** What Backends.freeze() gave. */
  readonly backends: Saved;
}

export interface RunOptions {
  readonly config: CompleteConfig;
  readonly xenstore: Xenstore;
  readonly exits: ExitCounts;
  readonly console: ConsoleSink;
  readonly saved: SavedStart | undefined;
  readonly devices: ReadonlySet<Device>;
  /** The other end of a debugger's line, which wakes the vCPU thread. */
  openLine(wake: () => void): MessagePort | undefined;
}

/** What can still be had of a guest that has ended. */
export interface Remains {
  /** As Domain.dumpCore(). */
  dumpCore(path: string): Promise<void>;
}

/** What becomes of it. Nothing is told after `failed` or `ended`. */
export interface RunEvents {
  /** The guest is about to execute its first instruction. */
  ready(message: ReadyMessage): void;
  consoleIo(text: Uint8Array): void;
  failed(error: XennerError): void;
  /** Its devices are gone; its memory and its vCPUs' registers stay until this resolves, and `ended` comes after that. */
  over(message: EndMessage, remains: Remains): Promise<void>;
  ended(message: EndMessage): void;
}

export class Run {
  readonly worker: Worker;
  backends: Backends | undefined;
  readonly #notifiers: readonly [store: Notifier, console: Notifier];
  readonly #inbox = new EventInbox();
  /** One word: CONTROL_*. */
  readonly #control = new Int32Array(new SharedArrayBuffer(4));
  readonly #orders = new Map<number, (error: XennerError | undefined) => void>();
  #lastOrder = 0;
  #engineId: number | undefined;
  #over = false;

  constructor(
    private readonly options: RunOptions,
    private readonly events: RunEvents,
  ) {
    this.#notifiers = [
      createNotifier(() => this.backends?.store.service()),
      createNotifier(() => this.backends?.console.service()),
    ];
    const [store, console] = this.#notifiers;
    this.worker = takeThread({
      config: options.config,
      storeNotifier: store.id,
      consoleNotifier: console.id,
      inbox: this.#inbox.buffer,
      control: this.#control.buffer as SharedArrayBuffer,
      saved: options.saved?.machine,
      debugPort: options.openLine(() => this.kick()),
      exits: options.exits.buffer,
    });
    this.worker.on('message', (message: WorkerMessage) => this.#take(message));
    this.worker.on('error', (error) =>
      this.#failed(new XennerError('EINTERNAL', error.stack ?? error.message)),
    );
  }

  kick(): void {
    if (this.#engineId !== undefined) kick(this.#engineId);
  }

  /** Ends the guest, whatever it does. */
  stop(): void {
    Atomics.or(this.#control, 0, CONTROL_STOP);
    this.kick();
  }

  /** @throws XennerError (rejection) ENOTRUNNING, EENDED, and what came of the order */
  order(order: Order): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#over) throw ended();
      if (this.#engineId === undefined) throw new XennerError('ENOTRUNNING', 'the domain does not run');
      this.#post(order).then(resolve, reject);
      Atomics.or(this.#control, 0, CONTROL_ORDERS);
      this.kick();
    });
  }

  #post(order: Order): Promise<void> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastOrder;
      this.#orders.set(id, (error) => (error === undefined ? resolve() : reject(error)));
      this.worker.postMessage({ id, order } satisfies OrderMessage);
    });
  }

  /** What the back ends have, for a save file; they touch nothing of the guest's until thaw(). */
  freeze(): Promise<Json> {
    if (this.backends === undefined) throw new XennerError('ENOTRUNNING', 'the domain does not run');
    return this.backends.freeze();
  }

  thaw(): void {
    this.backends?.thaw();
  }

  #take(message: WorkerMessage): void {
    switch (message.type) {
      case 'ready':
        this.#ready(message);
        break;
      case 'failed':
        this.#failed(fromMessage(message));
        break;
      case 'answer':
        this.#settle(message.id, message.error && fromMessage(message.error));
        break;
      case 'console-io':
        this.events.consoleIo(message.text);
        break;
      case 'end':
        this.#ended(message);
        break;
    }
  }

  #ready(message: ReadyMessage): void {
    const { config, xenstore, console, devices, saved } = this.options;
    this.#engineId = message.engineId;
    const order = (order: Order) => this.order(order);
    const domain = { config, inbox: this.#inbox, xenstore, console, devices, order };
    try {
      this.backends = new Backends(domain, message, saved?.backends);
    } catch (error) {
      this.stop();
      this.#failed(error as XennerError);
      return;
    }
    this.backends.start();
    // Somebody may have asked for its end before this thread knew whom to kick.
    if (Atomics.load(this.#control, 0) !== 0) this.kick();
    this.events.ready(message);
  }

  #failed(error: XennerError): void {
    if (this.#over) {
      this.#settleAll(error);
      return;
    }
    void this.#dispose(error).then(() => this.events.failed(error));
  }

  #ended(message: EndMessage): void {
    if (this.#over) return;
    // What the guest has written and nobody has read is in the save file.
    if (message.reason !== 'saved') this.backends?.flush();
    const over = () =>
      this.events.over(message, { dumpCore: (path) => this.#post({ kind: 'dump-core', path }) });
    void this.#dispose(ended(), over).then(() => this.events.ended(message));
  }

  #settle(id: number, error: XennerError | undefined): void {
    const answer = this.#orders.get(id);
    this.#orders.delete(id);
    answer?.(error);
  }

  #settleAll(error: XennerError): void {
    for (const id of this.#orders.keys()) this.#settle(id, error);
  }

  async #dispose(error: XennerError, over = async () => {}): Promise<void> {
    this.#over = true;
    this.#settleAll(error);
    for (const notifier of this.#notifiers) notifier.close();
    const { backends } = this;
    this.backends = undefined;
    await backends?.close();
    await over();
    // The thread closes its side and has nothing left to live for.
    this.worker.postMessage('release');
    this.worker.unref();
  }
}

function ended(): XennerError {
  return new XennerError('EENDED', 'the domain has ended');
}

function fromMessage({ code, message, next }: FailedMessage): XennerError {
  return new XennerError(code, message, next);
}
