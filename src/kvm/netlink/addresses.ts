/** Addresses and routes as the kernel has them: struct ifaddrmsg, struct rtmsg (linux/if_addr.h, linux/rtnetlink.h). */
import { isIPv6, SocketAddress } from 'node:net';
import {
  AF_INET,
  AF_INET6,
  Attributes,
  attribute,
  type Message,
  NLM_F_CREATE,
  NLM_F_REPLACE,
  RTM_DELADDR,
  RTM_DELROUTE,
  RTM_GETADDR,
  RTM_GETROUTE,
  RTM_NEWADDR,
  RTM_NEWROUTE,
  u32,
} from './message.js';
import { dump, linkErrno, request } from './request.js';

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
/** linux/if_addr.h */
const IFA_F_NODAD = 0x02;
const IFA_F_PERMANENT = 0x80;
const RT_SCOPE_LINK = 253;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_TABLE = 15;
export const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RTN_UNICAST = 1;

export type Family = 'ipv4' | 'ipv6';

export interface Address {
  readonly family: Family;
  readonly link: number;
  readonly address: string;
  readonly prefix: number;
  /** Somebody set it, and it has no end. */
  readonly isPermanent: boolean;
  /** Made by the kernel itself: fe80::. */
  readonly isLinkLocal: boolean;
}

/** Of unicast. */
export interface Route {
  readonly family: Family;
  /** `address/prefix`; undefined: everything else. */
  readonly destination: string | undefined;
  readonly gateway: string | undefined;
  /** Of what it goes out by; undefined where there are several. */
  readonly link: number | undefined;
  readonly priority: number;
  readonly table: number;
  /** RTPROT_*: who made it. */
  readonly protocol: number;
  readonly scope: number;
}

/** By their order in the kernel. @throws XennerError ELINK */
export function readAddresses(): Address[] {
  const header = Buffer.alloc(8);
  return dump('read the addresses', RTM_GETADDR, header)
    .map(decodeAddress)
    .filter((address) => address !== undefined);
}

/** @throws XennerError ENETLINK */
export function decodeAddress({ type, payload }: Message): Address | undefined {
  if ((type !== RTM_NEWADDR && type !== RTM_DELADDR) || payload.length < 8) return undefined;
  const family = familyOf(payload[0]!);
  const attributes = new Attributes(payload.subarray(8));
  const bytes = attributes.bytes(IFA_LOCAL) ?? attributes.bytes(IFA_ADDRESS);
  const address = bytes && family && textOf(family, bytes);
  if (address === undefined || family === undefined) return undefined;
  const flags = attributes.u32(IFA_FLAGS) ?? payload[2]!;
  return {
    family,
    link: payload.readUInt32LE(4),
    address,
    prefix: payload[1]!,
    isPermanent: (flags & IFA_F_PERMANENT) !== 0,
    isLinkLocal: family === 'ipv6' && payload[3] === RT_SCOPE_LINK,
  };
}

/** Of the main table, and for all else. @throws XennerError ELINK */
export function readRoutes(): Route[] {
  return dump('read the routes', RTM_GETROUTE, Buffer.alloc(12))
    .map(decodeRoute)
    .filter((route) => route !== undefined);
}

/** @throws XennerError ENETLINK */
export function decodeRoute({ type, payload }: Message): Route | undefined {
  if ((type !== RTM_NEWROUTE && type !== RTM_DELROUTE) || payload.length < 12) return undefined;
  const family = familyOf(payload[0]!);
  if (family === undefined || payload[7] !== RTN_UNICAST) return undefined;
  const attributes = new Attributes(payload.subarray(12));
  const destination = attributes.bytes(RTA_DST);
  const gateway = attributes.bytes(RTA_GATEWAY);
  return {
    family,
    destination: destination && `${textOf(family, destination)}/${payload[1]}`,
    gateway: gateway && textOf(family, gateway),
    link: attributes.u32(RTA_OIF),
    priority: attributes.u32(RTA_PRIORITY) ?? 0,
    table: attributes.u32(RTA_TABLE) ?? payload[4]!,
    protocol: payload[5]!,
    scope: payload[6]!,
  };
}

/** Index of the interface that packets to the address leave by; undefined: there is no way. */
export function linkTowards(address: string): number | undefined {
  const header = Buffer.alloc(12);
  header.writeUInt8(isIPv6(address) ? AF_INET6 : AF_INET, 0);
  header.writeUInt8(isIPv6(address) ? 128 : 32, 1);
  try {
    const [answer] = request(
      `look up the way to ${address}`,
      RTM_GETROUTE,
      0,
      header,
      attribute(RTA_DST, bytesOf(address)),
    );
    return answer && new Attributes(answer.payload.subarray(12)).u32(RTA_OIF);
  } catch (error) {
    if (linkErrno(error) === undefined) throw error;
    return undefined;
  }
}

