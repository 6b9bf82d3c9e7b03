/** Interfaces in files of systemd-networkd: systemd.network(5), systemd.netdev(5). */
import { isIPv4, isIPv6 } from 'node:net';
import { ARP_VALIDATE, BOND_MODES, type Family } from '../../../kvm/index.js';
import { type Bond, isInterfaceName, type Protocol, type StartMode } from '../definition.js';
import {
  type Changes,
  type ConfigSystem,
  type Files,
  type FlatInterface,
  unsupported,
} from './config-system.js';
import { Ini } from './ini.js';

const FOLDER = '/etc/systemd/network';
/** In a file that is there for nothing else. */
const FOR_VLANS = '# For the VLANs on it.\n';
const KINDS = ['bridge', 'bond', 'vlan'] as const;

interface Found {
  readonly path: string;
  readonly ini: Ini;
}

export const networkd: ConfigSystem = {
  name: 'systemd-networkd',
  signs: ['/run/systemd/netif', `${FOLDER}/*.network`],
  patterns: [`${FOLDER}/*.network`, `${FOLDER}/*.netdev`],
  read: (files) => {
    const networks = all(files, '.network', 'Match');
    const netdevs = all(files, '.netdev', 'NetDev');
    const names = [...new Set([...networks.keys(), ...netdevs.keys()])];
    const parents = new Map<string, string>();
    for (const [name, { ini }] of networks)
      for (const vlan of ini.all('Network', 'VLAN')) parents.set(vlan, name);
    return names.map((name) =>
      read(name, networks.get(name)?.ini, netdevs.get(name)?.ini, parents.get(name)),
    );
  },
  put: (files, flat) => {
    const changes: Changes = new Map();
    const network = find(files, '.network', 'Match', flat.name);
    writeNetwork(network.ini, flat);
    changes.set(network.path, network.ini.text.replace(FOR_VLANS, ''));
    const netdev = find(files, '.netdev', 'NetDev', flat.name);
    if (flat.type === 'ethernet') {
      if (files.has(netdev.path)) changes.set(netdev.path, undefined);
      return changes;
    }
    writeNetdev(netdev.ini, flat);
    changes.set(netdev.path, netdev.ini.text);
    return writeParents(files, flat.name, flat.vlan?.interface, changes);
  },
  remove: (files, name) => {
    const changes: Changes = new Map();
    // All of its files: what the first one has hidden would come to life.
    for (const [path, text] of files) {
      const section = path.endsWith('.netdev') ? 'NetDev' : 'Match';
      if (new Ini(text).get(section, 'Name') === name) changes.set(path, undefined);
    }
    return writeParents(files, name, undefined, changes);
  },
};

/** Files of one interface each, by its name. One that matches by anything else is not ours. The first by name counts, as there. */
function all(files: Files, suffix: string, section: string): Map<string, Found> {
  const found = new Map<string, Found>();
  for (const path of [...files.keys()].sort()) {
    if (!path.endsWith(suffix)) continue;
    const ini = new Ini(files.get(path)!);
    const name = ini.get(section, 'Name');
    if (name !== undefined && isInterfaceName(name) && !found.has(name)) found.set(name, { path, ini });
  }
  return found;
}

function find(files: Files, suffix: string, section: string, name: string): Found {
  const path = `${FOLDER}/10-${name}${suffix}`;
  return all(files, suffix, section).get(name) ?? { path, ini: new Ini(files.get(path) ?? '') };
}

/** The interface below names its VLANs. One that is configured nowhere gets a file for that. */
function writeParents(files: Files, vlan: string, parent: string | undefined, changes: Changes): Changes {
  for (const [name, { path, ini }] of all(files, '.network', 'Match')) {
    const vlans = ini.all('Network', 'VLAN');
    if (name === parent || !vlans.includes(vlan)) continue;
    ini.set('Network', 'VLAN', ...vlans.filter((each) => each !== vlan));
    const isLeft = vlans.length > 1 || !ini.text.startsWith(FOR_VLANS);
    if (!changes.has(path)) changes.set(path, isLeft ? ini.text : undefined);
  }
  if (parent === undefined) return changes;
  const { path, ini: found } = find(files, '.network', 'Match', parent);
  const ini = files.has(path) ? found : new Ini(FOR_VLANS);
  const vlans = ini.all('Network', 'VLAN');
  ini.set('Match', 'Name', parent);
  if (!vlans.includes(vlan)) ini.set('Network', 'VLAN', ...vlans, vlan);
  return changes.set(path, ini.text);
}

