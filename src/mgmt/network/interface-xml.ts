/** A host interface's document, read as libvirt does (interface_conf.c). Elements that are not known are passed over, as there. */
import { isIPv4, isIPv6 } from 'node:net';
import { MAX_CONFIG_BYTES, MAX_INTERFACE_ADDRESSES, MAX_INTERFACE_PORTS } from '../../base/limits.js';
import { ARP_VALIDATE, BOND_MODES, type Family } from '../../kvm/index.js';
import { parseXml, type XmlElement } from '../xml/tree.js';
import {
  type Arpmon,
  type Bond,
  type Bridge,
  type InterfaceDefinition,
  type InterfaceType,
  isInterfaceName,
  type Miimon,
  type Protocol,
  START_MODES,
  type Vlan,
  withParts,
} from './definition.js';
import { InterfaceError, quoted } from './errors.js';

const TYPES: readonly InterfaceType[] = ['ethernet', 'bridge', 'bond', 'vlan'];
/** What may be a port of what. */
const PORT_TYPES: Readonly<Record<string, readonly InterfaceType[]>> = {
  bridge: ['ethernet', 'vlan', 'bond'],
  bond: ['ethernet'],
};
const MAX_U32 = 0xffffffff;
/** ETH_MIN_MTU, and what no device of Linux exceeds (ETH_MAX_MTU). */
const MTU = { least: 68, most: 65_535 };
/** BR_MAX_FORWARD_DELAY, in seconds. */
const MAX_DELAY_S = 30;

function xmlError(element: XmlElement, what: string): InterfaceError {
  return new InterfaceError('VIR_ERR_XML_ERROR', `line ${element.line}: ${what}`);
}

/** @throws InterfaceError VIR_ERR_XML_ERROR */
export function readInterface(text: string): InterfaceDefinition {
  if (text.length > MAX_CONFIG_BYTES)
    throw new InterfaceError('VIR_ERR_XML_ERROR', 'the document is too large');
  const root = parseXml(text, 'VIR_ERR_XML_ERROR');
  if (root.name !== 'interface')
    throw xmlError(root, `unexpected root element <${root.name}>, expecting <interface>`);
  const definition = readElement(root, undefined);
  const names = withParts(definition).map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw xmlError(root, `interface ${quoted(twice)} is there twice`);
  if (definition.vlan && names.slice(0, -1).includes(definition.vlan.interface))
    throw xmlError(root, 'a VLAN lies on an interface of its own');
  return definition;
}

function readElement(element: XmlElement, parent: InterfaceType | undefined): InterfaceDefinition {
  const type = choice(element, 'type', parent === undefined ? TYPES : PORT_TYPES[parent]!);
  if (type === undefined) throw xmlError(element, 'interface misses the type attribute');
  const vlan = type === 'vlan' ? readVlan(element) : undefined;
  const name = element.get('name') ?? (vlan && `${vlan.interface}.${vlan.tag}`);
  if (name === undefined) throw xmlError(element, 'interface has no name');
  checkName(element, name);
  const isPort = parent !== undefined;
  return {
    type,
    name,
    start: isPort ? undefined : choice(element.find('start'), 'mode', START_MODES),
    mtu: isPort ? undefined : integer(element.find('mtu'), 'size', MTU.most, MTU.least),
    mac: readMac(element),
    protocols: isPort ? [] : readProtocols(element),
    bridge: type === 'bridge' ? readBridge(element) : undefined,
    bond: type === 'bond' ? readBond(element) : undefined,
    vlan,
  };
}

function checkName(element: XmlElement, name: string): void {
  if (!isInterfaceName(name))
    throw xmlError(
      element,
      `${quoted(name)} is no name for an interface: letters, digits, '_', '.' and '-', up to 15`,
    );
}

function readMac(element: XmlElement): string | undefined {
  const mac = element.find('mac')?.get('address')?.toLowerCase();
  if (mac === undefined || /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) return mac;
  throw xmlError(element.find('mac')!, `malformed mac address ${quoted(mac)}`);
}

function readProtocols(element: XmlElement): Protocol[] {
  const protocols = element.all('protocol').map((protocol): Protocol => {
    const family = choice(protocol, 'family', ['ipv4', 'ipv6'] as const);
    if (family === undefined) throw xmlError(protocol, 'protocol misses the family attribute');
    const dhcp = protocol.find('dhcp');
    const peerdns = choice(dhcp, 'peerdns', ['yes', 'no'] as const);
    const ips = protocol.all('ip').map((ip) => readIp(ip, family));
    if (ips.length > MAX_INTERFACE_ADDRESSES) throw xmlError(protocol, 'there are too many addresses');
    const route = protocol.find('route');
    return {
      family,
      autoconf: (family === 'ipv6' && protocol.find('autoconf') !== undefined) || undefined,
      dhcp: dhcp && { peerdns: peerdns && peerdns === 'yes' },
      ips,
      gateway: route && addressOf(route, 'gateway', family),
    };
  });
  if (new Set(protocols.map(({ family }) => family)).size < protocols.length)
    throw xmlError(element, 'there are two protocols of one family');
  return protocols;
}

