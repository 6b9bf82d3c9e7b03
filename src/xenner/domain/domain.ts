/** A domain as its user sees it: made, talked to by its console, waited for. */
import { EventEmitter } from 'node:events';
import { resolve } from 'node:path';
import { XennerError } from '../../base/errors.js';
import { createLogger } from '../../base/log.js';
import type { Device } from '../backend/device.js';
import type { GdbServer } from '../gdb/server.js';
import type { Json } from '../save/saved.js';
import { Xenstore } from '../xenstore/index.js';
import { type CompleteConfig, completeConfig, type DomainConfig } from './config.js';
import type { CrashReport } from './crash.js';
import { checkDistinct } from './devices.js';
import { type DomainStats, ExitCounts } from './exit-counts.js';
import { GuestControl } from './guest-control.js';
import type { EndMessage, EndReason } from './messages.js';
import { type Remains, Run, type SavedStart } from './run.js';
import type { VcpuUsage } from './vcpu-usage.js';

export type { Remains } from './run.js';

/** libxl waits as long (LIBXL_DESTROY_TIMEOUT). */
const DETACH_TIMEOUT_MS = 10_000;

/** @internal */
export interface DomainOptions {
  readonly devices?: readonly Device[];
  /** Default: an empty one. */
  readonly xenstore?: Xenstore;
  /** Throws where the guest must not start anew. */
  checkReboot?(): void;
  readonly watch?: DomainWatch;
}

/** How a domain ended. */
export interface DomainEnd {
  readonly reason: EndReason;
  /** Present when the reason is `crash`. */
  readonly crash?: CrashReport;
}

/** Told of a domain what its events are too late for. */
export interface DomainWatch {
  /** The guest has ended by itself. What remains of it goes when this resolves, and then wait() does. It must not reject. */
  ended?(end: DomainEnd, remains: Remains): Promise<void>;
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

  /** Its own: no other domain is in it. */
  readonly xenstore: Xenstore;
  readonly #devices: Set<Device>;
  #saving = false;

  /**
   * @internal use createDomain() or restoreDomain()
   */
  constructor(
    private readonly config: CompleteConfig,
    private readonly options: DomainOptions = {},
  ) {
    super();
    this.xenstore = options.xenstore ?? new Xenstore();
    this.xenstore.log = createLogger(config.trace);
    checkDistinct(options.devices ?? []);
    this.#devices = new Set(options.devices);
  }

  get name(): string {
    return this.config.name;
  }

