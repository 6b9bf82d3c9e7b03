/** Network devices of a definition, plugged in on the host: a bridge by a tap, a macvtap, or passt where there is no bridge to be had. */
import type { BackendHost } from '../../xenner/backend/backend-host.js';
import type { Device } from '../../xenner/backend/device.js';
import { NetDriver } from '../../xenner/backend/net/net-driver.js';
import type { NetPort } from '../../xenner/backend/net/net-port.js';
import type { VifCounters } from '../../xenner/backend/net/vif.js';
import type { NicDefinition } from './definition.js';

export interface OpenNic {
  readonly definition: NicDefinition;
  readonly device: Device;
  readonly port: NetPort;
  /** Of this start of the guest. */
  counters(): VifCounters | undefined;
}

/**
 * @param nic with its MAC, as withIdentity() gives it
 * @param index its place in the list
 * @throws XennerError (rejection) ETAP, ELINK, EPASST
 */
export async function openNic(nic: NicDefinition, index: number, domid: number): Promise<OpenNic> {
  const { mac, mtu, rate, bridge, vifname } = nic;
  const devid = nic.devid ?? index;
  const port = await openPort(nic, `vif${domid}.${devid}`);
  const options = { mac: mac!, handle: devid, mtu, rate, bridge, vifname };
  let driver: NetDriver | undefined;
  const start = (host: BackendHost) => {
    driver = new NetDriver(host, port, options);
    return driver;
  };
  return {
    definition: nic,
    port,
    device: { type: 'vif', devid, driver: start },
    counters: () => driver?.counters,
  };
}

/** Only root makes taps; anybody can have passt. */
const hasTap = ({ bridge }: NicDefinition) => bridge !== undefined && process.geteuid!() === 0;

/** What the user should know of an interface that does not get its bridge. */
export function withoutBridge(nic: NicDefinition): string | undefined {
  if (nic.bridge === undefined || hasTap(nic)) return undefined;
  return `bridge=${nic.bridge}: only root can join a bridge, so passt is its network`;
}

async function openPort(nic: NicDefinition, name: string): Promise<NetPort> {
  const { bridge, vifname, mtu, macvtap, mac } = nic;
  if (macvtap !== undefined) {
    const { openMacvtapPort } = await import('../../xenner/backend/net/tap-port.js');
    return openMacvtapPort(macvtap, mac);
  }
  if (hasTap(nic)) {
    const { openTapPort } = await import('../../xenner/backend/net/tap-port.js');
    return openTapPort({ name: vifname ?? name, bridge, mtu });
  }
  const { openPasstPort } = await import('../../xenner/backend/net/passt-port.js');
  return openPasstPort({ mtu });
}
