/** A domain as its user sees it: made, talked to by its console, waited for. */
import { EventEmitter } from 'node:events';
import { resolve } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { XennerError } from '../../base/errors.js';
import { createNotifier, kick, type Notifier } from '../../kvm/index.js';
import { EventInbox } from '../event-inbox.js';
import type { GdbServer } from '../gdb/server.js';
import type { SavedMachine } from '../save/save-file.js';
import { Backends } from './backends.js';
import { type CompleteConfig, completeConfig, type DomainConfig } from './config.js';
import type { CrashReport } from './crash.js';
import { type DomainStats, ExitCounts } from './exit-counts.js';
import {
  CONTROL_ORDERS,
  CONTROL_STOP,
  type EndMessage,
  type EndReason,
  type FailedMessage,
  type OrderMessage,
  type ReadyMessage,
  type WorkerInput,
  type WorkerMessage,
} from './messages.js';
import type { Order } from './orders.js';
import { takeThread } from './vcpu-thread.js';

/** How a domain ended. */
export interface DomainEnd {
  readonly reason: EndReason;
  /** Present when the reason is `crash`. */
  readonly crash?: CrashReport;
}

interface DomainEvents {
  /** Output of the guest's console. */
  console: [chunk: Buffer];
  /** The guest has read enough of what writeConsole() took to take more. */
  consoleDrained: [];
  /** The guest asked for a reboot and starts anew. */
  reboot: [];
  end: [end: DomainEnd];
}

/** One start of the guest: from a reboot on it is another one. */
interface Run {
  readonly worker: Worker;
  readonly notifier: Notifier;
  readonly inbox: EventInbox;
  /** One word: CONTROL_*. */
  readonly control: Int32Array;
  readonly orders: Map<number, (error: XennerError | undefined) => void>;
  backends?: Backends;
  engineId?: number;
}

/**
 * A running domain. `console` events carry its output, writeConsole() its input, wait() tells how it ended. Its vCPU
 * runs on a thread of its own; whatever happens here does not slow it down.
 */
export class Domain extends EventEmitter<DomainEvents> {
  #run: Run | undefined;
  #end: DomainEnd | undefined;
  #failure: XennerError | undefined;
  #destroyed = false;
  #exits = new ExitCounts();
  #outputPaused = false;
  #tail: Buffer = Buffer.alloc(0);
  #gdb: GdbServer | undefined;
  /** The engine that runs it, and why that one. */
  engine = '';
  engineReason = '';

  #lastOrder = 0;
  #saving = false;

  /**
   * @internal use createDomain() or restoreDomain()
   * @param checkReboot throws where the guest must not start anew
   */
  constructor(
    private readonly config: CompleteConfig,
    private readonly checkReboot: () => void = () => {},
  ) {
    super();
  }

  /** The name of its ABI profile: never `latest`. */
  get profile(): string {
    return this.config.profile.name;
  }

  /** @internal Before the first start. */
  async listen(): Promise<void> {
    const { gdb, vcpus } = this.config;
    if (gdb === undefined) return;
    // With node:net, only for runs that want it.
    const { GdbServer } = await import('../gdb/server.js');
    this.#gdb = await GdbServer.listen(gdb.port, vcpus, () => void this.destroy());
  }

  /** The port of 127.0.0.1 where a debugger may connect; undefined: there is none. */
  get gdbPort(): number | undefined {
    return this.#gdb?.port;
  }

