/** A guest's disk: its volumes, and what is in them. */
import { XennerError } from '../../base/errors.js';
import { type BlockReader, type ByteSource, CachedDisk, slice } from './byte-source.js';
import { openExt } from './ext/ext-file-system.js';
import type { FileSystem } from './file-system.js';
import { GuestFiles } from './guest-files.js';
import { type PhysicalVolume, readPhysicalVolume } from './lvm/physical-volume.js';
import { type LogicalVolume, logicalVolumes } from './lvm/volume-group.js';
import type { Partition, PartitionTable } from './partitions/partition.js';
import { readPartitionTable } from './partitions/partition-table.js';
import { openXfs } from './xfs/xfs-file-system.js';

/** A stretch of the disk that can hold a file system. */
export interface Volume {
  /** As GRUB 2 calls it, for the first disk: `hd0`, `hd0,msdos1`, `hd0,gpt2`, `lvm/group-volume`. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly partition?: Partition;
  /** Of LVM2: what is in it are volumes of their own. */
  readonly isPhysicalVolume?: boolean;
  /** Undefined: nothing that we know; `problem` says more if there is more to say. */
  readonly files?: GuestFiles;
  readonly problem?: string;
}

export interface GuestDisk {
  readonly sizeBytes: number;
  readonly table: PartitionTable;
  /** In the order of the disk, and then those of LVM2. */
  readonly volumes: readonly Volume[];
  readonly notes: readonly string[];
}

/**
 * @param reader the disk; an MBR counts in its logical sectors
 * @param at of its file systems only the one that begins there, in bytes
 * @throws XennerError (rejection) EUSAGE: the disk ends before
 */
export async function openGuestDisk(
  reader: BlockReader & { sectorBytes?: number },
  at?: number,
): Promise<GuestDisk> {
  const disk = new CachedDisk(reader);
  const table = await readPartitionTable(disk, reader.sectorBytes ?? 512);
  const places: Array<{ name: string; source: ByteSource; partition?: Partition }> = table.partitions.map(
    (partition) => ({
      name: `hd0,${table.scheme === 'gpt' ? 'gpt' : 'msdos'}${partition.number}`,
      source: slice(disk, partition.offset, partition.sizeBytes),
      partition,
    }),
  );
  if (table.scheme === 'none') places.push({ name: 'hd0', source: disk });
  if (at !== undefined) {
    if (at >= disk.sizeBytes)
      throw new XennerError('EUSAGE', `the guest's disk has ${disk.sizeBytes} bytes, and none at ${at}`);
    const place = places.find(({ partition }) => (partition?.offset ?? 0) === at);
    places.splice(0, Infinity, place ?? { name: 'hd0', source: slice(disk, at, disk.sizeBytes - at) });
  }

  const volumes: Volume[] = [];
  const physical: PhysicalVolume[] = [];
  for (const { name, source, partition } of places)
    volumes.push({ ...(await openVolume(name, source, physical)), ...(partition && { partition }) });
  for (const { name, source } of logicalVolumesOf(physical, volumes))
    volumes.push(
      typeof source === 'string' ? { name, sizeBytes: 0, problem: source } : await openVolume(name, source),
    );
  return { sizeBytes: disk.sizeBytes, table, volumes, notes: table.notes };
}

const OPENERS: ReadonlyArray<(source: ByteSource) => Promise<FileSystem | undefined>> = [openXfs, openExt];

/**
 * One volume that is damaged says nothing about the others.
 * @param physical where physical volumes of LVM2 are put; undefined: none are looked for
 */
async function openVolume(name: string, source: ByteSource, physical?: PhysicalVolume[]): Promise<Volume> {
  const { sizeBytes } = source;
  return orProblem({ name, sizeBytes }, async () => {
    const volume = physical && (await readPhysicalVolume(source));
    if (volume !== undefined) {
      physical!.push(volume);
      return { name, sizeBytes, isPhysicalVolume: true };
    }
    for (const open of OPENERS) {
      const fileSystem = await open(source);
      if (fileSystem !== undefined) return { name, sizeBytes, files: new GuestFiles(fileSystem) };
    }
    return { name, sizeBytes };
  });
}

async function orProblem(volume: Volume, look: () => Promise<Volume>): Promise<Volume> {
  try {
    return await look();
  } catch (error) {
    if (!(error as XennerError).code?.startsWith('EGUEST_')) throw error;
    return { ...volume, problem: (error as XennerError).message };
  }
}

/** Metadata that makes no sense is a problem of the physical volume. */
function logicalVolumesOf(physical: readonly PhysicalVolume[], volumes: Volume[]): LogicalVolume[] {
  try {
    return logicalVolumes(physical);
  } catch (error) {
    if (!(error as XennerError).code?.startsWith('EGUEST_')) throw error;
    const at = volumes.findIndex(({ isPhysicalVolume }) => isPhysicalVolume);
    volumes[at] = { ...volumes[at]!, problem: (error as XennerError).message };
    return [];
  }
}
