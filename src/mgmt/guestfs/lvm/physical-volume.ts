/** A physical volume of LVM2: its label, and the metadata of its group (lvm2, lib/format_text/layout.h). */
import { crc32 } from 'node:zlib';
import { MAX_LVM_METADATA_BYTES } from '../../../base/limits.js';
import type { ByteSource } from '../byte-source.js';
import { damaged } from '../errors.js';
import { type LvmSection, parseLvmText } from './metadata-text.js';

const SECTOR_BYTES = 512;
/** LABEL_SCAN_SECTORS. */
const LABEL_SECTORS = 4;
const LABEL_ID = Buffer.from('LABELONE');
const LABEL_TYPE = Buffer.from('LVM2 001');
const UUID_BYTES = 32;
const MDA_HEADER_BYTES = 512;
const MDA_MAGIC = Buffer.from(' LVM2 x[5A%r0N*>');
const RAW_LOCN_OFFSET = 40;
const RAW_LOCN_IGNORED = 1;
/** Areas of a list that ends with zeros. */
const MAX_AREAS = 8;

export interface PhysicalVolume {
  /** Without hyphens. */
  readonly uuid: string;
  readonly source: ByteSource;
  /** The text of the newest metadata; undefined where this volume has no copy of it. */
  readonly metadata: LvmSection | undefined;
}

/** Undefined: it is none. */
export async function readPhysicalVolume(source: ByteSource): Promise<PhysicalVolume | undefined> {
  for (let sector = 0; sector < LABEL_SECTORS && (sector + 1) * SECTOR_BYTES <= source.sizeBytes; sector++) {
    const label = await source.read(sector * SECTOR_BYTES, SECTOR_BYTES);
    if (!LABEL_ID.equals(label.subarray(0, 8)) || !LABEL_TYPE.equals(label.subarray(24, 32))) continue;
    if (lvmCrc(label.subarray(20)) !== label.readUInt32LE(16)) continue;
    return readHeader(source, label);
  }
  return undefined;
}

/** calc_crc: CRC-32 with a beginning of its own and without the inversions. */
function lvmCrc(bytes: Uint8Array): number {
  return ~crc32(bytes, ~0xf597a6cf >>> 0) >>> 0;
}

async function readHeader(source: ByteSource, label: Buffer): Promise<PhysicalVolume> {
  const start = label.readUInt32LE(20);
  if (start + UUID_BYTES > SECTOR_BYTES) throw damaged('the label of an LVM2 physical volume is damaged');
  const uuid = label.toString('latin1', start, start + UUID_BYTES);
  // Data areas come first, and are said again in the metadata.
  const dataAreas = areas(label, start + UUID_BYTES + 8);
  const metadataAreas = areas(label, dataAreas.end);
  for (const { offset, bytes } of metadataAreas.list) {
    const metadata = await readMetadata(source, offset, bytes);
    if (metadata !== undefined) return { uuid, source, metadata };
  }
  return { uuid, source, metadata: undefined };
}

function areas(
  label: Buffer,
  start: number,
): { list: Array<{ offset: number; bytes: number }>; end: number } {
  const list: Array<{ offset: number; bytes: number }> = [];
  let at = start;
  for (; at + 16 <= SECTOR_BYTES && list.length < MAX_AREAS; at += 16) {
    const offset = Number(label.readBigUInt64LE(at));
    if (offset === 0) break;
    list.push({ offset, bytes: Number(label.readBigUInt64LE(at + 8)) });
  }
  return { list, end: at + 16 };
}

/** The area is a ring behind its header: the text may go on at the ring's beginning. */
async function readMetadata(
  source: ByteSource,
  offset: number,
  bytes: number,
): Promise<LvmSection | undefined> {
  const header = await source.read(offset, MDA_HEADER_BYTES);
  if (!MDA_MAGIC.equals(header.subarray(4, 20)) || lvmCrc(header.subarray(4)) !== header.readUInt32LE(0))
    throw damaged('the header of the LVM2 metadata is damaged');
  const start = Number(header.readBigUInt64LE(RAW_LOCN_OFFSET));
  const length = Number(header.readBigUInt64LE(RAW_LOCN_OFFSET + 8));
  const isIgnored = (header.readUInt32LE(RAW_LOCN_OFFSET + 20) & RAW_LOCN_IGNORED) !== 0;
  if (start === 0 || length === 0 || isIgnored) return undefined;
  if (
    length > MAX_LVM_METADATA_BYTES ||
    start < MDA_HEADER_BYTES ||
    start >= bytes ||
    length > bytes - MDA_HEADER_BYTES
  )
    throw damaged('the LVM2 metadata is not where it is said to be');
  const first = Math.min(length, bytes - start);
  const text = Buffer.concat([
    await source.read(offset + start, first),
    await source.read(offset + MDA_HEADER_BYTES, length - first),
  ]);
  if (lvmCrc(text) !== header.readUInt32LE(RAW_LOCN_OFFSET + 16))
    throw damaged('the checksum of the LVM2 metadata is wrong');
  return parseLvmText(text.toString('utf8').replace(/\0.*/s, ''));
}
