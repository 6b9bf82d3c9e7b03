/** A guest's disk: its volumes, and what is in them. */
import type { XennerError } from '../../base/errors.js';
import { type BlockReader, type ByteSource, CachedDisk, slice } from './byte-source.js';
import { openExt } from './ext/ext-file-system.js';
import type { FileSystem } from './file-system.js';
import { GuestFiles } from './guest-files.js';
import type { Partition, PartitionTable } from './partitions/partition.js';
import { readPartitionTable } from './partitions/partition-table.js';

/** A stretch of the disk that can hold a file system. */
export interface Volume {
  /** As GRUB 2 calls it, for the first disk: `hd0`, `hd0,msdos1`, `hd0,gpt2`. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly partition?: Partition;
  /** Undefined: nothing that we know; `problem` says more if there is more to say. */
  readonly files?: GuestFiles;
  readonly problem?: string;
}

export interface GuestDisk {
  readonly sizeBytes: number;
  readonly table: PartitionTable;
  /** In the order of the disk. */
  readonly volumes: readonly Volume[];
  readonly notes: readonly string[];
}

/** @param sectorBytes the disk's logical sector */
export async function openGuestDisk(reader: BlockReader & { sectorBytes?: number }): Promise<GuestDisk> {
  const disk = new CachedDisk(reader);
  const table = await readPartitionTable(disk, reader.sectorBytes ?? 512);
  const volumes: Volume[] = [];
  if (table.scheme === 'none') volumes.push(await openVolume('hd0', disk));
  for (const partition of table.partitions) {
    const source = slice(disk, partition.offset, partition.sizeBytes);
    const prefix = table.scheme === 'gpt' ? 'gpt' : 'msdos';
    volumes.push({ ...(await openVolume(`hd0,${prefix}${partition.number}`, source)), partition });
  }
  return { sizeBytes: disk.sizeBytes, table, volumes, notes: table.notes };
}

const OPENERS: ReadonlyArray<(source: ByteSource) => Promise<FileSystem | undefined>> = [openExt];

/** One volume that is damaged says nothing about the others. */
async function openVolume(name: string, source: ByteSource): Promise<Volume> {
  const { sizeBytes } = source;
  try {
    for (const open of OPENERS) {
      const fileSystem = await open(source);
      if (fileSystem !== undefined) return { name, sizeBytes, files: new GuestFiles(fileSystem) };
    }
    return { name, sizeBytes };
  } catch (error) {
    if (!(error as XennerError).code?.startsWith('EGUEST_DISK')) throw error;
    return { name, sizeBytes, problem: (error as XennerError).message };
  }
}
