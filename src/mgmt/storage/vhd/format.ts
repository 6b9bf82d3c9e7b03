/** VHD's structures on the disk ("Virtual Hard Disk Image Format Specification", Microsoft, 2006). Everything is big-endian. */
import { randomBytes } from 'node:crypto';
import { damaged, unsupported } from '../image-errors.js';

export const SECTOR_BYTES = 512;
export const FOOTER_BYTES = 512;
export const HEADER_BYTES = 1024;
export const UNUSED = 0xffffffff;
export const TYPE = { fixed: 2, dynamic: 3, differencing: 4 } as const;
export type VhdType = keyof typeof TYPE;
export const DEFAULT_BLOCK_BYTES = 2 ** 21;
/** What the format can address: 2040 GiB. */
export const MAX_VHD_BYTES = 2040 * 2 ** 30;
const MAX_BLOCK_BYTES = 2 ** 28;

const COOKIE = 'conectix';
const HEADER_COOKIE = 'cxsparse';
const VERSION = 0x00010000;
const NOWHERE = 0xffffffffffffffffn;
const CHECKSUM_AT = 64;
const HEADER_CHECKSUM_AT = 36;
const LOCATORS_AT = 576;
const LOCATORS = 8;
const LOCATOR_BYTES = 24;
const PARENT_NAME_AT = 64;
const PARENT_NAME_BYTES = 512;
/** 1 January 2000. */
const EPOCH_SECONDS = 946_684_800;
/** Whoever has these means the size that is said; others, as Virtual PC, mean the geometry's (QEMU: block/vpc.c). */
const SIZED_CREATORS = ['win ', 'qem2', 'd2v ', 'tap\0', 'CTXS', 'wa\0\0'];
/** XenServer's blktap: a creator whose size everybody believes. */
const CREATOR = 'tap\0';
const MAX_GEOMETRY_SECTORS = 65_535 * 16 * 255;

export interface Footer {
  readonly type: VhdType;
  readonly sizeBytes: number;
  /** Of the header; fixed images have none. */
  readonly headerOffset: number;
  readonly uuid: string;
  /** As it is on the disk. */
  readonly bytes: Buffer;
}

export interface Locator {
  readonly platform: string;
  readonly offset: number;
  readonly length: number;
}

export interface Header {
  readonly tableOffset: number;
  readonly blocks: number;
  readonly blockBytes: number;
  readonly parentUuid: string;
  readonly parentName: string;
  readonly locators: readonly Locator[];
}

export function isVhd(head: Uint8Array): boolean {
  return Buffer.from(head.subarray(0, COOKIE.length)).toString('latin1') === COOKIE;
}

/** Ones' complement of the sum of all bytes but its own. */
export function checksum(bytes: Uint8Array, at: number): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) if (i < at || i >= at + 4) sum += bytes[i]!;
  return ~sum >>> 0;
}

/** @returns undefined for what is no footer */
export function parseFooter(path: string, bytes: Buffer): Footer | undefined {
  if (!isVhd(bytes) || bytes.readUInt32BE(CHECKSUM_AT) !== checksum(bytes, CHECKSUM_AT)) return undefined;
  const number = bytes.readUInt32BE(60);
  const type = (Object.keys(TYPE) as VhdType[]).find((each) => TYPE[each] === number);
  if (type === undefined) throw unsupported(path, `is a VHD of the type ${number}`);
  const sizeBytes = diskBytes(bytes);
  if (sizeBytes > MAX_VHD_BYTES) throw damaged(path, 'its disk is larger than the format allows');
  const headerOffset = type === 'fixed' ? 0 : Number(bytes.readBigUInt64BE(16));
  return { type, sizeBytes, headerOffset, uuid: bytes.toString('hex', 68, 84), bytes };
}

function diskBytes(footer: Buffer): number {
  const sectors = footer.readUInt16BE(56) * footer[58]! * footer[59]!;
  const isSized =
    SIZED_CREATORS.includes(footer.toString('latin1', 28, 32)) || sectors === MAX_GEOMETRY_SECTORS;
  if (!isSized && sectors > 0) return sectors * SECTOR_BYTES;
  return Math.floor(Number(footer.readBigUInt64BE(48)) / SECTOR_BYTES) * SECTOR_BYTES;
}

