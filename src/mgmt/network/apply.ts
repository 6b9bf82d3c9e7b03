/** Interfaces brought up and taken down by rtnetlink, as their definitions say. */
import {
  type Address,
  addAddress,
  addRoute,
  changeLink,
  createLink,
  deleteLink,
  type Link,
  linkIndex,
  type NewLink,
  RT_TABLE_MAIN,
  removeAddress,
  removeRoute,
} from '../../kvm/index.js';
import { type FlatInterface, flatten } from './config/config-system.js';
import type { Bond, InterfaceDefinition } from './definition.js';
import { InterfaceError, quoted } from './errors.js';
import { LiveNetwork } from './live.js';

/** Kinds that exist because somebody made them, and are gone when they are stopped. */
export const VIRTUAL: readonly string[] = ['bridge', 'bond', 'vlan'];
const hostPrefix = (address: string) => (address.includes(':') ? 128 : 32);

/** @throws InterfaceError VIR_ERR_OPERATION_FAILED where a part of it cannot be what it is to be; ELINK */
export function bringUp(definition: InterfaceDefinition): void {
  const parts = flatten(definition);
  const before = LiveNetwork.read();
  for (const part of parts) check(part, before);
  for (const part of parts) make(part, before);
  for (const part of parts) if (part.master !== undefined) enslave(part);
  for (const part of parts) {
    if (part.master === undefined && part.mtu !== undefined) changeLink(part.name, { mtu: part.mtu });
    if (part.vlan !== undefined) changeLink(part.vlan.interface, { up: true });
    changeLink(part.name, { up: true });
  }
  const live = LiveNetwork.read();
  for (const part of parts) setAddresses(part, live);
}

function check(part: FlatInterface, live: LiveNetwork): void {
  const link = live.link(part.name);
  const failure = (what: string) => new InterfaceError('VIR_ERR_OPERATION_FAILED', what);
  if (part.type === 'ethernet' && link === undefined)
    throw failure(`there is no network device ${quoted(part.name)}`);
  if (part.vlan !== undefined && live.link(part.vlan.interface) === undefined)
    throw failure(`there is no interface ${quoted(part.vlan.interface)} for the VLAN ${quoted(part.name)}`);
  if (link === undefined || part.type === 'ethernet') {
    const { mac } = part;
    if (mac !== undefined && link !== undefined && link.address !== mac && link.master === undefined)
      throw failure(`${quoted(part.name)} has the MAC address ${link.address}, not ${mac}`);
    return;
  }
  const below = link.below === undefined ? undefined : live.link(link.below)?.name;
  const isSame =
    link.kind === part.type &&
    (part.vlan === undefined || (link.vlanId === part.vlan.tag && below === part.vlan.interface));
  if (!isSame) throw failure(`there is ${quoted(part.name)} already, and it is another one`);
}

function make(part: FlatInterface, live: LiveNetwork): void {
  const kind = kindOf(part);
  if (kind === undefined) return;
  const link = live.link(part.name);
  if (link === undefined) createLink(part.name, kind);
  // A bond changes its mode only while it is down and without ports (bond_option_mode_set()).
  else if (kind.kind === 'bond' && kind.mode === link.bond?.mode)
    changeLink(part.name, {}, { ...kind, mode: undefined });
  else if (kind.kind !== 'vlan') changeLink(part.name, {}, kind);
}

function kindOf({ bridge, bond, vlan }: FlatInterface): NewLink | undefined {
  if (vlan !== undefined) return { kind: 'vlan', below: linkIndex(vlan.interface)!, id: vlan.tag };
  if (bond !== undefined) return { kind: 'bond', ...bondData(bond) };
  if (bridge === undefined) return undefined;
  const { stp, delay } = bridge;
  return { kind: 'bridge', stp, forwardDelay: delay === undefined ? undefined : Math.round(delay * 100) };
}

function bondData({ mode, miimon, arpmon }: Bond) {
  return {
    mode,
    miimon: miimon?.freq,
    updelay: miimon?.updelay,
    downdelay: miimon?.downdelay,
    useCarrier: miimon?.carrier === undefined ? undefined : miimon.carrier === 'netif',
    arpInterval: arpmon?.interval,
    arpTargets: arpmon && [arpmon.target],
    arpValidate: arpmon?.validate,
  };
}

function enslave({ name, master, masterType }: FlatInterface): void {
  const index = linkIndex(master!)!;
  if (LiveNetwork.read().link(name)?.master === index) return;
  // A bond takes only what is down.
  if (masterType === 'bond') changeLink(name, { up: false });
  changeLink(name, { master: index });
}

/** Those that the definition has, and none that somebody else gave it for good; what DHCP or the kernel did stays. */
function setAddresses({ name, protocols, master }: FlatInterface, live: LiveNetwork): void {
  const link = live.link(name)!;
  const wanted = protocols.flatMap(({ ips }) =>
    ips.map(({ address, prefix }) => ({ address, prefix: prefix ?? hostPrefix(address) })),
  );
  const isWanted = (each: Address) =>
    wanted.some(({ address, prefix }) => address === each.address && prefix === each.prefix);
  const isStale = (each: Address) => (each.isPermanent || master !== undefined) && !isWanted(each);
  for (const each of globalAddresses(live, link)) if (isStale(each)) removeAddress(link.index, each);
  for (const each of wanted) addAddress(link.index, each);
  for (const { family, gateway } of protocols)
    if (gateway !== undefined) addRoute(link.index, { family, destination: undefined, gateway });
}

/** But the kernel's own. */
export function globalAddresses(live: LiveNetwork, { index }: Link): Address[] {
  return live.addresses.filter(({ link, isLinkLocal }) => link === index && !isLinkLocal);
}

/** What was made for it is gone then; devices are down and without addresses. @throws XennerError ELINK */
export function takeDown(definition: InterfaceDefinition): void {
  for (const part of flatten(definition).reverse()) {
    const live = LiveNetwork.read();
    const link = live.link(part.name);
    if (link === undefined) continue;
    if (VIRTUAL.includes(link.kind ?? '')) {
      deleteLink(part.name);
      continue;
    }
    flush(live, link);
    changeLink(part.name, { master: 0, up: false });
  }
}

function flush(live: LiveNetwork, link: Link): void {
  for (const route of live.routes) {
    if (route.link === link.index && route.table === RT_TABLE_MAIN && route.gateway !== undefined)
      removeRoute(link.index, route);
  }
  for (const address of globalAddresses(live, link)) removeAddress(link.index, address);
}