function writeNetwork(ini: Ini, flat: FlatInterface): void {
  const { name, mac, mtu, start, protocols, master } = flat;
  ini.set('Match', 'Name', name);
  // A port of a bond has the bond's address, so it is the device's own that tells it.
  ini.set('Match', 'PermanentMACAddress', flat.type === 'ethernet' ? mac : undefined);
  ini.set('Link', 'MTUBytes', mtu);
  ini.set('Link', 'ActivationPolicy', start === 'none' ? 'manual' : undefined);
  ini.set('Link', 'RequiredForOnline', start === 'hotplug' ? 'no' : undefined);
  const of = (family: Family) => protocols.find((each) => each.family === family);
  const [ipv4, ipv6] = [of('ipv4'), of('ipv6')];
  const dhcp = [ipv4?.dhcp && 'ipv4', ipv6?.dhcp && 'ipv6'].filter((each) => each !== undefined);
  ini.set('Network', 'DHCP', dhcp.length === 2 ? 'yes' : dhcp[0]);
  ini.set('Network', 'IPv6AcceptRA', ipv6 && (ipv6.autoconf ? 'yes' : 'no'));
  const addresses = protocols.flatMap(({ ips }) =>
    ips.map(({ address, prefix }) => `${address}/${prefix ?? hostPrefix(address)}`),
  );
  ini.set('Network', 'Address', ...addresses);
  ini.set('Network', 'Gateway', ...protocols.map(({ gateway }) => gateway));
  for (const [protocol, section] of [
    [ipv4, 'DHCPv4'],
    [ipv6, 'DHCPv6'],
  ] as const) {
    const peerdns = protocol?.dhcp?.peerdns;
    ini.set(section, 'UseDNS', peerdns === undefined ? undefined : peerdns ? 'yes' : 'no');
  }
  // Which of the two it is, its definition says; the other is written when that one is.
  ini.set('Network', 'Bridge', master !== undefined && flat.masterType === 'bridge' ? master : undefined);
  ini.set('Network', 'Bond', master !== undefined && flat.masterType === 'bond' ? master : undefined);
}

const hostPrefix = (address: string) => (isIPv6(address) ? 128 : 32);

function writeNetdev(ini: Ini, { name, type, bridge, bond, vlan }: FlatInterface): void {
  ini.set('NetDev', 'Name', name);
  ini.set('NetDev', 'Kind', type);
  if (bridge !== undefined) {
    ini.set('Bridge', 'STP', bridge.stp === undefined ? undefined : bridge.stp ? 'yes' : 'no');
    ini.set('Bridge', 'ForwardDelaySec', bridge.delay);
  }
  if (vlan !== undefined) ini.set('VLAN', 'Id', vlan.tag);
  if (bond !== undefined) writeBond(ini, bond);
}

function writeBond(ini: Ini, { mode, miimon, arpmon }: Bond): void {
  if (miimon?.carrier === 'ioctl') throw unsupported('systemd-networkd', "miimon's carrier 'ioctl'");
  const ms = (time: number | undefined) => (time === undefined ? undefined : `${time}ms`);
  ini.set('Bond', 'Mode', mode);
  ini.set('Bond', 'MIIMonitorSec', ms(miimon?.freq));
  ini.set('Bond', 'UpDelaySec', ms(miimon?.updelay));
  ini.set('Bond', 'DownDelaySec', ms(miimon?.downdelay));
  ini.set('Bond', 'ARPIntervalSec', ms(arpmon?.interval));
  ini.set('Bond', 'ARPIPTargets', arpmon?.target);
  ini.set('Bond', 'ARPValidate', arpmon?.validate);
}

