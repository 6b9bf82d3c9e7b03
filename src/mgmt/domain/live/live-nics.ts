/** A live domain's network devices: those that it began with, and those that came later. */
import { XennerError } from '../../../base/errors.js';
import { MAX_DOMAIN_NICS } from '../../../base/limits.js';
import type { Device } from '../../../xenner/backend/device.js';
import type { Domain } from '../../../xenner/domain/domain.js';
import { parseMac, parseVif } from '../config/xl/vif.js';
import type { NicDefinition } from '../definition.js';
import { macFor } from '../identity.js';
import { type OpenNic, openNic, withoutBridge } from '../nics.js';
import type { NicInfo } from './control.js';
import { firstQueue, withStore } from './store.js';

export class LiveNics {
  private nics: readonly OpenNic[] = [];
  /** Of those that are being opened. */
  readonly #reserved = new Set<number>();

  private constructor(private readonly owner: { readonly domid: number; readonly uuid: string }) {}

  /** @throws XennerError (rejection) ETAP, ELINK */
  static async open(
    definitions: readonly NicDefinition[],
    owner: { readonly domid: number; readonly uuid: string },
    say: (text: string) => void,
  ): Promise<LiveNics> {
    const live = new LiveNics(owner);
    try {
      for (const [index, definition] of definitions.entries()) {
        const text = withoutBridge(definition);
        if (text !== undefined) say(`vif ${definition.devid ?? index}: ${text}`);
        try {
          live.nics = [...live.nics, await openNic(definition, index, owner.domid)];
        } catch (error) {
          // Without a bridge nobody has said where it belongs.
          if ((error as XennerError).code !== 'EPASST') throw error;
          say(`vif ${definition.devid ?? index} is not connected: ${(error as Error).message}`);
        }
      }
      return live;
    } catch (error) {
      await live.close();
      throw error;
    }
  }

  get definitions(): readonly NicDefinition[] {
    return this.nics.map(({ definition, device: { devid } }) => ({ ...definition, devid }));
  }

  get bytes(): { readonly sentBytes: number; readonly receivedBytes: number } {
    const counters = this.nics.map((nic) => nic.counters());
    const sum = (direction: 'tx' | 'rx') =>
      counters.reduce((all, each) => all + (each?.[direction].bytes ?? 0), 0);
    return { sentBytes: sum('tx'), receivedBytes: sum('rx') };
  }

  get devices(): readonly Device[] {
    return this.nics.map(({ device }) => device);
  }

  list(domain: Domain): NicInfo[] {
    return withStore(domain, (store, domid) =>
      this.nics.map(({ definition, device: { devid }, port }) => {
        const backend = `/local/domain/0/backend/vif/${domid}/${devid}`;
        const front = `/local/domain/${domid}/device/vif/${devid}`;
        const { mac } = definition;
        const state = store.readInt(`${backend}/state`);
        const queue = firstQueue(store, front);
        return {
          ...{ devid, mac: mac!, state, backend, port: port.name },
          eventChannel: queue('event-channel', 'event-channel-tx'),
          txRingRef: queue('tx-ring-ref'),
          rxRingRef: queue('rx-ring-ref'),
        };
      }),
    );
  }

  /** @throws XennerError (rejection) EINVAL, EDEVICE_EXISTS, EDEVICES; what openNic() throws */
  async attach(domain: Domain, spec: string): Promise<void> {
    let wrong = '';
    const said = parseVif(spec, (kind, text) => {
      if (kind === 'error') wrong = text;
    });
    if (wrong !== '') throw new XennerError('EINVAL', wrong);
    const used = [...this.nics.map(({ device }) => device.devid), ...this.#reserved];
    if (used.length >= MAX_DOMAIN_NICS)
      throw new XennerError('EDEVICES', `the domain has ${used.length} network devices, which is all it can`);
    // As libxl numbers them (libxl__device_nextid): behind the last.
    const devid = said.devid ?? Math.max(-1, ...used) + 1;
    if (used.includes(devid)) throw new XennerError('EDEVICE_EXISTS', `there are two devices vif/${devid}`);
    const { domid, uuid } = this.owner;
    this.#reserved.add(devid);
    try {
      const mac = said.mac ?? macFor(uuid, String(devid));
      await this.#plug(domain, await openNic({ ...said, mac }, devid, domid));
    } finally {
      this.#reserved.delete(devid);
    }
  }

  /**
   * @param which its number or its MAC address
   * @throws XennerError (rejection) ENO_DEVICE, EDEVICE_IN_USE
   */
  async detach(domain: Domain, which: string, force: boolean): Promise<void> {
    const mac = parseMac(which);
    const nic = this.nics.find(({ definition, device }) =>
      mac === undefined ? String(device.devid) === which : definition.mac === mac,
    );
    if (nic === undefined)
      throw new XennerError(
        'ENO_DEVICE',
        `the domain has no network device ${JSON.stringify(which.slice(0, 40))}`,
      );
    await domain.detach(nic.device, { force });
    this.nics = this.nics.filter((other) => other !== nic);
    await nic.port.close();
  }

  async close(): Promise<void> {
    await Promise.all(this.nics.map(({ port }) => port.close()));
  }

  async #plug(domain: Domain, nic: OpenNic): Promise<void> {
    try {
      domain.attach(nic.device);
    } catch (error) {
      await nic.port.close();
      throw error;
    }
    this.nics = [...this.nics, nic];
  }
}
