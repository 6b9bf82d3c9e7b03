/** What a domain is made from. */

import type { Topic } from '../../base/log.js';
import type { EngineWish, GuestMemoryOptions } from '../../kvm/index.js';
import { layoutXenFrames, type XenFrames } from '../monitor/frames.js';
import type { AbiProfile } from '../profile/abi-profile.js';
import { findProfile, LATEST } from '../profile/profiles.js';
import { checkDomainName, checkDomid, checkUuid, DEFAULT_DOMID, newUuid } from './identity.js';

/** What its memory is made of on the host is among it: the guest cannot tell. */
export interface DomainConfig extends GuestMemoryOptions {
  /** 1 to 64 letters, digits and any of `_.+:@-`, not beginning with a dot. Default `xenner`. */
  name?: string;
  /** What the guest is called by in xenstore and in its own hypercalls. Default 1: there need be no other domain beside it. */
  domid?: number;
  /** What the guest finds as its own, and keeps over reboots. Default: a new one. */
  uuid?: string;
  /** Path of the kernel: ELF or bzImage, compressed or not. */
  kernel: string;
  /** Path of the initial ramdisk. */
  ramdisk?: string;
  /** Kernel command line, at most 1023 bytes. */
  cmdline?: string;
  /** 64 to 16384. Default 256. */
  memoryMiB?: number;
  /** 1 to 16. Default 1. */
  vcpus?: number;
  /** Default `auto`. */
  engine?: EngineWish;
  /** The name of the ABI profile: what it sees of the machine. Default `latest`, which is another with another xenner. */
  profile?: string;
  /** Hypercalls that the monitor may serve inside the guest; false sends every one to TypeScript. Default true. */
  fastPaths?: boolean;
  /** What a guest's reboot does: start it anew, or end the domain. Default `restart`. */
  onReboot?: 'restart' | 'end';
  /** A debugger may connect to this TCP port of 127.0.0.1; 0 is any. With `wait` the guest waits for it before it begins. */
  gdb?: { port: number; wait?: boolean };
  /** Topics to trace to standard error, as JSON lines. */
  trace?: readonly Topic[];
}

/** A configuration with every default filled in. */
export interface CompleteConfig {
  readonly name: string;
  readonly uuid: string;
  readonly domid: number;
  readonly kernel: string;
  readonly ramdisk: string | undefined;
  readonly cmdline: string;
  readonly memoryMiB: number;
  readonly backing: GuestMemoryOptions;
  readonly vcpus: number;
  readonly profile: AbiProfile;
  readonly engine: EngineWish;
  readonly fastPaths: boolean;
  readonly onReboot: 'restart' | 'end';
  readonly gdb: { readonly port: number; readonly wait?: boolean } | undefined;
  readonly trace: readonly Topic[];
}

export const DEFAULT_MEMORY_MIB = 256;
const DEFAULT_NAME = 'xenner';
const FRAMES_PER_MIB = 256;

/** @throws XennerError EPROFILE, EDOMAIN_NAME, EDOMID, EUUID */
export function completeConfig(config: DomainConfig): CompleteConfig {
  return {
    name: checkDomainName(config.name ?? DEFAULT_NAME),
    uuid: config.uuid === undefined ? newUuid() : checkUuid(config.uuid),
    domid: checkDomid(config.domid ?? DEFAULT_DOMID),
    kernel: config.kernel,
    ramdisk: config.ramdisk,
    cmdline: config.cmdline ?? '',
    memoryMiB: config.memoryMiB ?? DEFAULT_MEMORY_MIB,
    backing: backingOf(config),
    vcpus: config.vcpus ?? 1,
    profile: findProfile(config.profile ?? LATEST),
    engine: config.engine ?? 'auto',
    fastPaths: config.fastPaths ?? true,
    onReboot: config.onReboot ?? 'restart',
    gdb: config.gdb,
    trace: config.trace ?? [],
  };
}

/** Only what is given: nothing at all where memory of any kind will do. */
export function backingOf({ hugepages, mergeable, numaNode }: GuestMemoryOptions): GuestMemoryOptions {
  return {
    ...(hugepages !== undefined && { hugepages }),
    ...(mergeable !== undefined && { mergeable }),
    ...(numaNode !== undefined && { numaNode }),
  };
}

/** Where everything in the domain's memory is. */
export function framesOf({
  memoryMiB,
  vcpus,
  profile,
}: Pick<CompleteConfig, 'memoryMiB' | 'vcpus' | 'profile'>): XenFrames {
  return layoutXenFrames(memoryMiB * FRAMES_PER_MIB, vcpus, profile.grantFrames);
}
