/**
 * The host's network interfaces: libvirt's virConnect*Interface* calls, without a daemon. What there is, is asked of the kernel each
 * time; what there is to be, stands in the files of the host's own system for that.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type NetworkWatch, watchNetwork } from '../../kvm/index.js';
import { configDirectory, runtimeDirectory } from '../state/directories.js';
import { exclusively } from '../state/exclusively.js';
import {
  assemble,
  type ConfigSystem,
  define,
  flatten,
  undefine,
  withChanges,
} from './config/config-system.js';
import { readConfig } from './config/host-files.js';
import { systemByName, systemInUse } from './config/systems.js';
import type { InterfaceDefinition } from './definition.js';
import { InterfaceError, quoted } from './errors.js';
import { HostInterface } from './host-interface.js';
import { readInterface } from './interface-xml.js';
import { LiveNetwork } from './live.js';
import { Transactions } from './transaction.js';

export interface HostInterfacesOptions {
  /** `systemd-networkd`, `ifupdown`; by default XENNER_NETWORK_CONFIG, or what the host uses. */
  readonly system?: string | undefined;
  /** Of the host's files; by default XENNER_NETWORK_ROOT, or `/`. */
  readonly root?: string | undefined;
  /** By default XENNER_CONFIG_DIR, /etc/xenner for root, or below XDG_CONFIG_HOME. */
  readonly configDirectory?: string | undefined;
  /** By default XENNER_RUN_DIR, /run/xenner for root, or below XDG_RUNTIME_DIR. */
  readonly runDirectory?: string | undefined;
  /** Is told, a line each, of what was found half done. */
  readonly report?: ((line: string) => void) | undefined;
}

/** What a list is to have; neither or both mean all (VIR_CONNECT_LIST_INTERFACES_*). */
export interface InterfaceFilter {
  readonly active?: boolean | undefined;
  readonly inactive?: boolean | undefined;
}

/** @throws XennerError from all methods: InterfaceErrors; ELINK: the kernel refuses; EBUSY: another process changes interfaces */
export class HostInterfaces {
  /** Undefined: none that we know. */
  readonly system: ConfigSystem | undefined;
  /** Of the host's files. */
  readonly root: string;
  readonly #options: HostInterfacesOptions;

  constructor(options: HostInterfacesOptions = {}) {
    this.#options = options;
    this.root = options.root ?? (process.env.XENNER_NETWORK_ROOT || '/');
    const name = options.system ?? (process.env.XENNER_NETWORK_CONFIG || undefined);
    this.system = name === undefined ? systemInUse(this.root) : systemByName(name);
  }

  /** By name. Ports of bridges and bonds are parts of those, and guests' interfaces none of ours. */
  list({ active, inactive }: InterfaceFilter = {}): HostInterface[] {
    const live = LiveNetwork.read();
    const definitions = new Map(this.definitions().map((each) => [each.name, each]));
    const names = new Set([...live.top().map(({ name }) => name), ...definitions.keys()]);
    const isWanted = (each: HostInterface) => active === inactive || (each.isActive ? active : inactive);
    return [...names]
      .sort()
      .map((name) => new HostInterface(this, name, live, definitions.get(name)))
      .filter(isWanted);
  }

  /** @throws InterfaceError VIR_ERR_NO_INTERFACE */
  lookupByName(name: string): HostInterface {
    const live = LiveNetwork.read();
    const definition = this.definitions().find((each) => each.name === name);
    if (live.link(name) !== undefined || definition !== undefined)
      return new HostInterface(this, name, live, definition);
    throw new InterfaceError(
      'VIR_ERR_NO_INTERFACE',
      `couldn't find interface named ${quoted(name)}`,
      "'xenner iface-list --all' shows those that there are",
    );
  }

  /** @throws InterfaceError VIR_ERR_NO_INTERFACE, VIR_ERR_MULTIPLE_INTERFACES */
  lookupByMac(mac: string): HostInterface {
    const [found, another] = this.list().filter((each) => each.mac === mac.toLowerCase());
    if (found === undefined)
      throw new InterfaceError(
        'VIR_ERR_NO_INTERFACE',
        `couldn't find interface with MAC address ${quoted(mac)}`,
      );
    if (another === undefined) return found;
    throw new InterfaceError(
      'VIR_ERR_MULTIPLE_INTERFACES',
      `${found.name} and ${another.name} both have the MAC address ${mac}`,
      'say the name',
    );
  }

