/** The host's network interfaces: what `ip link` does, by rtnetlink (linux/rtnetlink.h, linux/if_link.h). */
import { XennerError } from '../base/errors.js';
import { loadAddon } from './addon.js';
import {
  encodeKind,
  IFLA_ADDRESS,
  IFLA_IFNAME,
  IFLA_MASTER,
  IFLA_MTU,
  linkHeader,
  type NewLink,
} from './netlink/links.js';
import { attribute, NLM_F_CREATE, NLM_F_EXCL, RTM_DELLINK, RTM_NEWLINK, u32 } from './netlink/message.js';
import { request } from './netlink/request.js';

export const IFF_UP = 0x1;
export const IFF_LOOPBACK = 0x8;
const IFF_NOARP = 0x80;
const IFF_MULTICAST = 0x1000;

export interface LinkChange {
  readonly up?: boolean;
  /** No addresses of its own, and nobody asks for them: a port of a bridge. */
  readonly quiet?: boolean;
  /** `00:16:3e:...` */
  readonly address?: string;
  readonly mtu?: number;
  /** Index of the bridge or bond that it becomes a port of; 0: of none. */
  readonly master?: number;
}

/** Undefined: there is no such interface. */
export function linkIndex(name: string): number | undefined {
  return loadAddon().linkIndex(name) || undefined;
}

/** @throws XennerError ELINK */
export function createLink(name: string, link: NewLink, change: LinkChange = {}): void {
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  const named = attribute(IFLA_IFNAME, Buffer.from(`${name}\0`));
  const what = `make the ${link.kind} ${name}`;
  request(what, RTM_NEWLINK, flags, ...encodeChange(0, change), named, ...encodeKind(link));
}

/** @param kind what is to change of what only its kind has @throws XennerError ELINK */
export function changeLink(name: string, change: LinkChange, kind?: NewLink): void {
  const attributes = kind === undefined ? [] : encodeKind(kind);
  request(`set up ${name}`, RTM_NEWLINK, 0, ...encodeChange(indexOf(name), change), ...attributes);
}

/** @throws XennerError ELINK */
export function deleteLink(name: string): void {
  request(`remove ${name}`, RTM_DELLINK, 0, linkHeader(indexOf(name)));
}

function indexOf(name: string): number {
  const index = linkIndex(name);
  if (index === undefined) throw new XennerError('ELINK', `there is no network interface ${name}`);
  return index;
}

function encodeChange(index: number, { up, quiet, address, mtu, master }: LinkChange): Buffer[] {
  let set = up ? IFF_UP : 0;
  let touched = up === undefined ? 0 : IFF_UP;
  if (quiet) {
    set |= IFF_NOARP;
    touched |= IFF_NOARP | IFF_MULTICAST;
  }
  const parts = [linkHeader(index, set, touched)];
  if (address !== undefined) parts.push(attribute(IFLA_ADDRESS, macBytes(address)));
  if (mtu !== undefined) parts.push(attribute(IFLA_MTU, u32(mtu)));
  if (master !== undefined) parts.push(attribute(IFLA_MASTER, u32(master)));
  return parts;
}

function macBytes(address: string): Buffer {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(address)) {
    throw new XennerError('ELINK', `${JSON.stringify(address)} is no MAC address`);
  }
  return Buffer.from(address.replaceAll(':', ''), 'hex');
}
