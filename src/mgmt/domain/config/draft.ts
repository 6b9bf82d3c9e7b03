/** A definition in the making: what a file said so far. Every format fills one, and what the command line overrides goes in too. */
import { basename } from 'node:path';
import {
  MAX_CMDLINE_BYTES,
  MAX_DOMAIN_DISKS,
  MAX_DOMAIN_NICS,
  MAX_GUEST_MEMORY_MIB,
  MAX_VCPUS,
  MIN_GUEST_MEMORY_MIB,
} from '../../../base/limits.js';
import { parsePygrubArgs } from '../../guestfs/pygrub-options.js';
import type { Boot, DiskDefinition, DomainDefinition, Lifecycle, NicDefinition } from '../definition.js';
import type { Notes } from './notes.js';
import { withoutEffect } from './xl/vif.js';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export interface Draft {
  name?: string;
  uuid?: string;
  memoryMiB?: number;
  maxMemoryMiB?: number;
  vcpus?: number;
  maxVcpus?: number;
  kernel?: string;
  ramdisk?: string;
  cmdline?: string;
  bootloader?: string;
  bootloaderArgs?: readonly string[];
  disks: DiskDefinition[];
  nics: NicDefinition[];
  lifecycle: Partial<Writable<Lifecycle>>;
  cpuWeight?: number;
  cpuCap?: number;
  /** It is no PV guest: that is all that there is to say about how it boots. */
  refused?: true;
  /** Where an option was said: for what is wrong with it in the end. */
  readonly lines: Map<string, number | undefined>;
}

/** What xl does where nothing is said (xl_parse.c: parse_config_data). */
const LIFECYCLE: Lifecycle = {
  on_poweroff: 'destroy',
  on_reboot: 'restart',
  on_watchdog: 'destroy',
  on_crash: 'destroy',
  on_soft_reset: 'soft-reset',
};
const DEFAULT_MEMORY_MIB = 256;
const MAX_NAME_BYTES = 255;
/** pv-grub of Xen's, and the PV images that grub-mkimage makes. */
const PVGRUB = /^(?:pv-?grub|grub-(?:x86_64|i386)-xen)(?!_pvh)/;
const UUID = /^([\da-f]{8})-?([\da-f]{4})-?([\da-f]{4})-?([\da-f]{4})-?([\da-f]{12})$/;

export function newDraft(): Draft {
  return { disks: [], nics: [], lifecycle: {}, lines: new Map() };
}

/** Checks what a guest can have, and fills in what nobody said. */
export function finish(draft: Draft, notes: Notes): DomainDefinition {
  // What could not be read is not missing as well.
  const complain = (option: string, text: string) => {
    if (!notes.hasError(option)) notes.error(draft.lines.get(option), option, text);
  };
  const memoryMiB = draft.memoryMiB ?? draft.maxMemoryMiB ?? DEFAULT_MEMORY_MIB;
  const vcpus = draft.vcpus ?? draft.maxVcpus ?? 1;
  if (memoryMiB < MIN_GUEST_MEMORY_MIB || memoryMiB > MAX_GUEST_MEMORY_MIB) {
    complain('memory', `${memoryMiB} MiB: a guest has ${MIN_GUEST_MEMORY_MIB} to ${MAX_GUEST_MEMORY_MIB}`);
  }
  if (vcpus < 1 || vcpus > MAX_VCPUS) complain('vcpus', `${vcpus} vCPUs: a guest has 1 to ${MAX_VCPUS}`);
  const maxMemoryMiB = Math.max(memoryMiB, draft.maxMemoryMiB ?? 0);
  const maxVcpus = Math.max(vcpus, draft.maxVcpus ?? 0);
  if ((draft.maxVcpus ?? vcpus) < vcpus)
    complain('maxvcpus', `${draft.maxVcpus} is less than the ${vcpus} of vcpus`);
  if (maxMemoryMiB > MAX_GUEST_MEMORY_MIB && memoryMiB <= MAX_GUEST_MEMORY_MIB) {
    notes.add(
      'unsupported',
      draft.lines.get('maxmem'),
      'maxmem',
      `no guest grows beyond ${MAX_GUEST_MEMORY_MIB} MiB`,
    );
  }
  checkDevices(draft, notes);
  tellIgnored(draft, notes, complain);
  return {
    name: nameOf(draft, complain),
    uuid: uuidOf(draft, complain),
    ...{ memoryMiB, maxMemoryMiB, vcpus, maxVcpus },
    boot: bootOf(draft, complain),
    disks: draft.disks,
    nics: draft.nics,
    lifecycle: { ...LIFECYCLE, ...draft.lifecycle },
    cpuWeight: draft.cpuWeight,
    cpuCap: draft.cpuCap,
    notes: notes.list(),
  };
}