function readIp(element: XmlElement, family: Family): Protocol['ips'][number] {
  const prefix = integer(element, 'prefix', family === 'ipv4' ? 32 : 128);
  return { address: addressOf(element, 'address', family), prefix };
}

function addressOf(element: XmlElement, attribute: string, family: Family): string {
  const address = element.get(attribute) ?? '';
  if (family === 'ipv4' ? isIPv4(address) : isIPv6(address) && !address.includes('%')) return address;
  throw xmlError(element, `${quoted(address)} is no ${family} address`);
}

function readBridge(element: XmlElement): Bridge {
  const bridge = element.find('bridge');
  if (bridge === undefined) throw xmlError(element, 'bridge interface misses the bridge element');
  const stp = choice(bridge, 'stp', ['on', 'off'] as const);
  return { stp: stp && stp === 'on', delay: readDelay(bridge), interfaces: readPorts(bridge, 'bridge') };
}

/** libvirt's schema has fractions of a second as well. */
function readDelay(bridge: XmlElement): number | undefined {
  const delay = bridge.get('delay');
  if (delay === undefined) return undefined;
  if (/^\d{1,4}(\.\d{1,6})?$/.test(delay) && Number(delay) <= MAX_DELAY_S) return Number(delay);
  throw xmlError(bridge, `delay ${quoted(delay)} is not 0 to ${MAX_DELAY_S} seconds`);
}

function readBond(element: XmlElement): Bond {
  const bond = element.find('bond');
  if (bond === undefined) throw xmlError(element, 'bond interface misses the bond element');
  const interfaces = readPorts(bond, 'bond');
  if (interfaces.length === 0) throw xmlError(bond, 'bond has no interfaces');
  const [miimon, arpmon] = [readMiimon(bond.find('miimon')), readArpmon(bond.find('arpmon'))];
  if (miimon !== undefined && arpmon !== undefined) throw xmlError(bond, 'bond has miimon and arpmon');
  const mode = choice(bond, 'mode', BOND_MODES);
  if (arpmon !== undefined && ['802.3ad', 'balance-tlb', 'balance-alb'].includes(mode ?? ''))
    throw xmlError(bond, `bond mode ${mode} takes no arpmon`);
  return { mode, miimon, arpmon, interfaces };
}

function readMiimon(element: XmlElement | undefined): Miimon | undefined {
  if (element === undefined) return undefined;
  const freq = integer(element, 'freq', MAX_U32);
  if (freq === undefined) throw xmlError(element, 'bond interface miimon freq missing or invalid');
  return {
    freq,
    updelay: integer(element, 'updelay', MAX_U32),
    downdelay: integer(element, 'downdelay', MAX_U32),
    carrier: choice(element, 'carrier', ['ioctl', 'netif'] as const),
  };
}

function readArpmon(element: XmlElement | undefined): Arpmon | undefined {
  if (element === undefined) return undefined;
  const interval = integer(element, 'interval', MAX_U32);
  if (interval === undefined) throw xmlError(element, 'bond interface arpmon interval missing or invalid');
  const target = addressOf(element, 'target', 'ipv4');
  return { interval, target, validate: choice(element, 'validate', ARP_VALIDATE) };
}

function readVlan(element: XmlElement): Vlan {
  const vlan = element.find('vlan');
  const tag = integer(vlan, 'tag', 4095);
  const name = vlan?.find('interface')?.get('name');
  if (vlan === undefined || tag === undefined || name === undefined)
    throw xmlError(element, 'vlan interface misses the tag attribute, or the interface that it lies on');
  checkName(vlan, name);
  return { tag, interface: name };
}

function readPorts(element: XmlElement, type: InterfaceType): InterfaceDefinition[] {
  const ports = element.all('interface');
  if (ports.length > MAX_INTERFACE_PORTS) throw xmlError(element, 'there are too many interfaces');
  return ports.map((port) => readElement(port, type));
}

function choice<T extends string>(
  element: XmlElement | undefined,
  attribute: string,
  values: readonly T[],
): T | undefined {
  const value = element?.get(attribute);
  if (value === undefined || values.includes(value as T)) return value as T | undefined;
  throw xmlError(element!, `${attribute} ${quoted(value)} is none of ${values.join(', ')}`);
}

function integer(
  element: XmlElement | undefined,
  attribute: string,
  most: number,
  least = 0,
): number | undefined {
  const text = element?.get(attribute);
  if (text === undefined) return undefined;
  if (/^\d{1,10}$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text);
  throw xmlError(element!, `${attribute} ${quoted(text)} is not ${least} to ${most}`);
}
