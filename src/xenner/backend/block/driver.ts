/** A virtual block device (public/io/blkif.h): what it says in xenstore, and front ends that come and go. */
import { XennerError } from '../../../base/errors.js';
import {
  MAX_BLOCK_INDIRECT_SEGMENTS,
  MAX_BLOCK_QUEUES,
  MAX_BLOCK_RING_PAGE_ORDER,
} from '../../../base/limits.js';
import { createLogger, type Logger } from '../../../base/log.js';
import { VDISK_CDROM, VDISK_READONLY } from '../../abi/blkif.js';
import type { BackendHost } from '../backend-host.js';
import type { BackendConnection, BackendDriver, DeviceNodeMap } from '../xenbus.js';
import type { BlockImage } from './block-image.js';
import { BlockConnection } from './connection.js';
import { type BlockStatistics, Disk } from './disk.js';
import { frontEndParameters } from './front-end.js';
import { virtualDeviceNumber } from './virtual-device.js';

/** Images are kept in blocks of so many bytes: file systems', and clusters' smallest. */
const PHYSICAL_SECTOR_BYTES = 4096;
const DEFAULT_QUEUES = 4;

export interface BlockDriverOptions {
  readonly host: BackendHost;
  readonly image: BlockImage;
  /** As the guest is to name it: `xvda`, `sdb1`. */
  readonly name: string;
  /** The guest may not write; an image that cannot be written is read-only anyway. */
  readonly readOnly?: boolean;
  readonly cdrom?: boolean;
  /** Node `params`: where the image comes from, for those who look at xenstore. */
  readonly params?: string;
  /**
   * Offer feature-persistent: pages stay mapped, and the guest copies all its data to and from them. Off by default, since a mapping
   * costs us one exchange in the grant entry, less than the guest's copy of a page.
   */
  readonly persistent?: boolean;
  /** Rings that a front end may have; default 4. */
  readonly maxQueues?: number;
  /** 0: no indirect requests; default 256. */
  readonly maxIndirectSegments?: number;
  /** For images that fail. */
  readonly log?: Logger;
}

function within(what: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new XennerError('EINVAL', `${what} must be a number from ${min} to ${max}, not ${value}`);
}

export class BlockDriver implements BackendDriver {
  readonly type = 'vbd';
  /** Node `virtual-device`, and the device's number in xenstore's paths. */
  readonly devid: number;
  readonly #options: BlockDriverOptions;
  readonly #disk: Disk;
  readonly #maxQueues: number;
  readonly #log: Logger;

  /** @throws XennerError EINVAL: no such device name, or a number out of range */
  constructor(options: BlockDriverOptions) {
    const { image, name, readOnly = false, cdrom = false } = options;
    const devid = virtualDeviceNumber(name);
    if (devid === undefined)
      throw new XennerError('EINVAL', `no virtual disk is called ${name}`, 'use xvda to xvdz, sda or hda');
    this.devid = devid;
    this.#options = options;
    this.#maxQueues = within('maxQueues', options.maxQueues ?? DEFAULT_QUEUES, 1, MAX_BLOCK_QUEUES);
    const maxIndirect = options.maxIndirectSegments ?? MAX_BLOCK_INDIRECT_SEGMENTS;
    this.#disk = new Disk(
      image,
      readOnly || cdrom || image.readOnly,
      within('maxIndirectSegments', maxIndirect, 0, MAX_BLOCK_INDIRECT_SEGMENTS),
    );
    this.#log = options.log ?? createLogger();
  }

  get statistics(): Readonly<BlockStatistics> {
    return this.#disk.statistics;
  }

  /** What the tool stack and the device say, before the front end is let in. */
  features(): DeviceNodeMap {
    const { image, readOnly, sectors, canDiscard, maxIndirectSegments } = this.#disk;
    const { name, cdrom = false, persistent = false, params = '' } = this.#options;
    const physical =
      image.sizeBytes % PHYSICAL_SECTOR_BYTES === 0 ? PHYSICAL_SECTOR_BYTES : image.sectorBytes;
    const nodes: Record<string, string | number> = {
      dev: name,
      'device-type': cdrom ? 'cdrom' : 'disk',
      mode: readOnly ? 'r' : 'w',
      params,
      sectors,
      'sector-size': image.sectorBytes,
      'physical-sector-size': physical,
      info: (readOnly ? VDISK_READONLY : 0) | (cdrom ? VDISK_CDROM : 0),
      'max-ring-page-order': MAX_BLOCK_RING_PAGE_ORDER,
      'multi-queue-max-queues': this.#maxQueues,
      'feature-persistent': Number(persistent),
      'feature-flush-cache': 1,
      'feature-barrier': 1,
      'feature-discard': Number(canDiscard),
    };
    if (maxIndirectSegments > 0) nodes['feature-max-indirect-segments'] = maxIndirectSegments;
    if (canDiscard) {
      nodes['discard-granularity'] = physical;
      nodes['discard-alignment'] = 0;
      nodes['discard-secure'] = 0;
    }
    return new Map(Object.entries(nodes).map(([node, value]) => [node, `${value}`]));
  }

  frontendNodes(): DeviceNodeMap {
    const { cdrom = false } = this.#options;
    return new Map([
      ['virtual-device', `${this.devid}`],
      ['device-type', cdrom ? 'cdrom' : 'disk'],
    ]);
  }

  /** @throws XennerError (rejection) EFRONTEND, EPORT: what is wrong with the front end's nodes */
  async connect(nodes: DeviceNodeMap, failed: (reason: string) => void): Promise<BackendConnection> {
    const { host, name, persistent = false } = this.#options;
    const asked = frontEndParameters(nodes, this.#maxQueues);
    return BlockConnection.open({
      host,
      disk: this.#disk,
      frontEnd: { ...asked, persistent: asked.persistent && persistent },
      broken: failed,
      failed: (error) => {
        const { code = 'error', message } = error as NodeJS.ErrnoException;
        this.#log.warnOnce(`${name} ${code}`, `${name}: ${message}`);
      },
    });
  }
}