export type NewAddress = Pick<Address, 'address' | 'prefix'>;

/** There already is no mistake. @throws XennerError ELINK */
export function addAddress(link: number, { address, prefix }: NewAddress): void {
  const bytes = bytesOf(address);
  const attributes = [attribute(IFA_LOCAL, bytes), attribute(IFA_ADDRESS, bytes)];
  if (bytes.length === 4 && prefix < 31)
    attributes.push(
      attribute(IFA_BROADCAST, u32((bytes.readUInt32LE() | swap(0xffffffff >>> prefix)) >>> 0)),
    );
  const flags = NLM_F_CREATE | NLM_F_REPLACE;
  const header = addressHeader(link, address, prefix);
  request(`set the address ${address}/${prefix}`, RTM_NEWADDR, flags, header, ...attributes);
}

/** @throws XennerError ELINK */
export function removeAddress(link: number, { address, prefix }: NewAddress): void {
  const header = addressHeader(link, address, prefix);
  request(
    `remove the address ${address}/${prefix}`,
    RTM_DELADDR,
    0,
    header,
    attribute(IFA_LOCAL, bytesOf(address)),
  );
}

function addressHeader(link: number, address: string, prefix: number): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(isIPv6(address) ? AF_INET6 : AF_INET, 0);
  header.writeUInt8(prefix, 1);
  // Whether somebody else has it is not asked: the address is the administrator's choice, and a bridge without ports would never hear.
  if (isIPv6(address)) header.writeUInt8(IFA_F_NODAD, 2);
  header.writeUInt32LE(link, 4);
  return header;
}

export type NewRoute = Pick<Route, 'family' | 'destination' | 'gateway'> & { readonly priority?: number };

/** @throws XennerError ELINK */
export function addRoute(link: number, route: NewRoute): void {
  const [header, attributes] = encodeRoute(link, route);
  const what = `set the route to ${route.destination ?? 'all else'} by ${route.gateway ?? 'itself'}`;
  request(what, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, header, ...attributes);
}

/** @throws XennerError ELINK */
export function removeRoute(link: number, route: NewRoute): void {
  const [header, attributes] = encodeRoute(link, route);
  header.writeUInt8(0, 5);
  request(`remove the route to ${route.destination ?? 'all else'}`, RTM_DELROUTE, 0, header, ...attributes);
}

function encodeRoute(
  link: number,
  { family, destination, gateway, priority }: NewRoute,
): [header: Buffer, attributes: Buffer[]] {
  const [address, prefix] = destination?.split('/') ?? [];
  const attributes = [attribute(RTA_OIF, u32(link))];
  if (address !== undefined) attributes.push(attribute(RTA_DST, bytesOf(address)));
  if (gateway !== undefined) attributes.push(attribute(RTA_GATEWAY, bytesOf(gateway)));
  if (priority !== undefined) attributes.push(attribute(RTA_PRIORITY, u32(priority)));
  return [routeHeader(family, Number(prefix ?? 0), gateway === undefined ? RT_SCOPE_LINK : 0), attributes];
}

/** struct rtmsg */
function routeHeader(family: Family, prefix: number, scope: number): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(family === 'ipv4' ? AF_INET : AF_INET6, 0);
  header.writeUInt8(prefix, 1);
  header.writeUInt8(RT_TABLE_MAIN, 4);
  header.writeUInt8(RTPROT_STATIC, 5);
  header.writeUInt8(scope, 6);
  header.writeUInt8(RTN_UNICAST, 7);
  return header;
}

function familyOf(number: number): Family | undefined {
  return number === AF_INET ? 'ipv4' : number === AF_INET6 ? 'ipv6' : undefined;
}

const swap = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes.readUInt32LE();
};

/** In the kernel's order; undefined where the length is wrong. */
function textOf(family: Family, bytes: Buffer): string | undefined {
  if (bytes.length !== (family === 'ipv4' ? 4 : 16)) return undefined;
  if (family === 'ipv4') return [...bytes].join('.');
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(at * 2).toString(16));
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}

/** Of what isIP() accepts, without a zone. */
export function bytesOf(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = dottedEnd(address).split('::');
  const words = (text: string | undefined) => (text ? text.split(':') : []);
  const [before, after] = [words(head), words(tail)];
  const middle = Array<string>(8 - before.length - after.length).fill('0');
  const all = tail === undefined ? before : [...before, ...middle, ...after];
  return Buffer.concat(all.map((word) => Buffer.from(word.padStart(4, '0'), 'hex')));
}

/** `::ffff:1.2.3.4` as `::ffff:102:304`. */
function dottedEnd(address: string): string {
  return address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts) => {
    const [a, b, c, d] = parts.slice(0, 4).map(Number) as [number, number, number, number];
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
}
