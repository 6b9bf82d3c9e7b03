/** One network interface of the host: libvirt's virInterface* calls. */
import { IFF_UP } from '../../kvm/index.js';
import { bringUp, takeDown } from './apply.js';
import { flatten } from './config/config-system.js';
import type { InterfaceDefinition } from './definition.js';
import { checkDhcp, runDhcp, wantsDhcp } from './dhcp.js';
import { InterfaceError, quoted } from './errors.js';
import { checkConnection } from './guard.js';
import type { HostInterfaces } from './host-interfaces.js';
import { readInterface } from './interface-xml.js';
import { writeInterface } from './interface-xml-writer.js';
import { LiveNetwork } from './live.js';
import { restoreLive, snapshotLive } from './restore.js';

export interface ChangeOptions {
  /** Even if it cuts the caller's connection, or the host's default route. */
  readonly force?: boolean | undefined;
}

export interface BridgeOptions extends ChangeOptions {
  readonly stp?: boolean | undefined;
  /** Forward delay in seconds. */
  readonly delay?: number | undefined;
  readonly start?: boolean | undefined;
}

/** As it was when it was looked up. */
export class HostInterface {
  constructor(
    private readonly interfaces: HostInterfaces,
    readonly name: string,
    private readonly live: LiveNetwork,
    /** As the host's configuration has it. */
    readonly definition: InterfaceDefinition | undefined,
  ) {}

  /** It is there, and up; whether it has a carrier is told by its document's link. */
  get isActive(): boolean {
    return ((this.live.link(this.name)?.flags ?? 0) & IFF_UP) !== 0;
  }

  get mac(): string | undefined {
    return this.live.link(this.name)?.address ?? this.definition?.mac;
  }

  /** What is now, or what is configured where there is nothing. */
  get xml(): string {
    const link = this.live.link(this.name);
    return link === undefined ? this.inactiveXml : writeInterface(this.live.define(link));
  }

  /** What is configured. @throws InterfaceError VIR_ERR_NO_INTERFACE */
  get inactiveXml(): string {
    return writeInterface(this.#defined());
  }

  /** @throws InterfaceError (rejection) VIR_ERR_OPERATION_INVALID where it runs; all as it was where anything fails */
  async start({ force }: ChangeOptions = {}): Promise<void> {
    const definition = this.#defined();
    await this.interfaces.alone(async () => {
      const before = LiveNetwork.read();
      if (((before.link(this.name)?.flags ?? 0) & IFF_UP) !== 0)
        throw new InterfaceError('VIR_ERR_OPERATION_INVALID', 'interface is already running');
      const { system } = this.interfaces;
      if (wantsDhcp(definition)) checkDhcp(system, this.interfaces.root);
      const names = flatten(definition).map(({ name }) => name);
      if (!force) checkConnection(names, before, process.env.SSH_CONNECTION);
      const snapshot = snapshotLive(before);
      try {
        bringUp(definition);
        if (wantsDhcp(definition)) await runDhcp(system!, this.name, 'start');
      } catch (error) {
        restoreLive(snapshot, new Set(names));
        throw error;
      }
    });
  }

  /** @throws InterfaceError (rejection) VIR_ERR_OPERATION_INVALID where it does not run */
  async destroy({ force }: ChangeOptions = {}): Promise<void> {
    await this.interfaces.alone(async () => {
      const live = LiveNetwork.read();
      const link = live.link(this.name);
      if (link === undefined || (link.flags & IFF_UP) === 0)
        throw new InterfaceError('VIR_ERR_OPERATION_INVALID', 'interface is not running');
      const definition = this.definition ?? live.define(link);
      const names = [this.name, ...flatten(definition).map(({ name }) => name)];
      if (!force) checkConnection(names, live, process.env.SSH_CONNECTION);
      const { system } = this.interfaces;
      if (wantsDhcp(definition) && system !== undefined) await runDhcp(system, this.name, 'stop');
      takeDown(definition);
    });
  }

  /**
   * Makes it the port of a new bridge, which takes its addresses over, and starts that.
   *
   * @throws InterfaceError (rejection) VIR_ERR_OPERATION_INVALID
   */
  async bridge(name: string, options: BridgeOptions = {}): Promise<void> {
    const { stp = true, delay = 0, start = true } = options;
    const own = this.definition ?? this.live.define(this.live.link(this.name)!);
    const { start: mode = 'onboot', mtu, protocols, link: _, ...port } = own;
    const ports = [{ ...port, protocols: [] }];
    const bridge = { stp, delay, interfaces: ports };
    await this.#replace({ type: 'bridge', name, start: mode, mtu, protocols, bridge }, { ...options, start });
  }

  /** The other way round: of a bridge with one port. @throws InterfaceError (rejection) VIR_ERR_OPERATION_INVALID */
  async unbridge({ start = true, force }: BridgeOptions = {}): Promise<string> {
    const { bridge, start: mode, mtu, protocols } = this.#defined();
    const [port, another] = bridge?.interfaces ?? [];
    if (port === undefined || another !== undefined)
      throw new InterfaceError(
        'VIR_ERR_OPERATION_INVALID',
        `${quoted(this.name)} is not a bridge with one port`,
      );
    await this.#replace({ ...port, start: mode, mtu, protocols }, { start, force });
    return port.name;
  }

  /** Checked first, since a connection that is cut in the middle brings nobody back. */
  async #replace(definition: InterfaceDefinition, { start, force }: BridgeOptions): Promise<void> {
    const text = writeInterface(definition);
    const checked = readInterface(text);
    const others = this.interfaces.definitions().filter(({ name }) => name !== this.name);
    const isTaken = definition.type === 'bridge' && this.live.link(definition.name) !== undefined;
    if (isTaken || others.some(({ name }) => name === definition.name))
      throw new InterfaceError('VIR_ERR_OPERATION_INVALID', `there is ${quoted(definition.name)} already`);
    const names = [this.name, ...flatten(checked).map(({ name }) => name)];
    if (start && !force) checkConnection(names, this.live, process.env.SSH_CONNECTION);
    const { system } = this.interfaces;
    if (start && wantsDhcp(checked)) checkDhcp(system, this.interfaces.root);
    await this.interfaces.replace(this.name, checked);
    if (!start) return;
    await this.interfaces.alone(async () => {
      const snapshot = snapshotLive();
      try {
        if (definition.type !== 'bridge') takeDown(this.#defined());
        bringUp(checked);
        if (wantsDhcp(checked)) await runDhcp(system!, checked.name, 'start');
      } catch (error) {
        restoreLive(snapshot, new Set(names));
        throw error;
      }
    });
  }

  /** @throws InterfaceError (rejection) VIR_ERR_NO_INTERFACE where it is not configured */
  async undefine(): Promise<void> {
    this.#defined();
    await this.interfaces.undefine(this.name);
  }

  #defined(): InterfaceDefinition {
    if (this.definition !== undefined) return this.definition;
    throw new InterfaceError('VIR_ERR_NO_INTERFACE', `interface ${quoted(this.name)} is not configured`);
  }
}
