/** What is said of host interfaces, as libvirt's documents say it (interface.rng). */
import type { ArpValidate, BondMode, Family } from '../../kvm/index.js';

export type InterfaceType = 'ethernet' | 'bridge' | 'bond' | 'vlan';
export const START_MODES = ['onboot', 'none', 'hotplug'] as const;
export type StartMode = (typeof START_MODES)[number];

/** How it gets its addresses of one family. */
export interface Protocol {
  readonly family: Family;
  /** Of IPv6: by router advertisements. */
  readonly autoconf?: boolean | undefined;
  readonly dhcp?: { readonly peerdns?: boolean | undefined } | undefined;
  readonly ips: readonly { readonly address: string; readonly prefix?: number | undefined }[];
  /** Of the default route. */
  readonly gateway?: string | undefined;
}

export interface Bridge {
  readonly stp?: boolean | undefined;
  /** Forward delay in seconds. */
  readonly delay?: number | undefined;
  /** Ethernet, VLANs and bonds. */
  readonly interfaces: readonly InterfaceDefinition[];
}

/** Times in ms. */
export interface Miimon {
  readonly freq: number;
  readonly updelay?: number | undefined;
  readonly downdelay?: number | undefined;
  readonly carrier?: 'ioctl' | 'netif' | undefined;
}

export interface Arpmon {
  /** In ms. */
  readonly interval: number;
  readonly target: string;
  readonly validate?: ArpValidate | undefined;
}

export interface Bond {
  readonly mode?: BondMode | undefined;
  readonly miimon?: Miimon | undefined;
  readonly arpmon?: Arpmon | undefined;
  /** Ethernet. */
  readonly interfaces: readonly InterfaceDefinition[];
}

export interface Vlan {
  /** 0 .. 4095 */
  readonly tag: number;
  /** Name of the interface that it lies on. */
  readonly interface: string;
}

/** What is undefined is left as it comes. */
export interface InterfaceDefinition {
  readonly type: InterfaceType;
  readonly name: string;
  readonly start?: StartMode | undefined;
  readonly mtu?: number | undefined;
  /** In lower case. */
  readonly mac?: string | undefined;
  readonly protocols: readonly Protocol[];
  readonly bridge?: Bridge | undefined;
  readonly bond?: Bond | undefined;
  readonly vlan?: Vlan | undefined;
  /** Of a live one. */
  readonly link?: { readonly speed?: number | undefined; readonly state: string } | undefined;
}

/** Ports of a bridge or bond. */
export function portsOf(definition: InterfaceDefinition): readonly InterfaceDefinition[] {
  return definition.bridge?.interfaces ?? definition.bond?.interfaces ?? [];
}

/** It and all that is defined inside it, what lies below first. */
export function withParts(definition: InterfaceDefinition): InterfaceDefinition[] {
  return [...portsOf(definition).flatMap(withParts), definition];
}

/**
 * Whether an interface may have the name: dev_valid_name() of Linux, and no more of it than libvirt's schema has. So it is never a
 * path, and needs no quoting in any file.
 */
export function isInterfaceName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/.test(name);
}