function read(
  name: string,
  network: Ini | undefined,
  netdev: Ini | undefined,
  parent: string | undefined,
): FlatInterface {
  const get = (section: string, key: string) => network?.get(section, key);
  const kind = KINDS.find((each) => each === netdev?.get('NetDev', 'Kind'));
  const tag = number(netdev?.get('VLAN', 'Id'));
  const vlan =
    kind === 'vlan' && tag !== undefined && parent !== undefined ? { tag, interface: parent } : undefined;
  const [bridgeName, bondName] = [get('Network', 'Bridge'), get('Network', 'Bond')];
  return {
    type: kind === 'vlan' && vlan === undefined ? 'ethernet' : (kind ?? 'ethernet'),
    name,
    start: startOf(get('Link', 'ActivationPolicy'), get('Link', 'RequiredForOnline')),
    mtu: number(get('Link', 'MTUBytes')),
    mac: get('Match', 'PermanentMACAddress')?.toLowerCase(),
    protocols: network === undefined ? [] : readProtocols(network),
    bridge: kind === 'bridge' ? readBridge(netdev!) : undefined,
    bond: kind === 'bond' ? readBond(netdev!) : undefined,
    vlan,
    master: bridgeName ?? bondName,
    masterType: bridgeName !== undefined ? 'bridge' : bondName !== undefined ? 'bond' : undefined,
  };
}

function startOf(policy: string | undefined, required: string | undefined): StartMode {
  if (policy === 'manual' || policy === 'down' || policy === 'always-down') return 'none';
  return required === 'no' ? 'hotplug' : 'onboot';
}

function readProtocols(ini: Ini): Protocol[] {
  const dhcp = ini.get('Network', 'DHCP')?.toLowerCase() ?? 'no';
  const addresses = ini.all('Network', 'Address').map((each) => each.split('/') as [string, string?]);
  return (['ipv4', 'ipv6'] as const)
    .map((family): Protocol => {
      const isOf = family === 'ipv4' ? isIPv4 : isIPv6;
      const acceptsRa = family === 'ipv6' ? ini.get('Network', 'IPv6AcceptRA') : undefined;
      const dns = ini.get(family === 'ipv4' ? 'DHCPv4' : 'DHCPv6', 'UseDNS');
      return {
        family,
        autoconf: isYes(acceptsRa) || undefined,
        dhcp:
          isYes(dhcp) || dhcp === family
            ? { peerdns: dns === undefined ? undefined : isYes(dns) }
            : undefined,
        ips: addresses
          .filter(([address]) => isOf(address))
          .map(([address, prefix]) => ({ address, prefix: number(prefix) ?? hostPrefix(address) })),
        gateway: ini.all('Network', 'Gateway').find(isOf),
      };
    })
    .filter(({ autoconf, dhcp, ips, gateway }) => autoconf || dhcp || ips.length > 0 || gateway);
}

/** parse_boolean() of systemd. */
function isYes(value: string | undefined): boolean {
  return value !== undefined && ['1', 'yes', 'y', 'true', 't', 'on'].includes(value.toLowerCase());
}

function readBridge(ini: Ini): NonNullable<FlatInterface['bridge']> {
  const stp = ini.get('Bridge', 'STP');
  const delay = milliseconds(ini.get('Bridge', 'ForwardDelaySec'));
  return { stp: stp === undefined ? undefined : isYes(stp), delay: delay && delay / 1000, interfaces: [] };
}

function readBond(ini: Ini): Bond {
  const get = (key: string) => ini.get('Bond', key);
  const [freq, interval] = [milliseconds(get('MIIMonitorSec')), milliseconds(get('ARPIntervalSec'))];
  const target = get('ARPIPTargets')?.split(/[\s,]+/)[0];
  return {
    mode: BOND_MODES.find((each) => each === get('Mode')),
    miimon:
      freq === undefined
        ? undefined
        : { freq, updelay: milliseconds(get('UpDelaySec')), downdelay: milliseconds(get('DownDelaySec')) },
    arpmon:
      interval === undefined || target === undefined || !isIPv4(target)
        ? undefined
        : { interval, target, validate: ARP_VALIDATE.find((each) => each === get('ARPValidate')) },
    interfaces: [],
  };
}

function number(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** What we write, and the plain ones of systemd.time(7): seconds, or with a unit. */
function milliseconds(text: string | undefined): number | undefined {
  const [, value, unit] = /^(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|sec|min)?$/.exec(text ?? '') ?? [];
  if (value === undefined) return undefined;
  return Math.round(Number(value) * (unit === 'ms' ? 1 : unit === 'min' ? 60_000 : 1000));
}
