/** A domain in a process of its own: its folder, its devices, and its starts one after the other, until it is to be no more. */
import { setTimeout as delay } from 'node:timers/promises';
import { XennerError } from '../../../base/errors.js';
import { MAX_CONSOLE_INPUT_BYTES, MIN_GUEST_MEMORY_MIB } from '../../../base/limits.js';
import type { DomainConfig } from '../../../xenner/domain/config.js';
import { createDomain, type Domain, type DomainEnd, type Remains } from '../../../xenner/domain/domain.js';
import type { EndReason } from '../../../xenner/domain/messages.js';
import { restoreDomain } from '../../../xenner/save/restore.js';
import { XenstoreSocket } from '../../../xenner/xenstore/index.js';
import type { MenuChoice } from '../../guestfs/boot.js';
import type { BootConfig } from '../../guestfs/loader/boot-config.js';
import { type JsonObject, toLibxl } from '../config/json.js';
import type { DomainDefinition } from '../definition.js';
import { afterEnd } from './after-end.js';
import { type BootFiles, bootFiles } from './boot-files.js';
import type { ConsoleMenu } from './console-menu.js';
import { ConsoleServer } from './console-server.js';
import type { DomainInfo, UsageInfo } from './control.js';
import { listenControl } from './control-server.js';
import { handlersOf } from './handlers.js';
import { type LiveDevices, openDevices } from './live-devices.js';
import type { LiveDisks } from './live-disks.js';
import type { LiveNics } from './live-nics.js';
import type { DomainFolder } from './runtime-directory.js';
import { withStore } from './store.js';
import type { UnixServer } from './unix-server.js';
import { PAGES_PER_MIB } from './usage.js';

/** A guest that ends as soon as it starts is not to keep the host busy. */
const MIN_MS_BETWEEN_STARTS = 2000;
/** For whoever said so to join the console. */
const CONSOLE_TIMEOUT_MS = 10_000;

/** Plain data: it goes from process to process. */
export interface LiveOptions {
  /** What the definition says nothing of. */
  readonly host: Partial<DomainConfig>;
  readonly paused: boolean;
  /** Somebody is about to join its console: the boot loader's menu waits for that. */
  readonly console?: boolean;
  /** It begins as what was saved there. */
  readonly restore?: { readonly path: string; readonly verify: boolean };
}

/** One line of the domain's log. */
export type Say = (text: string) => void;

export class LiveDomain {
  readonly disks: LiveDisks;
  readonly nics: LiveNics;
  readonly #console = new ConsoleServer((typed) => this.#type(typed));
  #menu: ConsoleMenu | undefined;
  /** Typed while there was neither a guest nor a menu. */
  #early: Buffer = Buffer.alloc(0);
  #control: UnixServer | undefined;
  #domain: Domain | undefined;
  #boot: BootFiles | undefined;
  #store: XenstoreSocket | undefined;
  /** 0: it never was. */
  #startedAt = 0;
  #isToEnd = false;
  /** What comes after this guest. */
  #next: 'destroy' | 'restart' = 'destroy';
  /** Of a guest that has ended, until that is dealt with. */
  #remains: Remains | undefined;
  /** Ends the wait of a domain that is preserved. */
  #release = () => {};
  /** Since it was defined: it stays so over a reboot, as with xl (libxl_retrieve_domain_configuration()). */
  #asked: Partial<Pick<DomainDefinition, 'memoryMiB' | 'vcpus'>> = {};
  readonly #waiters = new Set<(reason: EndReason) => void>();
  readonly #ended: Promise<void>;
  #resolveEnded = () => {};

