/** The kernel's links, addresses and routes as they were at some time, and back to that. */
import {
  type Address,
  addAddress,
  addRoute,
  changeLink,
  createLink,
  deleteLink,
  IFF_UP,
  type Link,
  linkIndex,
  type Route,
  RT_TABLE_MAIN,
  removeAddress,
  removeRoute,
} from '../../kvm/index.js';
import { globalAddresses, VIRTUAL } from './apply.js';
import { LiveNetwork } from './live.js';

/** linux/rtnetlink.h */
const RTPROT_KERNEL = 2;

/** Links, addresses and routes by names, for restoreLive(): indices do not outlive a restart. */
export interface LiveSnapshot {
  readonly links: readonly {
    readonly name: string;
    readonly kind?: string | undefined;
    readonly below?: string | undefined;
    readonly master?: string | undefined;
    readonly up: boolean;
    readonly mtu: number;
    readonly address?: string | undefined;
    readonly data: Pick<Link, 'bridge' | 'bond' | 'vlanId'>;
    readonly addresses: readonly Pick<Address, 'address' | 'prefix'>[];
    readonly routes: readonly Pick<
      LiveNetwork['routes'][number],
      'family' | 'destination' | 'gateway' | 'priority'
    >[];
  }[];
}

export function snapshotLive(live: LiveNetwork = LiveNetwork.read()): LiveSnapshot {
  const nameOf = (index: number | undefined) => (index === undefined ? undefined : live.link(index)?.name);
  return {
    links: live.links.map((link) => ({
      name: link.name,
      kind: link.kind,
      below: nameOf(link.below),
      master: nameOf(link.master),
      up: (link.flags & IFF_UP) !== 0,
      mtu: link.mtu,
      address: link.address,
      data: { bridge: link.bridge, bond: link.bond, vlanId: link.vlanId },
      addresses: globalAddresses(live, link),
      routes: live.routes.filter((route) => route.link === link.index && isSomebodys(route)),
    })),
  };
}

/** Those of the kernel come with an address. */
const isSomebodys = (route: Route) => route.table === RT_TABLE_MAIN && route.protocol !== RTPROT_KERNEL;

/**
 * Brings the kernel's state back. What was not there is removed only if it is of a name that is ours to define.
 *
 * @param ours names of definitions, those that are taken back and those that are valid again
 * @throws XennerError ELINK, after all else has been tried
 */
export function restoreLive(snapshot: LiveSnapshot, ours: ReadonlySet<string>): void {
  const failures: unknown[] = [];
  const attempt = (act: () => void) => {
    try {
      act();
    } catch (error) {
      failures.push(error);
    }
  };
  const was = new Map(snapshot.links.map((link) => [link.name, link]));
  for (const link of [...snapshotLive().links].reverse()) {
    const isMade = VIRTUAL.includes(link.kind ?? '') && ours.has(link.name);
    if (isMade && natureOf(link) !== natureOf(was.get(link.name))) attempt(() => deleteLink(link.name));
  }
  for (const link of snapshot.links) if (linkIndex(link.name) === undefined) attempt(() => recreate(link));
  for (const link of snapshot.links) attempt(() => restoreDevice(link));
  for (const link of snapshot.links) attempt(() => restoreAddresses(link, ours.has(link.name)));
  if (failures.length > 0) throw failures[0];
}

type OldLink = LiveSnapshot['links'][number];

/** What has to be made anew to be another: most of it does not change while there are ports. */
const natureOf = (link: OldLink | undefined) => JSON.stringify([link?.kind, link?.below, link?.data]);

function recreate({ name, kind, below, data, address }: OldLink): void {
  if (kind === 'bridge') createLink(name, { kind, ...data.bridge }, address === undefined ? {} : { address });
  if (kind === 'bond') createLink(name, { kind, ...bondFrom(data.bond) });
  if (kind === 'vlan' && below !== undefined)
    createLink(name, { kind, below: linkIndex(below) ?? 0, id: data.vlanId ?? 0 });
}

/** What the kernel tells of the monitor that is not in use, it does not take. */
function bondFrom(bond: Link['bond']) {
  if (bond === undefined) return {};
  const { mode, miimon, updelay, downdelay, useCarrier, arpInterval, arpTargets, arpValidate } = bond;
  return miimon > 0
    ? { mode, miimon, updelay, downdelay, useCarrier }
    : arpInterval > 0
      ? { mode, arpInterval, arpTargets, arpValidate }
      : { mode };
}

function restoreDevice({ name, master, up, mtu }: OldLink): void {
  const live = LiveNetwork.read();
  const link = live.link(name);
  if (link === undefined) return;
  const wanted = master === undefined ? 0 : (linkIndex(master) ?? 0);
  if ((link.master ?? 0) !== wanted) {
    if (live.link(wanted)?.kind === 'bond') changeLink(name, { up: false });
    changeLink(name, { master: wanted });
  }
  const isUp = (LiveNetwork.read().link(name)!.flags & IFF_UP) !== 0;
  if (link.mtu !== mtu) changeLink(name, { mtu });
  if (isUp !== up) changeLink(name, { up });
}

function restoreAddresses({ name, addresses, routes }: OldLink, isOurs: boolean): void {
  const live = LiveNetwork.read();
  const link = live.link(name);
  if (link === undefined) return;
  const now = globalAddresses(live, link);
  const isIn = (
    list: readonly Pick<Address, 'address' | 'prefix'>[],
    each: Pick<Address, 'address' | 'prefix'>,
  ) => list.some(({ address, prefix }) => address === each.address && prefix === each.prefix);
  for (const each of now)
    if (isOurs && each.isPermanent && !isIn(addresses, each)) removeAddress(link.index, each);
  for (const each of addresses) if (!isIn(now, each)) addAddress(link.index, each);
  const isKnown = (list: readonly OldLink['routes'][number][], each: OldLink['routes'][number]) =>
    list.some(
      ({ family, destination, gateway, priority }) =>
        family === each.family &&
        destination === each.destination &&
        gateway === each.gateway &&
        priority === each.priority,
    );
  const present = LiveNetwork.read().routes.filter(
    (route) => route.link === link.index && isSomebodys(route),
  );
  for (const each of present)
    if (isOurs && each.gateway !== undefined && !isKnown(routes, each)) removeRoute(link.index, each);
  for (const each of routes) if (!isKnown(present, each)) addRoute(link.index, each);
}
