/** Network interfaces as the kernel has them: struct ifinfomsg and IFLA_* (linux/if_link.h). */
import {
  Attributes,
  attribute,
  type Message,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
  u8,
  u16,
  u32,
} from './message.js';
import { dump } from './request.js';

export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_LINK = 5;
export const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
export const IFLA_LINKINFO = 18;
const IFLA_LINK_NETNSID = 37;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_MACVLAN_MODE = 1;
const IFLA_BR_FORWARD_DELAY = 1;
const IFLA_BR_STP_STATE = 5;
const IFLA_VLAN_ID = 1;
const IFLA_BOND_MODE = 1;
const IFLA_BOND_MIIMON = 3;
const IFLA_BOND_UPDELAY = 4;
const IFLA_BOND_DOWNDELAY = 5;
const IFLA_BOND_USE_CARRIER = 6;
const IFLA_BOND_ARP_INTERVAL = 7;
const IFLA_BOND_ARP_IP_TARGET = 8;
const IFLA_BOND_ARP_VALIDATE = 9;

/** By IF_OPER_* (linux/if.h), as sysfs says it. */
const OPERSTATES = ['unknown', 'notpresent', 'down', 'lowerlayerdown', 'testing', 'dormant', 'up'] as const;
export type Operstate = (typeof OPERSTATES)[number];

/** Interfaces on top of one: may they hear each other, and through what (linux/if_link.h, enum macvlan_mode). */
const MACVLAN_MODE = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export type MacvlanMode = keyof typeof MACVLAN_MODE;

/** By BOND_MODE_* (linux/if_bonding.h). */
export const BOND_MODES = [
  'balance-rr',
  'active-backup',
  'balance-xor',
  'broadcast',
  '802.3ad',
  'balance-tlb',
  'balance-alb',
] as const;
export type BondMode = (typeof BOND_MODES)[number];
/** By the bits of BOND_ARP_VALIDATE_*. */
export const ARP_VALIDATE = ['none', 'active', 'backup', 'all'] as const;
export type ArpValidate = (typeof ARP_VALIDATE)[number];

export interface BridgeData {
  readonly stp: boolean;
  /** In hundredths of a second (USER_HZ). */
  readonly forwardDelay: number;
}

/** Times in ms. */
export interface BondData {
  readonly mode: BondMode;
  readonly miimon: number;
  readonly updelay: number;
  readonly downdelay: number;
  readonly useCarrier: boolean;
  readonly arpInterval: number;
  readonly arpTargets: readonly string[];
  readonly arpValidate: ArpValidate;
}

export interface Link {
  readonly index: number;
  readonly name: string;
  /** ARPHRD_*: 1 is Ethernet. */
  readonly type: number;
  /** IFF_*. */
  readonly flags: number;
  readonly mtu: number;
  /** `00:16:3e:...`; undefined where it has none. */
  readonly address: string | undefined;
  readonly operstate: Operstate;
  /** Index of the bridge or bond whose port it is. */
  readonly master: number | undefined;
  /** Index of the interface that it lies on, if that is in this namespace. */
  readonly below: number | undefined;
  /** What made it: `bridge`, `bond`, `vlan`, `veth`, `tun` ...; undefined: a driver of a device. */
  readonly kind: string | undefined;
  readonly bridge?: BridgeData | undefined;
  readonly bond?: BondData | undefined;
  readonly vlanId?: number | undefined;
}

/** struct ifinfomsg */
export function linkHeader(index: number, flags = 0, change = 0): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  header.writeUInt32LE(flags, 8);
  header.writeUInt32LE(change >>> 0, 12);
  return header;
}

/** By index. @throws XennerError ELINK */
export function readLinks(): Link[] {
  const links = dump('read the network interfaces', RTM_GETLINK, linkHeader(0)).map(decodeLink);
  return links.filter((link) => link !== undefined).sort((a, b) => a.index - b.index);
}

/** Undefined: it is about something else, as the ports of a bridge (AF_BRIDGE). @throws XennerError ENETLINK */
export function decodeLink({ type, payload }: Message): Link | undefined {
  if ((type !== RTM_NEWLINK && type !== RTM_DELLINK) || payload.length < 16 || payload[0] !== 0)
    return undefined;
  const attributes = new Attributes(payload.subarray(16));
  const name = attributes.string(IFLA_IFNAME);
  if (name === undefined) return undefined;
  const info = attributes.nested(IFLA_LINKINFO);
  const kind = info?.string(IFLA_INFO_KIND);
  const data = info?.bytes(IFLA_INFO_DATA);
  const address = attributes.bytes(IFLA_ADDRESS);
  return {
    index: payload.readInt32LE(4),
    name,
    type: payload.readUInt16LE(2),
    flags: payload.readUInt32LE(8),
    mtu: attributes.u32(IFLA_MTU) ?? 0,
    address: address?.length ? [...address].map(hexByte).join(':') : undefined,
    operstate: OPERSTATES[attributes.u8(IFLA_OPERSTATE) ?? 0] ?? 'unknown',
    master: attributes.u32(IFLA_MASTER) || undefined,
    below: attributes.bytes(IFLA_LINK_NETNSID) ? undefined : attributes.u32(IFLA_LINK) || undefined,
    kind,
    ...(data === undefined ? {} : decodeData(kind, new Attributes(data))),
  };
}

