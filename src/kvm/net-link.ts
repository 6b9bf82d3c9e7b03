/** The host's network interfaces: what `ip link` does, by rtnetlink (linux/rtnetlink.h, linux/if_link.h). */
import { XennerError } from '../base/errors.js';
import { loadAddon } from './addon.js';

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const NLM_F_REQUEST = 0x001;
const NLM_F_ACK = 0x004;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_MACVLAN_MODE = 1;

const IFF_UP = 0x1;
const IFF_NOARP = 0x80;
const IFF_MULTICAST = 0x1000;

/** Interfaces on top of one: may they hear each other, and through what (linux/if_link.h, enum macvlan_mode). */
export const MACVLAN_MODE = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export type MacvlanMode = keyof typeof MACVLAN_MODE;

export interface LinkChange {
  readonly up?: boolean;
  /** No addresses of its own, and nobody asks for them: a port of a bridge. */
  readonly quiet?: boolean;
  /** `00:16:3e:...` */
  readonly address?: string;
  readonly mtu?: number;
  /** Index of the bridge that it becomes a port of; 0: of none. */
  readonly master?: number;
}

export type NewLink =
  | { readonly kind: 'bridge' }
  | { readonly kind: 'macvtap'; readonly below: number; readonly mode: MacvlanMode };

/** Undefined: there is no such interface. */
export function linkIndex(name: string): number | undefined {
  return loadAddon().linkIndex(name) || undefined;
}

/** @throws XennerError ELINK */
export function createLink(name: string, link: NewLink, change: LinkChange = {}): void {
  const data =
    link.kind === 'macvtap'
      ? attribute(IFLA_INFO_DATA, attribute(IFLA_MACVLAN_MODE, u32(MACVLAN_MODE[link.mode])))
      : Buffer.alloc(0);
  const info = Buffer.concat([attribute(IFLA_INFO_KIND, Buffer.from(link.kind)), data]);
  const below = link.kind === 'macvtap' ? attribute(IFLA_LINK, u32(link.below)) : Buffer.alloc(0);
  const named = attribute(IFLA_IFNAME, Buffer.from(`${name}\0`));
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  request(
    `make the ${link.kind} ${name}`,
    message(RTM_NEWLINK, flags, 0, change, [named, below, attribute(IFLA_LINKINFO, info)]),
  );
}

/** @throws XennerError ELINK */
export function changeLink(name: string, change: LinkChange): void {
  request(`set up ${name}`, message(RTM_NEWLINK, 0, indexOf(name), change));
}

/** @throws XennerError ELINK */
export function deleteLink(name: string): void {
  request(`remove ${name}`, message(RTM_DELLINK, 0, indexOf(name), {}));
}

function indexOf(name: string): number {
  const index = linkIndex(name);
  if (index === undefined) throw new XennerError('ELINK', `there is no network interface ${name}`);
  return index;
}

function request(what: string, bytes: Buffer): void {
  try {
    loadAddon().linkRequest(bytes, 'rtnetlink');
  } catch (cause) {
    const { code, message: text } = cause as NodeJS.ErrnoException;
    const next = code === 'EPERM' ? 'it takes CAP_NET_ADMIN' : undefined;
    throw new XennerError('ELINK', `cannot ${what}: ${text}`, next, { cause });
  }
}

/** struct nlmsghdr, struct ifinfomsg, attributes. */
function message(
  type: number,
  flags: number,
  index: number,
  change: LinkChange,
  more: readonly Buffer[] = [],
): Buffer {
  const attributes = [...more];
  if (change.address !== undefined) attributes.push(attribute(IFLA_ADDRESS, macBytes(change.address)));
  if (change.mtu !== undefined) attributes.push(attribute(IFLA_MTU, u32(change.mtu)));
  if (change.master !== undefined) attributes.push(attribute(IFLA_MASTER, u32(change.master)));
  let set = change.up ? IFF_UP : 0;
  let touched = change.up === undefined ? 0 : IFF_UP;
  if (change.quiet) {
    set |= IFF_NOARP;
    touched |= IFF_NOARP | IFF_MULTICAST;
  }
  const head = Buffer.alloc(32);
  const all = Buffer.concat([head, ...attributes]);
  all.writeUInt32LE(all.length, 0);
  all.writeUInt16LE(type, 4);
  all.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK | flags, 6);
  all.writeInt32LE(index, 20);
  all.writeUInt32LE(set, 24);
  all.writeUInt32LE(touched, 28);
  return all;
}

/** struct rtattr: its length without the padding behind it. */
function attribute(type: number, data: Buffer): Buffer {
  const bytes = Buffer.alloc((4 + data.length + 3) & ~3);
  bytes.writeUInt16LE(4 + data.length, 0);
  bytes.writeUInt16LE(type, 2);
  data.copy(bytes, 4);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function macBytes(address: string): Buffer {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(address)) {
    throw new XennerError('ELINK', `${JSON.stringify(address)} is no MAC address`);
  }
  return Buffer.from(address.replaceAll(':', ''), 'hex');
}