export function parseHeader(path: string, bytes: Buffer, sizeBytes: number): Header {
  const isHeader = bytes.toString('latin1', 0, HEADER_COOKIE.length) === HEADER_COOKIE;
  if (!isHeader || bytes.readUInt32BE(HEADER_CHECKSUM_AT) !== checksum(bytes, HEADER_CHECKSUM_AT))
    throw damaged(path, 'its header is none');
  const tableOffset = Number(bytes.readBigUInt64BE(16));
  const [blocks, blockBytes] = [bytes.readUInt32BE(28), bytes.readUInt32BE(32)];
  const isPower = blockBytes >= SECTOR_BYTES && (blockBytes & (blockBytes - 1)) === 0;
  if (!isPower || blockBytes > MAX_BLOCK_BYTES) throw damaged(path, `its blocks have ${blockBytes} bytes`);
  if (blocks < Math.ceil(sizeBytes / blockBytes) || blocks > MAX_VHD_BYTES / SECTOR_BYTES)
    throw damaged(path, 'its table is not of its disk');
  if (!Number.isSafeInteger(tableOffset) || tableOffset % SECTOR_BYTES !== 0)
    throw damaged(path, 'its table is nowhere');
  const name = Buffer.from(bytes.subarray(PARENT_NAME_AT, PARENT_NAME_AT + PARENT_NAME_BYTES)).swap16();
  const locators = Array.from({ length: LOCATORS }, (_, i) => {
    const at = LOCATORS_AT + i * LOCATOR_BYTES;
    const offset = Number(bytes.readBigUInt64BE(at + 16));
    return { platform: bytes.toString('latin1', at, at + 4), offset, length: bytes.readUInt32BE(at + 8) };
  });
  return {
    ...{ tableOffset, blocks, blockBytes, locators },
    parentUuid: bytes.toString('hex', 40, 56),
    parentName: name.toString('utf16le').replace(/\0.*$/s, ''),
  };
}

/** Cylinders, heads and sectors as the specification's appendix has them. */
export function geometryOf(sizeBytes: number): readonly [cylinders: number, heads: number, sectors: number] {
  const total = Math.min(sizeBytes / SECTOR_BYTES, MAX_GEOMETRY_SECTORS);
  if (total >= 65_535 * 16 * 63) return [Math.floor(total / (16 * 255)), 16, 255];
  let sectors = 17;
  let tracks = Math.floor(total / sectors);
  let heads = Math.max(Math.floor((tracks + 1023) / 1024), 4);
  if (tracks >= heads * 1024 || heads > 16) {
    [sectors, heads] = [31, 16];
    tracks = Math.floor(total / sectors);
  }
  if (tracks >= heads * 1024) {
    [sectors, heads] = [63, 16];
    tracks = Math.floor(total / sectors);
  }
  return [Math.floor(tracks / heads), heads, sectors];
}

export function makeFooter(type: VhdType, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(FOOTER_BYTES);
  bytes.write(COOKIE, 0, 'latin1');
  bytes.writeUInt32BE(2, 8);
  bytes.writeUInt32BE(VERSION, 12);
  bytes.writeBigUInt64BE(type === 'fixed' ? NOWHERE : BigInt(FOOTER_BYTES), 16);
  bytes.writeUInt32BE(Math.max(0, Math.floor(Date.now() / 1000) - EPOCH_SECONDS), 24);
  bytes.write(CREATOR, 28, 'latin1');
  bytes.writeUInt32BE(VERSION, 32);
  bytes.writeBigUInt64BE(BigInt(sizeBytes), 40);
  bytes.writeBigUInt64BE(BigInt(sizeBytes), 48);
  const [cylinders, heads, sectors] = geometryOf(sizeBytes);
  bytes.writeUInt16BE(cylinders, 56);
  bytes[58] = heads;
  bytes[59] = sectors;
  bytes.writeUInt32BE(TYPE[type], 60);
  randomBytes(16).copy(bytes, 68);
  bytes.writeUInt32BE(checksum(bytes, CHECKSUM_AT), CHECKSUM_AT);
  return bytes;
}

/** @param parent a name relative to the image, at the locator's offset */
export function makeHeader(
  blocks: number,
  parent?: { readonly uuid: string; readonly name: string; readonly offset: number },
): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(HEADER_COOKIE, 0, 'latin1');
  bytes.writeBigUInt64BE(NOWHERE, 8);
  bytes.writeBigUInt64BE(BigInt(FOOTER_BYTES + HEADER_BYTES), 16);
  bytes.writeUInt32BE(VERSION, 24);
  bytes.writeUInt32BE(blocks, 28);
  bytes.writeUInt32BE(DEFAULT_BLOCK_BYTES, 32);
  if (parent !== undefined) {
    bytes.write(parent.uuid, 40, 'hex');
    Buffer.from(parent.name.slice(0, PARENT_NAME_BYTES / 2 - 1), 'utf16le')
      .swap16()
      .copy(bytes, PARENT_NAME_AT);
    bytes.write('W2ru', LOCATORS_AT, 'latin1');
    bytes.writeUInt32BE(SECTOR_BYTES * Math.ceil((parent.name.length * 2) / SECTOR_BYTES), LOCATORS_AT + 4);
    bytes.writeUInt32BE(parent.name.length * 2, LOCATORS_AT + 8);
    bytes.writeBigUInt64BE(BigInt(parent.offset), LOCATORS_AT + 16);
  }
  bytes.writeUInt32BE(checksum(bytes, HEADER_CHECKSUM_AT), HEADER_CHECKSUM_AT);
  return bytes;
}
