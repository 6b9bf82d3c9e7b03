/** The superblock of XFS (Linux, fs/xfs/libxfs/xfs_format.h, struct xfs_dsb). Everything is big-endian but checksums. */
import type { ByteSource } from '../byte-source.js';
import { crc32c } from '../crc32c.js';
import { damaged, unsupported } from '../errors.js';
import { uuid } from '../uuid.js';

const XFS_SB_MAGIC = Buffer.from('XFSB');
const SUPERBLOCK_BYTES = 512;
const CRC_OFFSET = 224;

const VERSION_MASK = 0xf;
const VERSION_DIRV2 = 0x2000;
const VERSION_MOREBITS = 0x8000;
const FEATURES2_FTYPE = 0x200;
const INCOMPAT_FTYPE = 0x1;
const INCOMPAT_NEEDSREPAIR = 0x10;
/** ftype, sparse inodes, meta_uuid, bigtime, needsrepair, nrext64, exchange-range, parent pointers: as far as files are read. */
const INCOMPAT_READ = 0xff;

export interface XfsSuperblock {
  readonly label: string;
  readonly uuid: string;
  readonly isV5: boolean;
  readonly needsRepair: boolean;
  readonly blockBytes: number;
  readonly agBlocks: number;
  readonly agCount: number;
  /** Bits of a block number within its allocation group, and of an inode's within its block. */
  readonly agBlockBits: number;
  readonly inodeBits: number;
  readonly inodeBytes: number;
  readonly rootInode: number;
  readonly directoryBlockBytes: number;
  readonly hasFileTypes: boolean;
  /** Blocks; 0: the log is on another device. */
  readonly logStart: number;
  readonly logBlocks: number;
}

/** Undefined: not an XFS. */
export async function readSuperblock(disk: ByteSource): Promise<XfsSuperblock | undefined> {
  if (disk.sizeBytes < SUPERBLOCK_BYTES) return undefined;
  const raw = await disk.read(0, SUPERBLOCK_BYTES);
  if (!XFS_SB_MAGIC.equals(raw.subarray(0, 4))) return undefined;
  const versionBits = raw.readUInt16BE(100);
  const version = versionBits & VERSION_MASK;
  if (version !== 4 && version !== 5) throw unsupported(`the file system is XFS of version ${version}`);
  if ((versionBits & VERSION_DIRV2) === 0)
    throw unsupported('the file system is XFS with directories of version 1');
  const isV5 = version === 5;
  const incompat = isV5 ? raw.readUInt32BE(216) : 0;
  refuseUnknown(incompat);
  const features2 = (versionBits & VERSION_MOREBITS) !== 0 ? raw.readUInt32BE(200) : 0;
  const blockBytes = raw.readUInt32BE(4);
  const superblock: XfsSuperblock = {
    label: raw.toString('utf8', 108, 120).replace(/\0.*/s, ''),
    uuid: uuid(raw.subarray(32, 48)),
    isV5,
    needsRepair: (incompat & INCOMPAT_NEEDSREPAIR) !== 0,
    blockBytes,
    agBlocks: raw.readUInt32BE(84),
    agCount: raw.readUInt32BE(88),
    agBlockBits: raw[124]!,
    inodeBits: raw[123]!,
    inodeBytes: raw.readUInt16BE(104),
    rootInode: Number(raw.readBigUInt64BE(56)),
    directoryBlockBytes: blockBytes * 2 ** raw[192]!,
    hasFileTypes: isV5 ? (incompat & INCOMPAT_FTYPE) !== 0 : (features2 & FEATURES2_FTYPE) !== 0,
    logStart: Number(raw.readBigUInt64BE(48)),
    logBlocks: raw.readUInt32BE(96),
  };
  check(superblock);
  if (isV5) checkSum(await disk.read(0, raw.readUInt16BE(102)), CRC_OFFSET, 'the XFS superblock');
  return superblock;
}

function refuseUnknown(incompat: number): void {
  for (let bit = 0; bit < 32; bit++) {
    if ((((incompat & ~INCOMPAT_READ) >>> bit) & 1) === 0) continue;
    const name = { 8: 'a metadata directory', 9: 'zones' }[bit] ?? `incompatible feature bit ${bit}`;
    throw unsupported(`the file system is XFS with ${name}, which is not read`);
  }
}

function check(superblock: XfsSuperblock): void {
  const { blockBytes, inodeBytes, agBlocks, agBlockBits, inodeBits, directoryBlockBytes } = superblock;
  const isPowerOf2 = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;
  const fits =
    isPowerOf2(blockBytes) &&
    blockBytes >= 512 &&
    blockBytes <= 65536 &&
    isPowerOf2(inodeBytes) &&
    inodeBytes >= 256 &&
    inodeBytes * 2 ** inodeBits === blockBytes &&
    agBlocks > 0 &&
    agBlockBits <= 31 &&
    agBlocks <= 2 ** agBlockBits &&
    directoryBlockBytes <= 65536;
  if (!fits) throw damaged('the XFS superblock gives impossible sizes');
}

/** CRC-32C over the whole, with the sum itself as zeros. @param at where the sum is */
export function checkSum(block: Buffer, at: number, what: string): void {
  const before = crc32c(~0, block.subarray(0, at));
  const sum = crc32c(crc32c(before, new Uint8Array(4)), block.subarray(at + 4));
  if (~sum >>> 0 !== block.readUInt32LE(at)) throw damaged(`the checksum of ${what} is wrong`);
}

/** A block's number counts within its allocation group: here from the beginning of the disk. */
export function blockOnDisk(superblock: XfsSuperblock, fsBlock: number, count: number): number {
  const size = 2 ** superblock.agBlockBits;
  const group = Math.floor(fsBlock / size);
  const within = fsBlock % size;
  if (group >= superblock.agCount || within + count > superblock.agBlocks)
    throw damaged(`the XFS refers to block ${fsBlock}, which it does not have`);
  return group * superblock.agBlocks + within;
}
