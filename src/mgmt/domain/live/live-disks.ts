/** A live domain's disks: those that it began with, and those that came later. */
import { XennerError } from '../../../base/errors.js';
import { MAX_DOMAIN_DISKS } from '../../../base/limits.js';
import { virtualDeviceNumber } from '../../../xenner/backend/block/virtual-device.js';
import type { Device } from '../../../xenner/backend/device.js';
import type { Domain } from '../../../xenner/domain/domain.js';
import type { ImageCounters } from '../../storage/counted-image.js';
import { parseDisk } from '../config/xl/disk.js';
import type { DiskDefinition } from '../definition.js';
import { closeDisks, type OpenDisk, openDisk, openDisks } from '../disks.js';
import type { BlockInfo } from './control.js';
import { firstQueue, withStore } from './store.js';

export class LiveDisks {
  private constructor(private disks: readonly OpenDisk[]) {}

  static async open(definitions: readonly DiskDefinition[]): Promise<LiveDisks> {
    return new LiveDisks(await openDisks(definitions));
  }

  get definitions(): readonly DiskDefinition[] {
    return this.disks.map(({ definition }) => definition);
  }

  get counters(): readonly ImageCounters[] {
    return this.disks.map(({ image }) => image.counters);
  }

  get open(): readonly OpenDisk[] {
    return this.disks;
  }

  get devices(): readonly Device[] {
    return this.disks.map(({ device }) => device);
  }

  list(domain: Domain): BlockInfo[] {
    return withStore(domain, (store, domid) =>
      this.disks.map(({ definition: { vdev, path, format, readOnly }, device: { devid } }) => {
        const backend = `/local/domain/0/backend/vbd/${domid}/${devid}`;
        const queue = firstQueue(store, `/local/domain/${domid}/device/vbd/${devid}`);
        return {
          ...{ vdev, devid, path, format, readOnly, backend },
          state: store.readInt(`${backend}/state`),
          eventChannel: queue('event-channel'),
          ringRef: queue('ring-ref', 'ring-ref0'),
        };
      }),
    );
  }

  /** @throws XennerError (rejection) EINVAL, EDEVICE_EXISTS, EDEVICES; what openDisk() throws */
  async attach(domain: Domain, spec: string, folder: string): Promise<void> {
    let wrong = '';
    const definition = parseDisk(spec, folder, (kind, text) => {
      if (kind === 'error') wrong = text;
    });
    if (definition === undefined) throw new XennerError('EINVAL', wrong);
    const disk = await openDisk(definition);
    try {
      if (this.disks.length >= MAX_DOMAIN_DISKS)
        throw new XennerError('EDEVICES', `the domain has ${this.disks.length} disks, which is all it can`);
      domain.attach(disk.device);
    } catch (error) {
      await disk.image.close();
      throw error;
    }
    this.disks = [...this.disks, disk];
  }

  /** @throws XennerError (rejection) ENO_DEVICE, EDEVICE_IN_USE */
  async detach(domain: Domain, name: string, force: boolean): Promise<void> {
    const devid = virtualDeviceNumber(name) ?? Number(name);
    const disk = this.disks.find(({ device }) => device.devid === devid);
    if (disk === undefined)
      throw new XennerError('ENO_DEVICE', `the domain has no disk ${JSON.stringify(name.slice(0, 40))}`);
    await domain.detach(disk.device, { force });
    this.disks = this.disks.filter((other) => other !== disk);
    await disk.image.close();
  }

  close(): Promise<void> {
    return closeDisks(this.disks);
  }
}
