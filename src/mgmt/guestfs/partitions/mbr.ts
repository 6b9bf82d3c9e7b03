/** The PC's partition table, with logical partitions in a chain of tables of their own. */
import { MAX_PARTITIONS } from '../../../base/limits.js';
import type { ByteSource } from '../byte-source.js';
import { onDisk, type Partition, type PartitionTable } from './partition.js';

const SIGNATURE_OFFSET = 510;
const SIGNATURE = 0xaa55;
const TABLE_OFFSET = 446;
const ENTRY_BYTES = 16;

/** DOS's, Windows 95's (LBA) and Linux' own (Linux, block/partitions/msdos.c, is_extended_partition). */
const EXTENDED = new Set([0x05, 0x0f, 0x85]);
/** A disk with a GPT has an MBR that says so. */
const PROTECTIVE = 0xee;

interface Entry {
  readonly flags: number;
  readonly type: number;
  /** Sectors; relative to what the table's place says. */
  readonly start: number;
  readonly sectors: number;
}

function entries(sector: Buffer): Entry[] {
  if (sector.readUInt16LE(SIGNATURE_OFFSET) !== SIGNATURE) return [];
  return [0, 1, 2, 3].map((index) => {
    const at = TABLE_OFFSET + index * ENTRY_BYTES;
    return {
      flags: sector[at]!,
      type: sector[at + 4]!,
      start: sector.readUInt32LE(at + 8),
      sectors: sector.readUInt32LE(at + 12),
    };
  });
}

const isUsed = (entry: Entry): boolean => entry.type !== 0 && entry.sectors !== 0;

/**
 * The table in the first sector, or undefined where there is none. A boot loader in the first sector of a file system has the same
 * signature; there the flags are no flags (the same test as Linux makes).
 */
export async function readMbr(disk: ByteSource, sectorBytes: number): Promise<PartitionTable | undefined> {
  if (disk.sizeBytes < sectorBytes) return undefined;
  const primary = entries(await disk.read(0, 512));
  if (!primary.some(isUsed) || primary.some(({ flags }) => (flags & 0x7f) !== 0)) return undefined;

  const partitions: Partition[] = [];
  const notes: string[] = [];
  const add = (number: number, entry: Entry, base: number): void => {
    const place = onDisk(disk.sizeBytes, base + entry.start, entry.sectors, sectorBytes);
    if (place === undefined) {
      notes.push(`partition ${number} lies beyond the end of the disk`);
      return;
    }
    const type = entry.type.toString(16).padStart(2, '0');
    partitions.push({ number, ...place, type, active: (entry.flags & 0x80) !== 0 });
  };

  for (const [index, entry] of primary.entries()) {
    if (isUsed(entry) && !EXTENDED.has(entry.type)) add(index + 1, entry, 0);
  }
  let number = 5;
  for (const extended of primary.filter((entry) => isUsed(entry) && EXTENDED.has(entry.type))) {
    for await (const { base, entry } of logical(disk, extended.start, sectorBytes, notes))
      add(number++, entry, base);
  }
  return { scheme: 'mbr', partitions, notes };
}

export function isProtective(table: PartitionTable | undefined): boolean {
  return table?.partitions.some(({ type }) => type === PROTECTIVE.toString(16)) ?? false;
}

/** Each table of the chain has a partition relative to itself, and the next table relative to the whole extended partition. */
async function* logical(
  disk: ByteSource,
  extendedStart: number,
  sectorBytes: number,
  notes: string[],
): AsyncGenerator<{ base: number; entry: Entry }> {
  const visited = new Set<number>();
  for (let base: number | undefined = extendedStart; base !== undefined; ) {
    if (visited.has(base) || visited.size >= MAX_PARTITIONS || (base + 1) * sectorBytes > disk.sizeBytes) {
      notes.push('the chain of logical partitions is damaged');
      return;
    }
    visited.add(base);
    const table: Entry[] = entries(await disk.read(base * sectorBytes, 512)).filter(isUsed);
    for (const entry of table.filter(({ type }) => !EXTENDED.has(type))) yield { base, entry };
    const next: Entry | undefined = table.find(({ type }) => EXTENDED.has(type));
    base = next && extendedStart + next.start;
  }
}