type Complain = (option: string, text: string) => void;

function nameOf({ name }: Draft, complain: Complain): string {
  if (name === undefined || name === '') complain('name', 'the domain has no name');
  else if (Buffer.byteLength(name) > MAX_NAME_BYTES) complain('name', 'the name is too long');
  else if (/[\p{Cc}/]/u.test(name)) complain('name', 'the name has a slash or a control character in it');
  return name ?? '';
}

function uuidOf({ uuid }: Draft, complain: Complain): string | undefined {
  if (uuid === undefined) return undefined;
  const groups = UUID.exec(uuid.toLowerCase())?.slice(1);
  if (groups === undefined) complain('uuid', `${JSON.stringify(uuid)} is no UUID`);
  return groups?.join('-');
}

function bootOf(draft: Draft, complain: Complain): Boot | undefined {
  if (draft.refused) return undefined;
  const { kernel, ramdisk, cmdline = '' } = draft;
  if (Buffer.byteLength(cmdline) > MAX_CMDLINE_BYTES || cmdline.includes('\0')) {
    complain('cmdline', `the kernel's command line has more than ${MAX_CMDLINE_BYTES} bytes, or a NUL`);
  }
  if (draft.bootloader !== undefined) {
    const name = basename(draft.bootloader);
    if (name === 'pygrub')
      return { by: 'pygrub', args: draft.bootloaderArgs ?? [], cmdline, kernel, ramdisk };
    const instead = 'only pygrub is known: name kernel= and ramdisk= instead';
    complain('bootloader', `${JSON.stringify(name)} is not run; ${instead}`);
    return undefined;
  }
  if (kernel === undefined) {
    complain('kernel', 'neither a kernel nor a boot loader is named');
    return undefined;
  }
  return { by: PVGRUB.test(basename(kernel)) ? 'pvgrub' : 'kernel', kernel, ramdisk, cmdline };
}

/** What is understood and has no effect here, whatever the format of the file. */
function tellIgnored(
  { lines, nics, bootloader, bootloaderArgs = [] }: Draft,
  notes: Notes,
  complain: Complain,
): void {
  for (const nic of nics)
    for (const text of withoutEffect(nic)) notes.add('ignored', lines.get('vif'), 'vif', text);
  if (bootloader === undefined || basename(bootloader) !== 'pygrub') return;
  try {
    parsePygrubArgs(bootloaderArgs, (text) =>
      notes.add('ignored', lines.get('bootloader_args'), 'bootloader_args', text),
    );
  } catch (error) {
    complain('bootloader_args', (error as Error).message);
  }
}

function checkDevices({ disks, nics, lines }: Draft, notes: Notes): void {
  if (disks.length > MAX_DOMAIN_DISKS)
    notes.error(lines.get('disk'), 'disk', `more than ${MAX_DOMAIN_DISKS} disks`);
  if (nics.length > MAX_DOMAIN_NICS)
    notes.error(lines.get('vif'), 'vif', `more than ${MAX_DOMAIN_NICS} interfaces`);
  const seen = new Set<string>();
  for (const { vdev } of disks) {
    if (seen.has(vdev)) notes.error(lines.get('disk'), 'disk', `two disks are ${vdev}`);
    seen.add(vdev);
  }
}