const hexByte = (byte: number) => byte.toString(16).padStart(2, '0');

function decodeData(kind: string | undefined, data: Attributes): Pick<Link, 'bridge' | 'bond' | 'vlanId'> {
  if (kind === 'vlan') return { vlanId: data.u16(IFLA_VLAN_ID) };
  if (kind === 'bridge') {
    const stp = (data.u32(IFLA_BR_STP_STATE) ?? 0) !== 0;
    return { bridge: { stp, forwardDelay: data.u32(IFLA_BR_FORWARD_DELAY) ?? 0 } };
  }
  if (kind !== 'bond') return {};
  const targets = data.nested(IFLA_BOND_ARP_IP_TARGET)?.all() ?? [];
  return {
    bond: {
      mode: BOND_MODES[data.u8(IFLA_BOND_MODE) ?? 0] ?? 'balance-rr',
      miimon: data.u32(IFLA_BOND_MIIMON) ?? 0,
      updelay: data.u32(IFLA_BOND_UPDELAY) ?? 0,
      downdelay: data.u32(IFLA_BOND_DOWNDELAY) ?? 0,
      useCarrier: data.u8(IFLA_BOND_USE_CARRIER) !== 0,
      arpInterval: data.u32(IFLA_BOND_ARP_INTERVAL) ?? 0,
      arpTargets: targets.filter(({ length }) => length === 4).map((target) => [...target].join('.')),
      arpValidate: ARP_VALIDATE[data.u32(IFLA_BOND_ARP_VALIDATE) ?? 0] ?? 'none',
    },
  };
}

/** What is undefined is left as it comes, or as it is. */
type Some<T> = { readonly [K in keyof T]?: T[K] | undefined };

export type NewLink =
  | ({ readonly kind: 'bridge' } & Some<BridgeData>)
  | ({ readonly kind: 'bond' } & Some<BondData>)
  | { readonly kind: 'vlan'; readonly below: number; readonly id: number }
  | { readonly kind: 'macvtap'; readonly below: number; readonly mode: MacvlanMode };

/** IFLA_LINKINFO, and what it lies on. */
export function encodeKind(link: NewLink): Buffer[] {
  const data = attribute(IFLA_INFO_DATA, ...encodeData(link));
  const info = attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, Buffer.from(link.kind)), data);
  return 'below' in link ? [info, attribute(IFLA_LINK, u32(link.below))] : [info];
}

function encodeData(link: NewLink): Buffer[] {
  switch (link.kind) {
    case 'macvtap':
      return [attribute(IFLA_MACVLAN_MODE, u32(MACVLAN_MODE[link.mode]))];
    case 'vlan':
      return [attribute(IFLA_VLAN_ID, u16(link.id))];
    case 'bridge':
      return given(
        [IFLA_BR_FORWARD_DELAY, link.forwardDelay, u32],
        [IFLA_BR_STP_STATE, link.stp === undefined ? undefined : Number(link.stp), u32],
      );
    case 'bond':
      return encodeBond(link);
  }
}

/** The mode first, since the others are checked against it (bond_changelink()). */
function encodeBond(bond: Some<BondData>): Buffer[] {
  const targets = bond.arpTargets?.map((target, at) =>
    attribute(at, Buffer.from(target.split('.').map(Number))),
  );
  return [
    ...given(
      [IFLA_BOND_MODE, bond.mode && BOND_MODES.indexOf(bond.mode), u8],
      [IFLA_BOND_MIIMON, bond.miimon, u32],
      [IFLA_BOND_UPDELAY, bond.updelay, u32],
      [IFLA_BOND_DOWNDELAY, bond.downdelay, u32],
      [IFLA_BOND_USE_CARRIER, bond.useCarrier === undefined ? undefined : Number(bond.useCarrier), u8],
      [IFLA_BOND_ARP_INTERVAL, bond.arpInterval, u32],
    ),
    ...(targets?.length ? [attribute(IFLA_BOND_ARP_IP_TARGET, ...targets)] : []),
    ...given([IFLA_BOND_ARP_VALIDATE, bond.arpValidate && ARP_VALIDATE.indexOf(bond.arpValidate), u32]),
  ];
}

function given(...fields: readonly [number, number | undefined, (value: number) => Buffer][]): Buffer[] {
  return fields
    .filter(([, value]) => value !== undefined)
    .map(([type, value, encode]) => attribute(type, encode(value!)));
}
