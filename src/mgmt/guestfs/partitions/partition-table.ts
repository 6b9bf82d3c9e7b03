/** Finds the partitions of a disk. */
import type { ByteSource } from '../byte-source.js';
import { readGpt } from './gpt.js';
import { isProtective, readMbr } from './mbr.js';
import type { PartitionTable } from './partition.js';

/** Sectors that disks have; images of 4096-byte disks are read on hosts that do not say so. */
const GPT_SECTOR_BYTES = [512, 4096];

/** @param sectorBytes the disk's logical sector, which is the unit of an MBR */
export async function readPartitionTable(disk: ByteSource, sectorBytes: number): Promise<PartitionTable> {
  const mbr = await readMbr(disk, sectorBytes);
  if (mbr === undefined || !isProtective(mbr)) return mbr ?? { scheme: 'none', partitions: [], notes: [] };
  for (const size of GPT_SECTOR_BYTES) {
    const gpt = await readGpt(disk, size);
    if (gpt !== undefined) return gpt;
  }
  return { scheme: 'gpt', partitions: [], notes: ['the GPT and its backup are damaged'] };
}
