/** A guest's disk in plain data: what `xenner inspect` shows. */
import { XennerError } from '../../base/errors.js';
import { defaultIndex } from './boot.js';
import type { GuestDisk, Volume } from './guest-disk.js';
import type { BootConfig, BootEntry, BootFile } from './loader/boot-config.js';
import { readBootConfig } from './loader/find-config.js';

export interface DiskReport {
  readonly sizeBytes: number;
  readonly partitionTable: 'none' | 'mbr' | 'gpt';
  readonly volumes: readonly VolumeReport[];
  /** Undefined: there is none; `notes` says why. */
  readonly boot: BootReport | undefined;
  readonly notes: readonly string[];
}

export interface VolumeReport {
  readonly name: string;
  /** Bytes on the disk; a logical volume has none of its own. */
  readonly offset: number | undefined;
  readonly sizeBytes: number;
  readonly partitionType: string | undefined;
  readonly active: boolean;
  /** A file system, `LVM2`, or undefined where nothing was recognized. */
  readonly holds: string | undefined;
  readonly label: string;
  readonly uuid: string;
  readonly notes: readonly string[];
}

export interface BootReport {
  readonly loader: string;
  /** `(volume)/path`. */
  readonly config: string;
  readonly timeoutS: number | undefined;
  readonly entries: readonly BootEntryReport[];
}

export interface BootEntryReport {
  readonly index: number;
  readonly title: string;
  readonly menus: readonly string[];
  readonly isDefault: boolean;
  readonly kernel: string | undefined;
  readonly ramdisks: readonly string[];
  readonly args: string;
}

export async function describeDisk(disk: GuestDisk): Promise<DiskReport> {
  const notes = [...disk.notes];
  let boot: BootReport | undefined;
  try {
    const config = await readBootConfig(disk);
    boot = describeBoot(config);
  } catch (error) {
    if (!(error instanceof XennerError)) throw error;
    notes.push(error.message);
  }
  const { sizeBytes, table, volumes } = disk;
  return { sizeBytes, partitionTable: table.scheme, volumes: volumes.map(describeVolume), boot, notes };
}

function describeVolume({
  name,
  sizeBytes,
  partition,
  files,
  isPhysicalVolume,
  problem,
}: Volume): VolumeReport {
  const fileSystem = files?.fileSystem;
  return {
    name,
    offset: partition?.offset ?? (name === 'hd0' ? 0 : undefined),
    sizeBytes,
    partitionType: partition?.type,
    active: partition?.active ?? false,
    holds: fileSystem?.type ?? (isPhysicalVolume ? 'LVM2' : undefined),
    label: fileSystem?.label ?? '',
    uuid: fileSystem?.uuid ?? '',
    notes: [...(problem === undefined ? [] : [problem]), ...(fileSystem?.notes ?? [])],
  };
}

function describeBoot(config: BootConfig): BootReport {
  const chosen = defaultIndex(config);
  const file = ({ volume, path }: BootFile) => `(${volume ?? config.volume})${path}`;
  const entry = ({ title, menus, kernel, ramdisks, args }: BootEntry, index: number) => ({
    index,
    title,
    menus,
    isDefault: index === chosen,
    kernel: kernel && file(kernel),
    ramdisks: ramdisks.map(file),
    args,
  });
  return {
    loader: config.loader,
    config: `(${config.volume})${config.path}`,
    timeoutS: config.timeoutS,
    entries: config.entries.map(entry),
  };
}