  private constructor(
    private readonly folder: DomainFolder,
    readonly definition: DomainDefinition,
    private readonly options: LiveOptions,
    private readonly say: Say,
    devices: LiveDevices,
  ) {
    this.disks = devices.disks;
    this.nics = devices.nics;
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /**
   * Resolves when the guest is about to execute its first instruction.
   * @param folder becomes the domain's, which removes it at its end, or when it cannot be started
   * @param listening its console can be joined
   * @throws XennerError (rejection) what opening its devices and createDomain() throw
   */
  static async start(
    folder: DomainFolder,
    definition: DomainDefinition,
    options: LiveOptions,
    say: Say,
    listening: (domid: number) => void,
  ): Promise<LiveDomain> {
    const live = new LiveDomain(folder, definition, options, say, await openDevices(folder, definition, say));
    try {
      await live.#open(listening);
    } catch (error) {
      await live.#close();
      throw error;
    }
    void live.#live();
    return live;
  }

  get domid(): number {
    return this.folder.record.domid;
  }

  /** Nothing of it is left. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** @throws XennerError ENOTRUNNING */
  get running(): Domain {
    if (this.#guest !== undefined) return this.#guest;
    throw new XennerError('ENOTRUNNING', 'the domain does not run');
  }

  /** That has not ended. */
  get #guest(): Domain | undefined {
    return this.#remains === undefined ? this.#domain : undefined;
  }

  get #currentMemoryMiB(): number {
    return this.folder.record.memoryMiB - (this.#guest?.stats().freePages ?? 0) / PAGES_PER_MIB;
  }

  info(): DomainInfo {
    const definition = this.#now();
    const domain = this.#guest;
    const run = domain && {
      engine: domain.engine,
      profile: domain.profile,
      storeDomid: withStore(domain, (_, domid) => domid),
      currentMemoryMiB: this.#currentMemoryMiB,
    };
    return { ...this.folder.record, ...run, definition };
  }

  usage(): UsageInfo {
    const { disks, nics, definition } = this;
    return {
      vcpus: this.#guest?.vcpuUsage() ?? [],
      maxMemoryMiB: definition.maxMemoryMiB,
      currentMemoryMiB: this.#currentMemoryMiB,
      ...{ nics: nics.devices.length, ...nics.bytes, disks: disks.counters },
    };
  }

  async pause(): Promise<void> {
    await this.running.pause();
    this.folder.setState('paused');
  }

  async unpause(): Promise<void> {
    await this.running.unpause();
    this.folder.setState('running');
  }

  setMemory(memoryMiB: number): void {
    this.running.control.setMemory(memoryMiB);
    // No definition has less than a guest can begin with.
    this.#asked = { ...this.#asked, memoryMiB: Math.max(memoryMiB, MIN_GUEST_MEMORY_MIB) };
  }

  setVcpus(vcpus: number): void {
    this.running.control.setVcpus(vcpus);
    this.#asked = { ...this.#asked, vcpus };
  }

  async rename(name: string): Promise<void> {
    await this.folder.rename(name);
    const { uuid } = this.folder.record;
    if (this.#guest === undefined) return;
    withStore(this.#guest, (store, domid) => {
      store.write(`/local/domain/${domid}/name`, name);
      store.write(`/vm/${uuid}/name`, name);
    });
  }

  /** @param config as libxl writes it: what the file is to say of the domain, instead of what it is now */
  async save(
    path: string,
    { goOn, pause }: { goOn: boolean; pause: boolean },
    config: JsonObject = toLibxl(this.#now()),
  ): Promise<void> {
    const { state } = this.folder.record;
    // Before: it stays as it is in the file.
    if (pause) await this.pause();
    try {
      await this.running.save(path, { continue: goOn || pause, userData: config });
    } catch (error) {
      if (pause && state === 'running') await this.unpause();
      throw error;
    }
  }

  async dumpCore(path: string): Promise<void> {
    await (this.#remains ?? this.running).dumpCore(path);
  }

  /** As the guest's end comes about: it may be one that a restart follows. */
  nextEnd(): Promise<EndReason> {
    return new Promise((resolve) => this.#waiters.add(resolve));
  }

  /** Resolves when nothing of it is left. */
  async destroy(): Promise<void> {
    this.#isToEnd = true;
    this.#menu?.cancel();
    this.#release();
    await this.#domain?.destroy();
    await this.#ended;
  }

  async #open(listening: (domid: number) => void): Promise<void> {
    const { folder } = this;
    await this.#console.listen(folder.file('console'));
    this.#control = await listenControl(folder.file('control'), handlersOf(this));
    listening(this.domid);
    await this.#start();
    if (this.options.paused) await this.pause();
  }

  /** One start of the guest: as with xl, its boot loader is looked at each time. */
  async #start(): Promise<void> {
    const { folder, options } = this;
    await this.#boot?.remove();
    const devices = [...this.disks.devices, ...this.nics.devices];
    const watch = { ended: (end: DomainEnd, remains: Remains) => this.#guestEnded(end, remains) };
    const saved = this.#startedAt === 0 ? options.restore : undefined;
    const domain =
      saved === undefined
        ? await createDomain(await this.#config(), devices, watch)
        : await restoreDomain(
            saved.path,
            { ...options.host, onReboot: 'end', verify: saved.verify },
            devices,
            watch,
          );
    this.#startedAt = Date.now();
    this.#domain = domain;
    domain.on('console', (chunk) => this.#console.output(chunk));
    domain.on('consoleDrained', () => this.#console.resumeInput());
    if (domain.writeConsole(this.#early)) this.#console.resumeInput();
    this.#early = Buffer.alloc(0);
    this.#store = await XenstoreSocket.listen(domain.xenstore, folder.file('xenstore'));
    if (saved === undefined) this.#setTargets(domain);
    // What `uptime` tells: xl's begins anew with every start, too.
    folder.setState('running', { startedAt: this.#startedAt });
  }

  async #config(): Promise<DomainConfig> {
    const { definition, folder, options } = this;
    this.#boot = await bootFiles(definition.boot!, this.disks.open, folder.path, (read) =>
      this.#choose(read),
    );
    const { kernel, ramdisk, cmdline } = this.#boot;
    return {
      ...{ name: folder.record.name, uuid: folder.record.uuid, domid: this.domid, kernel, cmdline },
      ...(ramdisk !== undefined && { ramdisk }),
      // What it may have at most is what it begins with: the rest is taken back before its driver looks.
      ...{ memoryMiB: definition.maxMemoryMiB, vcpus: definition.maxVcpus },
      ...options.host,
      onReboot: 'end',
    };
  }

  /** By whoever is on the console; where nobody is, there is no menu. */
  async #choose(read: () => Promise<BootConfig>): Promise<MenuChoice | undefined> {
    if (this.options.console === true) await this.#console.watched(CONSOLE_TIMEOUT_MS);
    if (!this.#console.isWatched || this.#isToEnd) return undefined;
    const { ConsoleMenu } = await import('./console-menu.js');
    this.#menu = new ConsoleMenu(await read(), (text) => this.#console.output(Buffer.from(text)));
    this.#console.resumeInput();
    try {
      return await this.#menu.choice;
    } finally {
      this.#menu = undefined;
    }
  }

  #type(typed: Buffer): boolean {
    if (this.#menu !== undefined) this.#menu.input(typed);
    else if (this.#guest !== undefined) return this.#guest.writeConsole(typed);
    else if (this.#early.length < MAX_CONSOLE_INPUT_BYTES) this.#early = Buffer.concat([this.#early, typed]);
    return this.#menu !== undefined;
  }

  #setTargets({ control }: Domain): void {
    const { memoryMiB, maxMemoryMiB, vcpus, maxVcpus } = this.#now();
    if (memoryMiB < maxMemoryMiB) control.setMemory(memoryMiB);
    if (vcpus < maxVcpus) control.setVcpus(vcpus);
  }

  async #live(): Promise<void> {
    try {
      while (!this.#isToEnd) {
        const { reason } = await this.running.wait();
        this.#domain = undefined;
        await this.#store?.close();
        this.#tell(reason);
        if (this.#next !== 'restart' || this.#isToEnd) break;
        await delay(Math.max(0, this.#startedAt + MIN_MS_BETWEEN_STARTS - Date.now()));
        this.#next = 'destroy';
        if (!this.#isToEnd) await this.#start();
      }
    } catch (error) {
      this.say((error as Error).message);
    }
    await this.#close();
  }

  #tell(reason: EndReason): void {
    for (const tell of this.#waiters) tell(reason);
    this.#waiters.clear();
  }

  /** While its memory is still there. */
  async #guestEnded(end: DomainEnd, remains: Remains): Promise<void> {
    const { folder, options, say } = this;
    this.#remains = remains;
    const definition = this.#now();
    const closeDevices = async () => {
      await this.nics.close();
      await this.disks.close();
    };
    const next = this.#isToEnd
      ? 'destroy'
      : await afterEnd({ folder, definition, options, say, closeDevices }, end, remains);
    this.#next = next === 'restart' ? 'restart' : 'destroy';
    if (next === 'preserve') {
      this.#tell(end.reason);
      await this.#preserve(end.reason);
    }
    this.#remains = undefined;
  }

  /** What it was defined as, with what it was given and asked for since. */
  #now(): DomainDefinition {
    const { name, uuid } = this.folder.record;
    const empty = this.definition.disks.filter(({ format }) => format === 'empty');
    const disks = [...this.disks.definitions, ...empty];
    return { ...this.definition, ...this.#asked, name, uuid, disks, nics: this.nics.definitions };
  }

  /** Until somebody destroys it. */
  async #preserve(reason: EndReason): Promise<void> {
    this.folder.setState('shutdown', { shutdownReason: reason });
    if (this.#isToEnd) return;
    await new Promise<void>((resolve) => {
      this.#release = resolve;
    });
  }

  async #close(): Promise<void> {
    await this.#domain?.destroy();
    await this.#store?.close();
    await this.nics.close();
    await this.disks.close();
    this.folder.remove();
    this.#resolveEnded();
    // Whoever asked for the end hears of it first.
    setImmediate(() => {
      this.#console.close();
      this.#control?.close();
    });
  }
}
