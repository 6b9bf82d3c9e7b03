/**
 * The host's network interfaces: libvirt's virConnect*Interface* calls, without a daemon. What there is, is asked of the kernel each
 * time.
 */
import { type NetworkWatch, watchNetwork } from '../../kvm/index.js';
import { InterfaceError, quoted } from './errors.js';
import { HostInterface } from './host-interface.js';
import { LiveNetwork } from './live.js';

/** What a list is to have; neither or both mean all (VIR_CONNECT_LIST_INTERFACES_*). */
export interface InterfaceFilter {
  readonly active?: boolean | undefined;
  readonly inactive?: boolean | undefined;
}

/** @throws XennerError from all methods: InterfaceErrors; ELINK: the kernel refuses */
export class HostInterfaces {
  /** By name. Ports of bridges and bonds are parts of those, and guests' interfaces none of ours. */
  list({ active, inactive }: InterfaceFilter = {}): HostInterface[] {
    const live = LiveNetwork.read();
    const isWanted = (each: HostInterface) => active === inactive || (each.isActive ? active : inactive);
    return live
      .top()
      .map((link) => new HostInterface(link.name, live))
      .filter(isWanted)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws InterfaceError VIR_ERR_NO_INTERFACE */
  lookupByName(name: string): HostInterface {
    const live = LiveNetwork.read();
    if (live.link(name) !== undefined) return new HostInterface(name, live);
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

  /** Tells whenever links, addresses or routes have changed, until it is closed. */
  watch(changed: () => void): NetworkWatch {
    return watchNetwork(() => changed());
  }
}
