/** A network device as a domain's device. */
import type { Device } from '../device.js';
import { type NetDeviceOptions, NetDriver } from './net-driver.js';
import type { NetPort } from './net-port.js';

/** The port stays its owner's, who closes it when the domain has ended or the device was detached. */
export function netDevice(port: NetPort, options: NetDeviceOptions): Device {
  return { type: 'vif', devid: options.handle, driver: (host) => new NetDriver(host, port, options) };
}
