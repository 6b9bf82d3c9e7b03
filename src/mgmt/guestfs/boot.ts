/** From a guest's disk to a kernel, a ramdisk and a command line: what pygrub does. */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { XennerError } from '../../base/errors.js';
import { MAX_GUEST_RAMDISK_BYTES, MAX_KERNEL_IMAGE_BYTES } from '../../base/limits.js';
import type { ByteSource } from './byte-source.js';
import { noSuchFile, overLimit } from './errors.js';
import type { GuestDisk } from './guest-disk.js';
import { chunks } from './guest-files.js';
import type { BootConfig, BootEntry } from './loader/boot-config.js';
import { openBootFile } from './loader/boot-disk.js';
import { inBootOrder, readBootConfig } from './loader/find-config.js';
import type { PygrubOptions } from './pygrub-options.js';

/** What a menu has made of it. */
export interface MenuChoice {
  readonly index: number;
  /** In place of the entry's own command line. */
  readonly args?: string;
}

export interface BootSelection {
  readonly title: string;
  readonly cmdline: string;
  readonly kernel: ByteSource;
  /** Several are one after the other. */
  readonly ramdisks: readonly ByteSource[];
  /** Undefined where the kernel was named and no configuration was read. */
  readonly config?: BootConfig;
}

/**
 * @param choice what the user chose; without it `options.entry`, or the first of the configuration's defaults that has a kernel
 * @throws XennerError (rejection) EBOOT_*, EGUEST_*
 */
export async function selectBoot(
  disk: GuestDisk,
  options: PygrubOptions,
  choice?: MenuChoice,
): Promise<BootSelection> {
  if (options.kernel !== undefined) return named(disk, options.kernel, options);
  const config = await readBootConfig(disk);
  const index = choice?.index ?? defaultIndex(config, options.entry);
  const entry = config.entries[index];
  if (entry?.kernel === undefined)
    throw new XennerError('EBOOT_NO_ENTRY', `entry ${index} of ${config.path} in the guest boots no kernel`);
  const kernel = await openBootFile(disk, config.volume, entry.kernel);
  const ramdisks: ByteSource[] = [];
  for (const file of entry.ramdisks) ramdisks.push(await openBootFile(disk, config.volume, file));
  const cmdline = join2(choice?.args ?? entry.args, options.args);
  return { title: entry.title, cmdline, kernel, ramdisks, config };
}

const join2 = (args: string, more: string | undefined): string => [args, more].filter(Boolean).join(' ');

/** Kernel and ramdisk by their paths, on the first volume that has the kernel. */
async function named(disk: GuestDisk, kernel: string, options: PygrubOptions): Promise<BootSelection> {
  for (const { files } of inBootOrder(disk.volumes)) {
    if (files === undefined || !(await files.exists(kernel))) continue;
    const ramdisks = options.ramdisk === undefined ? [] : [await files.openFile(options.ramdisk)];
    return { title: kernel, cmdline: options.args ?? '', kernel: await files.openFile(kernel), ramdisks };
  }
  throw noSuchFile(kernel);
}

/**
 * @param wanted a number or a title; as with pygrub, what is not there is not wanted
 * @throws XennerError EBOOT_NO_ENTRY
 */
export function defaultIndex(config: BootConfig, wanted?: string): number {
  const { entries } = config;
  const boots = (index: number): boolean => entries[index]?.kernel !== undefined;
  if (wanted !== undefined) {
    const number = /^\d{1,9}$/.test(wanted)
      ? Number(wanted)
      : entries.findIndex(({ title }) => title === wanted);
    if (boots(number)) return number;
    throw new XennerError(
      'EBOOT_NO_ENTRY',
      `${config.path} in the guest has no entry '${wanted}' with a kernel`,
      'list them with xenner inspect',
    );
  }
  return config.preferred.find(boots) ?? entries.findIndex((entry: BootEntry) => entry.kernel !== undefined);
}

/** Files of this machine's, in a folder that only this user can look into. */
export interface ExtractedBoot {
  /** To be removed by whoever asked for it, with what is in it. */
  readonly directory: string;
  readonly kernel: string;
  readonly ramdisk?: string;
  readonly cmdline: string;
  readonly title: string;
  readonly entries: readonly BootEntry[];
}

/** Copies kernel and ramdisk out of the guest, as they are: unpacking is the builder's. Leaves nothing behind when it fails. */
export async function extractBoot(selection: BootSelection, parent = tmpdir()): Promise<ExtractedBoot> {
  const { kernel, ramdisks, cmdline, title, config } = selection;
  const ramdiskBytes = ramdisks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (kernel.sizeBytes > MAX_KERNEL_IMAGE_BYTES) throw overLimit('the kernel in the guest is too long');
  if (ramdiskBytes > MAX_GUEST_RAMDISK_BYTES) throw overLimit('the ramdisk in the guest is too long');
  const directory = await mkdtemp(join(parent, 'xenner-boot-'));
  try {
    const common = {
      directory,
      kernel: join(directory, 'kernel'),
      cmdline,
      title,
      entries: config?.entries ?? [],
    };
    await copyOut([kernel], common.kernel);
    if (ramdisks.length === 0) return common;
    const ramdisk = join(directory, 'ramdisk');
    await copyOut(ramdisks, ramdisk);
    return { ...common, ramdisk };
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** Linux wants each archive of an initramfs to begin at a multiple of 4 (init/initramfs.c). */
const ARCHIVE_ALIGN = 4;

async function copyOut(contents: readonly ByteSource[], path: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    let written = 0;
    for (const content of contents) {
      const padding = (ARCHIVE_ALIGN - (written % ARCHIVE_ALIGN)) % ARCHIVE_ALIGN;
      if (padding > 0) await file.writeFile(Buffer.alloc(padding));
      for await (const piece of chunks(content)) await file.writeFile(piece);
      written += padding + content.sizeBytes;
    }
  } finally {
    await file.close();
  }
}
