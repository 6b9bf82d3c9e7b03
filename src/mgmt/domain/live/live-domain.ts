/** A domain in a process of its own: its folder, its devices, and its starts one after the other, until it is to be no more. */
import { setTimeout as delay } from 'node:timers/promises';
import { XennerError } from '../../../base/errors.js';
import type { DomainConfig } from '../../../xenner/domain/config.js';
import { formatCrash } from '../../../xenner/domain/crash.js';
import { createDomain, type Domain, type DomainEnd } from '../../../xenner/domain/domain.js';
import type { EndReason } from '../../../xenner/domain/messages.js';
import { XenstoreSocket } from '../../../xenner/xenstore/index.js';
import type { Action, DomainDefinition } from '../definition.js';
import { type BootFiles, bootFiles } from './boot-files.js';
import { ConsoleServer } from './console-server.js';
import type { DomainInfo } from './control.js';
import { listenControl } from './control-server.js';
import { handlersOf } from './handlers.js';
import { LiveDisks } from './live-disks.js';
import { LiveNics } from './live-nics.js';
import type { DomainFolder } from './runtime-directory.js';
import { withStore } from './store.js';
import type { UnixServer } from './unix-server.js';
import { PAGES_PER_MIB } from './usage.js';

/** A guest that ends as soon as it starts is not to keep the host busy. */
const MIN_MS_BETWEEN_STARTS = 2000;

/** Plain data: it goes from process to process. */
export interface LiveOptions {
  /** What the definition says nothing of. */
  readonly host: Partial<DomainConfig>;
  readonly paused: boolean;
}

/** One line of the domain's log. */
export type Say = (text: string) => void;

interface LiveDevices {
  readonly disks: LiveDisks;
  readonly nics: LiveNics;
}

