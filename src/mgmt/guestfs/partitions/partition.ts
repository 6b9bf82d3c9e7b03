/** What a partition table says, whatever its kind. */
export interface Partition {
  /** As Linux counts: logical partitions of an MBR from 5 on. */
  readonly number: number;
  /** Bytes from the start of the disk. */
  readonly offset: number;
  readonly sizeBytes: number;
  /** MBR: two hexadecimal digits; GPT: the type's GUID. */
  readonly type: string;
  /** Marked for booting: MBR's active flag, GPT's attribute "legacy BIOS bootable". */
  readonly active: boolean;
  /** GPT: its name. */
  readonly label?: string;
}

export interface PartitionTable {
  readonly scheme: 'none' | 'mbr' | 'gpt';
  readonly partitions: readonly Partition[];
  /** What a user should know about the table. */
  readonly notes: readonly string[];
}

/** A stretch of the disk in sectors, as far as it lies on the disk; undefined when none of it does. */
export function onDisk(
  diskBytes: number,
  firstSector: number,
  sectors: number,
  sectorBytes: number,
): { offset: number; sizeBytes: number } | undefined {
  const offset = firstSector * sectorBytes;
  const sizeBytes = Math.min(sectors * sectorBytes, diskBytes - offset);
  return sizeBytes > 0 ? { offset, sizeBytes } : undefined;
}
