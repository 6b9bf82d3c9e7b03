/** The host's interfaces as they are now: one look at the kernel's links, addresses and routes, and documents of it. */
import { readFileSync } from 'node:fs';
import {
  type Address,
  type BondData,
  IFF_UP,
  type Link,
  type Route,
  RT_TABLE_MAIN,
  readAddresses,
  readLinks,
  readRoutes,
} from '../../kvm/index.js';
import type { Bond, InterfaceDefinition, InterfaceType, Protocol } from './definition.js';

const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;

export class LiveNetwork {
  readonly #byIndex: ReadonlyMap<number, Link>;
  readonly #byName: ReadonlyMap<string, Link>;

  constructor(
    readonly links: readonly Link[],
    readonly addresses: readonly Address[],
    readonly routes: readonly Route[],
  ) {
    this.#byIndex = new Map(links.map((link) => [link.index, link]));
    this.#byName = new Map(links.map((link) => [link.name, link]));
  }

  /** @throws XennerError ELINK */
  static read(): LiveNetwork {
    return new LiveNetwork(readLinks(), readAddresses(), readRoutes());
  }

  link(which: string | number): Link | undefined {
    return typeof which === 'string' ? this.#byName.get(which) : this.#byIndex.get(which);
  }

  /** Interfaces that stand by themselves: no ports of others, none of guests' (as libvirt, nothing with tun_flags). */
  top(): Link[] {
    return this.links.filter(
      ({ master, kind, type }) =>
        (master === undefined || !this.#byIndex.has(master)) &&
        kind !== 'tun' &&
        (type === ARPHRD_ETHER || type === ARPHRD_LOOPBACK),
    );
  }

  portsOf(index: number): Link[] {
    return this.links.filter(({ master }) => master === index).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** It, the bridge or bond that it is a port of and what lies on that, and all that lies below it: what a failure of one cuts. */
  around(index: number): Set<number> {
    const found = new Set<number>();
    const walk = (at: number | undefined) => {
      const link = at === undefined ? undefined : this.#byIndex.get(at);
      if (link === undefined || found.has(link.index)) return;
      found.add(link.index);
      walk(link.kind === 'vlan' ? link.below : undefined);
      for (const port of this.portsOf(link.index)) walk(port.index);
    };
    walk(index);
    return found;
  }

  /** As libvirt's udev driver tells it, and with addresses, which that one does not know. */
  define(link: Link, isPort = false): InterfaceDefinition {
    const { name, mtu, address: mac, operstate, bridge, bond, vlanId } = link;
    const below = link.below === undefined ? undefined : this.#byIndex.get(link.below);
    const ports = () => this.portsOf(link.index).map((port) => this.define(port, true));
    return {
      type: typeOf(link),
      name,
      mtu,
      mac,
      link: { speed: speedOf(name), state: operstate },
      protocols: isPort ? [] : this.#protocols(link),
      bridge: bridge && { stp: bridge.stp, delay: bridge.forwardDelay / 100, interfaces: ports() },
      bond: bond && { ...bondOf(bond), interfaces: ports() },
      vlan: vlanId !== undefined && below !== undefined ? { tag: vlanId, interface: below.name } : undefined,
    };
  }

  #protocols({ index, flags }: Link): Protocol[] {
    if (!(flags & IFF_UP)) return [];
    return (['ipv4', 'ipv6'] as const)
      .map((family): Protocol => {
        const mine = this.addresses.filter((each) => each.link === index && each.family === family);
        const route = this.routes.find(
          (each) =>
            each.link === index &&
            each.family === family &&
            each.destination === undefined &&
            each.table === RT_TABLE_MAIN,
        );
        const ips = mine.map(({ address, prefix }) => ({ address, prefix }));
        return { family, ips, gateway: route?.gateway };
      })
      .filter(({ ips, gateway }) => ips.length > 0 || gateway !== undefined);
  }
}

/** A VLAN whose interface is in another namespace cannot be told as one. */
function typeOf({ kind, below, vlanId }: Link): InterfaceType {
  if (kind === 'bridge' || kind === 'bond') return kind;
  return kind === 'vlan' && below !== undefined && vlanId !== undefined ? 'vlan' : 'ethernet';
}

function bondOf(bond: BondData): Omit<Bond, 'interfaces'> {
  const { mode, miimon, updelay, downdelay, useCarrier, arpInterval, arpTargets, arpValidate } = bond;
  const [target] = arpTargets;
  if (miimon > 0)
    return {
      mode,
      miimon: { freq: miimon, updelay, downdelay, carrier: useCarrier ? 'netif' : 'ioctl' },
    };
  if (arpInterval > 0 && target !== undefined)
    return { mode, arpmon: { interval: arpInterval, target, validate: arpValidate } };
  return { mode };
}

/** Mbit/s. rtnetlink does not tell it; a device that is down fails with EINVAL, and one that does not know it says -1. */
function speedOf(name: string): number | undefined {
  try {
    const speed = Number(readFileSync(`/sys/class/net/${name}/speed`, 'utf8'));
    return speed > 0 ? speed : undefined;
  } catch {
    return undefined;
  }
}
