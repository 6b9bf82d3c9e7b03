/** What a domain is to be, whatever file said so: xl's and xm's configurations, libvirt's XML, XenServer's ova.xml. Plain data. */

import type { CacheMode } from '../storage/storage-file.js';

/** `error`: the guest could not be booted as it is described. */
export type NoteKind = 'error' | 'unsupported' | 'ignored' | 'deprecated';

/** What the user should know about one option or element of the file. */
export interface Note {
  readonly kind: NoteKind;
  /** Of the file, from 1; undefined for what is not in it: a default, the command line. */
  readonly line: number | undefined;
  /** As the file names it. */
  readonly option: string;
  readonly text: string;
}

export type Boot =
  | {
      readonly by: 'kernel';
      readonly kernel: string;
      readonly ramdisk: string | undefined;
      readonly cmdline: string;
    }
  | {
      /** Kernel and ramdisk are in the first disk, where its boot loader's menu says. */
      readonly by: 'pygrub';
      readonly args: readonly string[];
      /** For the kernel, where the menu has none (pygrub's --args, from root= and extra=). */
      readonly cmdline: string;
      /** Paths inside the disk. */
      readonly kernel: string | undefined;
      readonly ramdisk: string | undefined;
    }
  | {
      /** The same, by a boot loader that is a PV kernel itself: pv-grub, or GRUB 2 for Xen. */
      readonly by: 'pvgrub';
      readonly kernel: string;
      readonly ramdisk: string | undefined;
      /** For pv-grub the place of its menu: `(hd0,0)/boot/grub/menu.lst`. */
      readonly cmdline: string;
    };

export const DISK_FORMATS = ['raw', 'qcow', 'qcow2', 'vhd', 'qed', 'vmdk', 'vdi', 'xva', 'empty'] as const;
export type DiskFormat = (typeof DISK_FORMATS)[number];
/** As QEMU's users know them. */
export const CACHE_MODES = ['none', 'writeback', 'writethrough'] as const satisfies readonly CacheMode[];

export interface DiskDefinition {
  /** As the guest numbers it: `xvda`, `sda1`, `hdc`. */
  readonly vdev: string;
  /** Absolute. Empty: a CD drive without a medium. */
  readonly path: string;
  /** `xva`: a disk inside an archive of XenServer's. */
  readonly format: DiskFormat;
  /** Of `xva`: the disk's folder in the archive, as `Ref:4`. */
  readonly member: string | undefined;
  /** Of `xva`, whose archive does not say it elsewhere. */
  readonly sizeBytes: number | undefined;
  readonly readOnly: boolean;
  readonly cdrom: boolean;
  /** Said in the file; undefined: as the image can. */
  readonly discard: boolean | undefined;
  /** undefined: writeback. */
  readonly cache: CacheMode | undefined;
  /** Of an encrypted image: the file whose bytes are the password. Absolute. */
  readonly passwordFile: string | undefined;
}

export interface NicDefinition {
  /** Lower case, with colons. */
  readonly mac: string | undefined;
  readonly bridge: string | undefined;
  /** In place of a bridge: an interface of the host's that exists. */
  readonly macvtap: string | undefined;
  /** A network by its name, where the file names no bridge: libvirt's, XenServer's. */
  readonly network: string | undefined;
  /** Of the host, for routed set-ups. */
  readonly gatewaydev: string | undefined;
  readonly ip: string | undefined;
  readonly script: string | undefined;
  /** The name of the host's end. */
  readonly vifname: string | undefined;
  readonly model: string | undefined;
  readonly mtu: number | undefined;
  /** What the guest may send: so many bytes in each interval. */
  readonly rate: { readonly bytes: number; readonly intervalUs: number } | undefined;
  /** undefined: its place in the list. */
  readonly devid: number | undefined;
}

export const ACTIONS = [
  'destroy',
  'restart',
  'rename-restart',
  'preserve',
  'coredump-destroy',
  'coredump-restart',
  'soft-reset',
] as const;
export type Action = (typeof ACTIONS)[number];

/** By xl's names of the options. */
export interface Lifecycle {
  readonly on_poweroff: Action;
  readonly on_reboot: Action;
  readonly on_watchdog: Action;
  readonly on_crash: Action;
  readonly on_soft_reset: Action;
}

export interface DomainDefinition {
  readonly name: string;
  readonly uuid: string | undefined;
  /** What it starts with. */
  readonly memoryMiB: number;
  /** What it may be ballooned to. */
  readonly maxMemoryMiB: number;
  /** Online when it starts. */
  readonly vcpus: number;
  readonly maxVcpus: number;
  /** undefined only beside an error. */
  readonly boot: Boot | undefined;
  readonly disks: readonly DiskDefinition[];
  readonly nics: readonly NicDefinition[];
  readonly lifecycle: Lifecycle;
  /** The host's scheduler: shares, and per cent of one CPU. */
  readonly cpuWeight: number | undefined;
  readonly cpuCap: number | undefined;
  /** In the order of the file's lines. */
  readonly notes: readonly Note[];
}

/** Whether it can be booted as far as can be told without its files. */
export function bootable({ notes }: DomainDefinition): boolean {
  return notes.every(({ kind }) => kind !== 'error');
}
