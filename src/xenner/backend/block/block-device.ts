/** A disk as a domain's device. */
import { XennerError } from '../../../base/errors.js';
import type { Device } from '../device.js';
import { BlockDriver, type BlockDriverOptions } from './driver.js';
import { virtualDeviceNumber } from './virtual-device.js';

/**
 * The image stays its owner's, who closes it when the domain has ended or the device was detached.
 * @throws XennerError EINVAL: no such name of a disk
 */
export function blockDevice(options: Omit<BlockDriverOptions, 'host'>): Device {
  const devid = virtualDeviceNumber(options.name);
  if (devid === undefined)
    throw new XennerError(
      'EINVAL',
      `no virtual disk is called ${options.name}`,
      'use xvda to xvdz, sda or hda',
    );
  return { type: 'vbd', devid, driver: (host) => new BlockDriver({ ...options, host }) };
}
