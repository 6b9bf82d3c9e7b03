/** The devices of a running guest: what the user gave the domain, and their back ends for one start of the guest. */
import { XennerError } from '../../base/errors.js';
import type { Logger } from '../../base/log.js';
import type { BackendHost } from '../backend/backend-host.js';
import type { Device } from '../backend/device.js';
import { BackendDevice } from '../backend/xenbus.js';
import type { XenstoreHandle } from '../xenstore/index.js';

const keyOf = ({ type, devid }: Pick<Device, 'type' | 'devid'>) => `${type}/${devid}`;

/** @throws XennerError EDEVICE_EXISTS */
export function checkDistinct(devices: readonly Device[]): void {
  const keys = devices.map(keyOf);
  const twice = keys.find((key, i) => keys.indexOf(key) !== i);
  if (twice !== undefined) throw new XennerError('EDEVICE_EXISTS', `there are two devices ${twice}`);
}

export class Devices {
  readonly #backends = new Map<string, BackendDevice>();

  constructor(
    private readonly host: BackendHost,
    private readonly store: XenstoreHandle,
    private readonly log: Logger,
  ) {}

  /** @param restored the guest has it, and knows nothing of its having been saved */
  add(device: Device, restored = false): void {
    const { domid } = this.host;
    const key = keyOf(device);
    const backend = new BackendDevice({
      ...{ store: this.store, domid, devid: device.devid, restored },
      driver: device.driver(this.host),
      log: this.log,
    });
    this.#backends.set(key, backend);
    void backend.removed.then(() => {
      if (this.#backends.get(key) === backend) this.#backends.delete(key);
    });
  }

  /**
   * The guest is asked to let go of it.
   * @throws XennerError (rejection) EDEVICE_IN_USE: it did not in that time; it may later
   */
  async remove(device: Device, { force, timeoutMs }: { force: boolean; timeoutMs: number }): Promise<void> {
    const backend = this.#backends.get(keyOf(device));
    await (force ? backend?.close() : backend?.unplug(timeoutMs));
  }

  /** Whether the guest still has it. */
  has(device: Device): boolean {
    return this.#backends.has(keyOf(device));
  }

  /** Nothing of the guest's is touched any more; it finds all as it was with add(device, true). */
  async suspend(): Promise<void> {
    const backends = [...this.#backends.values()];
    this.#backends.clear();
    await Promise.all(backends.map((backend) => backend.suspend()));
  }
}