  /** @internal Resolves when the guest is about to execute its first instruction. */
  start(saved?: SavedStart): Promise<void> {
    return new Promise((resolve, reject) => {
      const notifier = createNotifier(() => this.#run?.backends?.console.service());
      const inbox = new EventInbox();
      const control = new SharedArrayBuffer(4);
      this.#exits = new ExitCounts();
      const input: WorkerInput = {
        config: this.config,
        consoleNotifier: notifier.id,
        inbox: inbox.buffer,
        control,
        saved: saved?.machine,
        debugPort: this.#gdb?.openLine(() => this.#run?.engineId !== undefined && kick(this.#run.engineId)),
        exits: this.#exits.buffer,
      };
      const worker = takeThread(input);
      const run: Run = { worker, notifier, inbox, control: new Int32Array(control), orders: new Map() };
      this.#run = run;
      const fail = (error: XennerError) => {
        for (const id of run.orders.keys()) settle(run, id, error);
        this.#dispose(run);
        this.#failure = error;
        reject(error);
        // Nobody may be left waiting for a start that came with a reboot.
        this.#finish({ reason: 'destroyed' });
      };
      worker.on('message', (message: WorkerMessage) => {
        if (message.type === 'ready') {
          this.#ready(run, message);
          run.backends?.console.input(Buffer.from(saved?.consoleInput ?? []));
          resolve();
        } else if (message.type === 'failed') fail(failed(message));
        else if (message.type === 'answer') settle(run, message.id, message.error && failed(message.error));
        else if (message.type === 'console-io') this.#output(Buffer.from(message.text));
        else this.#ended(run, message);
      });
      worker.on('error', (error) => fail(new XennerError('EINTERNAL', error.stack ?? error.message)));
    });
  }

  /** Resolves when the guest has ended for good; rejects when the hypervisor or the host failed. */
  wait(): Promise<DomainEnd> {
    return new Promise((resolve, reject) => {
      const settle = (end: DomainEnd) => (this.#failure ? reject(this.#failure) : resolve(end));
      if (this.#end !== undefined) settle(this.#end);
      else this.once('end', settle);
    });
  }

  /** Types into the guest's console. False: wait for `consoleDrained` before sending more. */
  writeConsole(data: string | Uint8Array): boolean {
    return this.#run?.backends?.console.input(Buffer.from(data as string)) ?? true;
  }

  /** Lets the guest wait with its output: what a consumer that cannot keep up asks for. */
  pauseConsole(): void {
    this.#outputPaused = true;
  }

  resumeConsole(): void {
    this.#outputPaused = false;
    this.#run?.backends?.console.resume();
  }

  /** Of the current start, or of the last one. */
  stats(): DomainStats {
    return this.#exits.read();
  }

  /** The last output of the console, up to 4 KiB. */
  get consoleTail(): string {
    return this.#tail.toString();
  }

  /** Ends the guest at once, as pulling the plug does. Resolves when nothing of it is left. */
  async destroy(): Promise<void> {
    if (this.#end !== undefined) return;
    const ended = new Promise<void>((resolve) => this.once('end', () => resolve()));
    this.#destroyed = true;
    if (this.#run !== undefined) {
      Atomics.or(this.#run.control, 0, CONTROL_STOP);
      if (this.#run.engineId !== undefined) kick(this.#run.engineId);
    }
    await ended;
  }

  /** Stops the guest, until unpause(). Its time goes on. Nothing happens if it is paused. */
  async pause(): Promise<void> {
    await this.#order(this.#run, { kind: 'pause' });
  }

  async unpause(): Promise<void> {
    await this.#order(this.#run, { kind: 'unpause' });
  }

  /**
   * Saves the guest to a file, which appears under its name when it is complete and on the disk, and ends it with the reason
   * `saved`: it goes on where restoreDomain() is given that file. With `continue` it runs on as well, as after `xl save -c`.
   * @throws XennerError (rejection): ESAVE when the file cannot be written, and then the guest runs on; ENOTRUNNING, EENDED
   */
  async save(path: string, options: { continue?: boolean } = {}): Promise<void> {
    if (this.#saving) throw new XennerError('EBUSY', 'the domain is being saved');
    const run = this.#run;
    const consoleInput = run?.backends?.console.freeze() ?? new Uint8Array();
    this.#saving = true;
    try {
      const goOn = options.continue ?? false;
      await this.#order(this.#run, { kind: 'save', path: resolve(path), goOn, consoleInput });
      if (!goOn) await this.wait();
    } finally {
      this.#saving = false;
      if (this.#run === run) run?.backends?.console.thaw();
    }
  }

  #order(run: Run | undefined, order: Order): Promise<void> {
    return new Promise((resolve, reject) => {
      if (run?.engineId === undefined || run !== this.#run)
        throw new XennerError('ENOTRUNNING', 'the domain does not run');
      const id = ++this.#lastOrder;
      run.orders.set(id, (error) => (error === undefined ? resolve() : reject(error)));
      run.worker.postMessage({ id, order } satisfies OrderMessage);
      Atomics.or(run.control, 0, CONTROL_ORDERS);
      kick(run.engineId);
    });
  }

  #ready(run: Run, message: ReadyMessage): void {
    this.engine = message.engine;
    this.engineReason = message.why;
    run.engineId = message.engineId;
    run.backends = new Backends(
      {
        inbox: run.inbox,
        console: {
          write: (chunk: Buffer) => {
            this.#output(chunk);
            return !this.#outputPaused;
          },
          inputDrained: () => this.emit('consoleDrained'),
        },
        order: (order) => this.#order(run, order),
      },
      message,
    );
    // The guest may have written, and somebody may have asked for its end, before this thread was ready.
    run.backends.console.service();
    if (Atomics.load(run.control, 0) !== 0) kick(message.engineId);
    this.#gdb?.started();
  }

  #ended(run: Run, message: EndMessage): void {
    // What the guest has written and nobody has read is in the save file.
    if (message.reason !== 'saved') {
      run.backends?.console.thaw();
      run.backends?.console.flush();
    }
    this.#gdb?.ended(message.reason);
    this.#dispose(run);
    if (message.reason === 'reboot' && this.config.onReboot === 'restart') {
      this.#startAnew(run);
      return;
    }
    this.#finish({ reason: message.reason, ...(message.crash && { crash: message.crash }) });
  }

  #startAnew(last: Run): void {
    try {
      this.checkReboot();
    } catch (error) {
      this.#failure = error as XennerError;
      this.#finish({ reason: 'destroyed' });
      return;
    }
    this.emit('reboot');
    // Not before the last one has let go of its memory: the host may have no more huge pages than that.
    last.worker.ref();
    last.worker.once('exit', () => {
      if (this.#destroyed) this.#finish({ reason: 'destroyed' });
      else this.start().catch(() => {});
    });
  }

  #finish(end: DomainEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#gdb?.close();
    this.emit('end', end);
  }

  #dispose(run: Run): void {
    const error = new XennerError('EENDED', 'the domain has ended');
    for (const id of run.orders.keys()) settle(run, id, error);
    run.notifier.close();
    run.backends?.close();
    delete run.backends;
    // The thread closes its side and has nothing left to live for.
    run.worker.postMessage('release');
    run.worker.unref();
    if (this.#run === run) this.#run = undefined;
  }

  #output(chunk: Buffer): void {
    this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-TAIL_BYTES);
    this.emit('console', chunk);
  }
}

const TAIL_BYTES = 4096;

/** What a restored domain begins with. */
interface SavedStart {
  readonly machine: SavedMachine;
  readonly consoleInput: Uint8Array;
}

function settle(run: Run, id: number, error: XennerError | undefined): void {
  const answer = run.orders.get(id);
  run.orders.delete(id);
  answer?.(error);
}

function failed({ code, message, next }: FailedMessage): XennerError {
  return new XennerError(code, message, next);
}

/**
 * Makes a domain and starts it. The promise resolves when the guest is about to execute its first instruction.
 * @throws XennerError (rejection) with a `code` for what is wrong with the configuration, its files or the host
 */
export async function createDomain(config: DomainConfig): Promise<Domain> {
  const domain = new Domain(completeConfig(config));
  await domain.listen();
  await domain.start();
  return domain;
}