  get uuid(): string {
    return this.config.uuid;
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
      this.#exits = new ExitCounts();
      const { config, xenstore } = this;
      const run = new Run(
        {
          config,
          xenstore,
          exits: this.#exits,
          saved,
          devices: this.#devices,
          console: {
            write: (chunk) => {
              this.#output(chunk);
              return !this.#outputPaused;
            },
            inputDrained: () => this.emit('consoleDrained'),
          },
          openLine: (wake) => this.#gdb?.openLine(wake),
        },
        {
          ready: ({ engine, why }) => {
            this.engine = engine;
            this.engineReason = why;
            this.#gdb?.started();
            resolve();
          },
          consoleIo: (text) => this.#output(Buffer.from(text)),
          failed: (error) => {
            this.#run = undefined;
            this.#failure = error;
            reject(error);
            // Nobody may be left waiting for a start that came with a reboot.
            this.#finish({ reason: 'destroyed' });
          },
          over: (message, remains) => this.#over(message, remains),
          ended: (message) => this.#ended(run, message),
        },
      );
      this.#run = run;
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

  /** How its vCPUs have spent their time since this start. @throws XennerError ENOTRUNNING */
  vcpuUsage(): readonly VcpuUsage[] {
    const usage = this.#running.backends?.vcpuUsage();
    if (usage !== undefined) return usage;
    throw new XennerError('ENOTRUNNING', 'the domain does not run');
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
    this.#run?.stop();
    await ended;
  }

  /** Stops the guest, until unpause(). Its time goes on. Nothing happens if it is paused. */
  async pause(): Promise<void> {
    await this.#running.order({ kind: 'pause' });
  }

  async unpause(): Promise<void> {
    await this.#running.order({ kind: 'unpause' });
  }

  /**
   * Saves the guest to a file, which appears under its name when it is complete and on the disk, and ends it with the reason
   * `saved`: it goes on where restoreDomain() is given that file. With `continue` it runs on as well, as after `xl save -c`.
   * @param options.userData kept in the file: see savedUserData()
   * @throws XennerError (rejection): ESAVE when the file cannot be written, and then the guest runs on; ENOTRUNNING, EENDED
   */
  async save(path: string, options: { continue?: boolean; userData?: Json } = {}): Promise<void> {
    if (this.#saving) throw new XennerError('EBUSY', 'the domain is being saved');
    const run = this.#running;
    this.#saving = true;
    try {
      const goOn = options.continue ?? false;
      const backends = await run.freeze();
      const userData = options.userData ?? null;
      await run.order({ kind: 'save', path: resolve(path), goOn, backends, userData });
      if (!goOn) await this.wait();
    } finally {
      this.#saving = false;
      run.thaw();
    }
  }

  /**
   * Writes an ELF core of the guest, which runs on: for GDB, and for what reads cores of Xen's.
   * @throws XennerError (rejection) ESAVE, ENOTRUNNING, EENDED
   */
  async dumpCore(path: string): Promise<void> {
    await this.#running.order({ kind: 'dump-core', path: resolve(path) });
  }

  get devices(): readonly Device[] {
    return [...this.#devices];
  }

  /** Plugs a device in. @throws XennerError ENOTRUNNING, EBUSY, EDEVICE_EXISTS */
  attach(device: Device): void {
    const { backends } = this.#running;
    if (backends === undefined || this.#saving)
      throw new XennerError('EBUSY', 'the domain is not ready for it');
    checkDistinct([...this.#devices, device]);
    backends.devices.add(device);
    this.#devices.add(device);
  }

  /**
   * Asks the guest to let go of a device, and takes it away; with `force` without asking. Resolves when nothing uses it any more.
   * @throws XennerError (rejection) EDEVICE_IN_USE: the guest did not within the time; when it does, the device goes all the same
   */
  async detach(device: Device, { force = false, timeoutMs = DETACH_TIMEOUT_MS } = {}): Promise<void> {
    await this.#run?.backends?.devices.remove(device, { force, timeoutMs });
    this.#devices.delete(device);
  }

  /** What a tool stack asks the guest for. @throws XennerError ENOTRUNNING */
  get control(): GuestControl {
    const { backends } = this.#running;
    if (backends === undefined) throw new XennerError('ENOTRUNNING', 'the domain does not run');
    const { domid, toolstack } = backends;
    return new GuestControl(toolstack, `/local/domain/${domid}`, this.config);
  }

  get #running(): Run {
    if (this.#run !== undefined) return this.#run;
    throw new XennerError('ENOTRUNNING', 'the domain does not run');
  }

  async #over(message: EndMessage, remains: Remains): Promise<void> {
    const { reason } = message;
    if (reason === 'destroyed' || reason === 'saved') return;
    if (reason === 'reboot' && this.config.onReboot === 'restart') return;
    await this.options.watch?.ended?.(endOf(message), remains);
  }

  #ended(run: Run, message: EndMessage): void {
    this.#run = undefined;
    this.#gdb?.ended(message.reason);
    if (message.reason === 'reboot' && this.config.onReboot === 'restart') {
      this.#startAnew(run);
      return;
    }
    this.#finish(endOf(message));
  }

  #startAnew(last: Run): void {
    try {
      this.options.checkReboot?.();
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

  #output(chunk: Buffer): void {
    this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-TAIL_BYTES);
    this.emit('console', chunk);
  }
}

const TAIL_BYTES = 4096;

function endOf({ reason, crash }: EndMessage): DomainEnd {
  return { reason, ...(crash && { crash }) };
}

/**
 * Makes a domain and starts it. The promise resolves when the guest is about to execute its first instruction.
 * @throws XennerError (rejection) with a `code` for what is wrong with the configuration, its files or the host
 */
export async function createDomain(
  config: DomainConfig,
  devices: readonly Device[] = [],
  watch: DomainWatch = {},
): Promise<Domain> {
  const domain = new Domain(completeConfig(config), { devices, watch });
  await domain.listen();
  await domain.start();
  return domain;
}