export class LiveDomain {
  readonly disks: LiveDisks;
  readonly nics: LiveNics;
  readonly #console = new ConsoleServer((typed) => this.#domain?.writeConsole(typed) ?? true);
  #control: UnixServer | undefined;
  #domain: Domain | undefined;
  #boot: BootFiles | undefined;
  #store: XenstoreSocket | undefined;
  #startedAt = 0;
  #isToEnd = false;
  /** Ends the wait of a domain that is preserved. */
  #release = () => {};
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
   * @throws XennerError (rejection) what opening its devices and createDomain() throw
   */
  static async start(
    folder: DomainFolder,
    definition: DomainDefinition,
    options: LiveOptions,
    say: Say,
  ): Promise<LiveDomain> {
    const live = new LiveDomain(folder, definition, options, say, await openDevices(folder, definition, say));
    try {
      await live.#open();
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
    if (this.#domain !== undefined) return this.#domain;
    throw new XennerError('ENOTRUNNING', 'the domain does not run');
  }

  info(): DomainInfo {
    const { definition } = this;
    const domain = this.#domain;
    const run = domain && {
      engine: domain.engine,
      profile: domain.profile,
      currentMemoryMiB: this.folder.record.memoryMiB - domain.stats().freePages / PAGES_PER_MIB,
      storeDomid: withStore(domain, (_, domid) => domid),
    };
    return { ...this.folder.record, ...run, definition };
  }

  async pause(): Promise<void> {
    await this.running.pause();
    this.folder.setState('paused');
  }

  async unpause(): Promise<void> {
    await this.running.unpause();
    this.folder.setState('running');
  }

  async rename(name: string): Promise<void> {
    await this.folder.rename(name);
    const { uuid } = this.folder.record;
    if (this.#domain === undefined) return;
    withStore(this.#domain, (store, domid) => {
      store.write(`/local/domain/${domid}/name`, name);
      store.write(`/vm/${uuid}/name`, name);
    });
  }

  async save(path: string, { goOn, pause }: { goOn: boolean; pause: boolean }): Promise<void> {
    await this.running.save(path, { continue: goOn || pause });
    if (pause) await this.pause();
  }

  /** As the guest's end comes about: it may be one that a restart follows. */
  nextEnd(): Promise<EndReason> {
    return new Promise((resolve) => this.#waiters.add(resolve));
  }

  /** Resolves when nothing of it is left. */
  async destroy(): Promise<void> {
    this.#isToEnd = true;
    this.#release();
    await this.#domain?.destroy();
    await this.#ended;
  }

  async #open(): Promise<void> {
    const { folder } = this;
    await this.#console.listen(folder.file('console'));
    this.#control = await listenControl(folder.file('control'), handlersOf(this));
    await this.#start();
    if (this.options.paused) await this.pause();
  }

  /** One start of the guest: as with xl, its boot loader is looked at each time. */
  async #start(): Promise<void> {
    const { definition, folder } = this;
    await this.#boot?.remove();
    this.#boot = await bootFiles(definition.boot!, this.disks.open, folder.path);
    const { kernel, ramdisk, cmdline } = this.#boot;
    this.#startedAt = Date.now();
    const domain = await createDomain(
      {
        ...{ name: folder.record.name, uuid: folder.record.uuid, kernel, cmdline },
        ...(ramdisk !== undefined && { ramdisk }),
        // What it may have at most is what it begins with: the rest is taken back before its driver looks.
        ...{ memoryMiB: definition.maxMemoryMiB, vcpus: definition.maxVcpus },
        ...this.options.host,
        onReboot: 'end',
      },
      [...this.disks.devices, ...this.nics.devices],
    );
    this.#domain = domain;
    domain.on('console', (chunk) => this.#console.output(chunk));
    domain.on('consoleDrained', () => this.#console.resumeInput());
    this.#store = await XenstoreSocket.listen(domain.xenstore, folder.file('xenstore'));
    const { memoryMiB, maxMemoryMiB, vcpus, maxVcpus } = definition;
    if (memoryMiB < maxMemoryMiB) domain.control.setMemory(memoryMiB);
    if (vcpus < maxVcpus) domain.control.setVcpus(vcpus);
    folder.setState('running');
  }

  async #live(): Promise<void> {
    try {
      while (!this.#isToEnd) {
        const end = await this.running.wait();
        this.#domain = undefined;
        await this.#store?.close();
        for (const tell of this.#waiters) tell(end.reason);
        this.#waiters.clear();
        const action = this.#actionAfter(end);
        if (action === 'destroy') break;
        if (action === 'preserve') {
          await this.#preserve(end.reason === 'crash' ? 'crashed' : 'shutdown');
        } else {
          await delay(Math.max(0, this.#startedAt + MIN_MS_BETWEEN_STARTS - Date.now()));
          if (!this.#isToEnd) await this.#start();
        }
      }
    } catch (error) {
      this.say((error as Error).message);
    }
    await this.#close();
  }

  #actionAfter({ reason, crash }: DomainEnd): 'destroy' | 'preserve' | 'restart' {
    this.say(`the guest ended: ${reason}`);
    if (crash !== undefined) this.say(`${crash.why}\n${formatCrash(crash)}`);
    if (this.#isToEnd || reason === 'destroyed' || reason === 'saved' || reason === 'suspend')
      return 'destroy';
    const action: Action = this.definition.lifecycle[`on_${reason}`];
    if (action === 'destroy' || action === 'preserve' || action === 'restart') return action;
    const instead = action === 'coredump-destroy' ? 'destroy' : 'restart';
    this.say(`on_${reason}="${action}" cannot be had; taken for "${instead}"`);
    return instead;
  }

  /** Until somebody destroys it. */
  async #preserve(state: 'crashed' | 'shutdown'): Promise<void> {
    this.folder.setState(state);
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

/** All of them, or none, and no folder either. */
async function openDevices(
  folder: DomainFolder,
  { disks: diskDefinitions, nics: nicDefinitions }: DomainDefinition,
  say: Say,
): Promise<LiveDevices> {
  let disks: LiveDisks | undefined;
  try {
    disks = await LiveDisks.open(diskDefinitions);
    return { disks, nics: await LiveNics.open(nicDefinitions, folder.record, say) };
  } catch (error) {
    await disks?.close();
    folder.remove();
    throw error;
  }
}