  /** By name or MAC address, as virsh takes either. */
  lookup(which: string): HostInterface {
    const isMac = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(which);
    return isMac ? this.lookupByMac(which) : this.lookupByName(which);
  }

  /** Makes or changes a definition. What runs, goes on as it is (virInterfaceDefineXML). */
  async define(xml: string): Promise<HostInterface> {
    const definition = readInterface(xml);
    await this.change((system) => {
      this.#checkParts(definition);
      return define(system, readConfig(system, this.root), definition);
    });
    return this.lookupByName(definition.name);
  }

  /** Takes it out of the configuration, with its ports. */
  async undefine(name: string): Promise<void> {
    await this.change((system) => undefine(system, readConfig(system, this.root), name));
  }

  /** In the place of one of another name. */
  async replace(name: string, definition: InterfaceDefinition): Promise<void> {
    await this.change((system) => {
      const files = readConfig(system, this.root);
      const changes = undefine(system, files, name);
      for (const change of define(system, withChanges(files, changes), definition)) changes.set(...change);
      return changes;
    });
  }

  /** Remembers files and state as they are. Returns an id for rollbackOf(). */
  begin(): Promise<string> {
    return this.#exclusively((transactions) => transactions.begin(this.#needsSystem()));
  }

  /** What was changed since begin() is to stay. */
  commit(): Promise<void> {
    return this.#exclusively((transactions) => transactions.commit());
  }

  /** Files are what they were at begin(), and so are links, addresses and routes. */
  rollback(): Promise<void> {
    return this.#exclusively((transactions) => transactions.rollback());
  }

  /** The same, unless that one has ended meanwhile. */
  rollbackOf(id: string): Promise<void> {
    return this.#exclusively((transactions) => {
      if (transactions.isUnderWay(id)) transactions.rollback();
    });
  }

  /** Tells whenever links, addresses or routes have changed, until it is closed. */
  watch(changed: () => void): NetworkWatch {
    return watchNetwork(() => changed());
  }

  /** All that can be read of the host's configuration; without its ports' own. */
  definitions(): InterfaceDefinition[] {
    return this.system === undefined ? [] : assemble(this.system.read(readConfig(this.system, this.root)));
  }

  /** Alone with all of the host's interfaces, as far as they are changed by us. */
  change(plan: (system: ConfigSystem) => ReturnType<typeof define>): Promise<void> {
    const system = this.#needsSystem();
    return this.#exclusively((transactions) => transactions.change(system, plan(system)));
  }

  alone<T>(act: () => T | Promise<T>): Promise<T> {
    return this.#exclusively(act);
  }

  #exclusively<T>(act: (transactions: Transactions) => T | Promise<T>): Promise<T> {
    const { configDirectory: config, runDirectory: run, report = () => {} } = this.#options;
    const lockFolder = join(run ?? runtimeDirectory(), 'network');
    mkdirSync(lockFolder, { recursive: true, mode: 0o700 });
    const transactions = new Transactions(join(config ?? configDirectory(), 'network'), this.root, report);
    return exclusively(join(lockFolder, 'lock'), () => {
      transactions.recover();
      return act(transactions);
    });
  }

  /** @throws InterfaceError VIR_ERR_OPERATION_INVALID: a part of it is one of another definition */
  #checkParts(definition: InterfaceDefinition): void {
    const own = new Set(flatten(definition).map(({ name }) => name));
    for (const other of this.definitions()) {
      if (other.name === definition.name) continue;
      const shared = flatten(other).find(({ name }) => own.has(name) && name !== other.name);
      if (shared !== undefined)
        throw new InterfaceError(
          'VIR_ERR_OPERATION_INVALID',
          `${quoted(shared.name)} is a part of ${quoted(other.name)}`,
        );
    }
  }

  #needsSystem(): ConfigSystem {
    if (this.system !== undefined) return this.system;
    throw new InterfaceError(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      'nothing that we know keeps interfaces on this host',
      'XENNER_NETWORK_CONFIG says what is to: systemd-networkd or ifupdown',
    );
  }
}
