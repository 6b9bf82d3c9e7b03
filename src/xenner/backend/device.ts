/** What a domain can be given, before there is a guest or while it runs. */
import type { BackendHost } from './backend-host.js';
import type { BackendDriver } from './xenbus.js';

/** A disk or a network device: a place in the guest, and what is behind it. Outlives a guest's reboots. */
export interface Device {
  /** `vbd`, `vif`. */
  readonly type: string;
  /** The number that the guest knows it by. */
  readonly devid: number;
  /** Of one start of the guest. */
  driver(host: BackendHost): BackendDriver;
}
