/** GUID partition tables (UEFI specification, chapter 5). */
import { crc32 } from 'node:zlib';
import { MAX_GPT_ENTRIES_BYTES, MAX_PARTITIONS } from '../../../base/limits.js';
import type { ByteSource } from '../byte-source.js';
import { guid } from '../uuid.js';
import { onDisk, type Partition, type PartitionTable } from './partition.js';

const SIGNATURE = Buffer.from('EFI PART');
const MIN_HEADER_BYTES = 92;
const MIN_ENTRY_BYTES = 128;
const UNUSED = '00000000-0000-0000-0000-000000000000';
/** Attribute bit 2. */
const LEGACY_BIOS_BOOTABLE = 1 << 2;

/** The table of a disk, from its backup if need be; undefined where there is neither. */
export async function readGpt(disk: ByteSource, sectorBytes: number): Promise<PartitionTable | undefined> {
  const lastSector = Math.floor(disk.sizeBytes / sectorBytes) - 1;
  const primary = await readTable(disk, sectorBytes, 1);
  if (primary !== undefined) return primary;
  const backup = await readTable(disk, sectorBytes, lastSector);
  return backup && { ...backup, notes: ['the primary GPT is damaged: this is its backup', ...backup.notes] };
}

async function readTable(
  disk: ByteSource,
  sectorBytes: number,
  sector: number,
): Promise<PartitionTable | undefined> {
  if (sector < 1 || (sector + 1) * sectorBytes > disk.sizeBytes) return undefined;
  const header = await disk.read(sector * sectorBytes, sectorBytes);
  if (!SIGNATURE.equals(header.subarray(0, 8))) return undefined;
  const headerBytes = header.readUInt32LE(12);
  if (headerBytes < MIN_HEADER_BYTES || headerBytes > sectorBytes) return undefined;
  const summed = Buffer.from(header.subarray(0, headerBytes));
  summed.writeUInt32LE(0, 16);
  if (crc32(summed) !== header.readUInt32LE(16)) return undefined;

  const start = Number(header.readBigUInt64LE(72)) * sectorBytes;
  const entryBytes = header.readUInt32LE(84);
  const bytes = header.readUInt32LE(80) * entryBytes;
  if (entryBytes < MIN_ENTRY_BYTES || bytes > MAX_GPT_ENTRIES_BYTES || start + bytes > disk.sizeBytes)
    return undefined;
  const entries = await disk.read(start, bytes);
  if (crc32(entries) !== header.readUInt32LE(88)) return undefined;
  return partitionsOf(entries, entryBytes, disk.sizeBytes, sectorBytes);
}

function partitionsOf(
  entries: Buffer,
  entryBytes: number,
  diskBytes: number,
  sectorBytes: number,
): PartitionTable {
  const partitions: Partition[] = [];
  const notes: string[] = [];
  for (let at = 0, number = 1; at < entries.length; at += entryBytes, number++) {
    const type = guid(entries.subarray(at, at + 16));
    if (type === UNUSED) continue;
    if (partitions.length === MAX_PARTITIONS) {
      notes.push(`only the first ${MAX_PARTITIONS} partitions are looked at`);
      break;
    }
    const first = Number(entries.readBigUInt64LE(at + 32));
    const last = Number(entries.readBigUInt64LE(at + 40));
    const place = onDisk(diskBytes, first, last - first + 1, sectorBytes);
    if (place === undefined) {
      notes.push(`partition ${number} lies beyond the end of the disk`);
      continue;
    }
    const active = (entries.readUInt32LE(at + 48) & LEGACY_BIOS_BOOTABLE) !== 0;
    const label = entries
      .subarray(at + 56, at + 128)
      .toString('utf16le')
      .replace(/\0.*/s, '');
    partitions.push({ number, ...place, type, active, ...(label !== '' && { label }) });
  }
  return { scheme: 'gpt', partitions, notes };
}
