/** The superblock of ext2, ext3 and ext4 (Linux, fs/ext4/ext4.h, struct ext4_super_block). */
import type { ByteSource } from '../byte-source.js';
import { crc32c } from '../crc32c.js';
import { damaged, unsupported } from '../errors.js';
import { uuid } from '../uuid.js';

const SUPERBLOCK_OFFSET = 1024;
const SUPERBLOCK_BYTES = 1024;
const EXT2_SUPER_MAGIC = 0xef53;
/** EXT4_MAX_BLOCK_LOG_SIZE - EXT4_MIN_BLOCK_LOG_SIZE: 64 KiB. */
const MAX_LOG_BLOCK_SIZE = 6;
const EXT2_GOOD_OLD_REV = 0;
const EXT2_GOOD_OLD_INODE_SIZE = 128;

export const COMPAT_HAS_JOURNAL = 0x4;
const COMPAT_SPARSE_SUPER2 = 0x200;
export const INCOMPAT_RECOVER = 0x4;
const INCOMPAT_META_BG = 0x10;
const INCOMPAT_64BIT = 0x80;
const INCOMPAT_CSUM_SEED = 0x2000;
const RO_COMPAT_SPARSE_SUPER = 0x1;
const RO_COMPAT_METADATA_CSUM = 0x400;

/**
 * What we read, by the bit. Of those that change what a file is, `ea_inode` changes only attributes, `encrypt` only files that are
 * marked, `casefold` only how names are compared; `mmp` is for those who write.
 */
const INCOMPAT_READ: Readonly<Record<number, string>> = {
  1: 'filetype',
  2: 'needs_recovery',
  4: 'meta_bg',
  6: 'extents',
  7: '64bit',
  8: 'mmp',
  9: 'flex_bg',
  10: 'ea_inode',
  13: 'metadata_csum_seed',
  14: 'large_dir',
  15: 'inline_data',
  16: 'encrypt',
  17: 'casefold',
};
const INCOMPAT_REFUSED: Readonly<Record<number, string>> = {
  0: 'compression',
  3: 'journal_dev',
  12: 'dirdata',
};

export interface ExtSuperblock {
  readonly type: 'ext2' | 'ext3' | 'ext4';
  readonly label: string;
  readonly uuid: string;
  readonly blockBytes: number;
  readonly blocks: number;
  readonly firstDataBlock: number;
  readonly blocksPerGroup: number;
  readonly inodes: number;
  readonly inodesPerGroup: number;
  readonly inodeBytes: number;
  readonly descriptorBytes: number;
  readonly compat: number;
  readonly incompat: number;
  readonly journalInode: number;
  /** Set for metadata_csum only: what every sum starts with. */
  readonly checksumSeed: number | undefined;
  /** With meta_bg: the first block of group descriptors that lies in its own group. */
  readonly firstMetaBg: number;
  hasSuperblock(group: number): boolean;
}

/** Undefined: not an ext file system. */
export async function readSuperblock(disk: ByteSource): Promise<ExtSuperblock | undefined> {
  if (disk.sizeBytes < SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES) return undefined;
  const raw = await disk.read(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES);
  if (raw.readUInt16LE(0x38) !== EXT2_SUPER_MAGIC) return undefined;
  const [compat, incompat, roCompat] = [
    raw.readUInt32LE(0x5c),
    raw.readUInt32LE(0x60),
    raw.readUInt32LE(0x64),
  ];
  refuseUnknown(incompat);
  const checksummed = (roCompat & RO_COMPAT_METADATA_CSUM) !== 0;
  if (checksummed && crc32c(~0, raw.subarray(0, 0x3fc)) !== raw.readUInt32LE(0x3fc))
    throw damaged('the checksum of the ext4 superblock is wrong');
  const is64Bit = (incompat & INCOMPAT_64BIT) !== 0;
  const logBlockSize = raw.readUInt32LE(0x18);
  const superblock: ExtSuperblock = {
    type: typeOf(compat, incompat, roCompat),
    label: raw.toString('utf8', 0x78, 0x88).replace(/\0.*/s, ''),
    uuid: uuid(raw.subarray(0x68, 0x78)),
    blockBytes: 1024 * 2 ** Math.min(logBlockSize, MAX_LOG_BLOCK_SIZE + 1),
    blocks: raw.readUInt32LE(4) + (is64Bit ? raw.readUInt32LE(0x150) * 2 ** 32 : 0),
    firstDataBlock: raw.readUInt32LE(0x14),
    blocksPerGroup: raw.readUInt32LE(0x20),
    inodes: raw.readUInt32LE(0),
    inodesPerGroup: raw.readUInt32LE(0x28),
    inodeBytes:
      raw.readUInt32LE(0x4c) === EXT2_GOOD_OLD_REV ? EXT2_GOOD_OLD_INODE_SIZE : raw.readUInt16LE(0x58),
    descriptorBytes: is64Bit ? raw.readUInt16LE(0xfe) : 32,
    compat,
    incompat,
    journalInode: raw.readUInt32LE(0xe0),
    checksumSeed: checksummed ? seedOf(raw, incompat) : undefined,
    firstMetaBg: (incompat & INCOMPAT_META_BG) !== 0 ? raw.readUInt32LE(0x104) : Infinity,
    hasSuperblock: superblockGroups(raw, compat, roCompat),
  };
  check(superblock);
  return superblock;
}

/** As blkid tells them apart. */
function typeOf(compat: number, incompat: number, roCompat: number): 'ext2' | 'ext3' | 'ext4' {
  const ext3Incompat = 0x2 | INCOMPAT_RECOVER | INCOMPAT_META_BG;
  const ext3RoCompat = 0x7;
  if ((incompat & ~ext3Incompat) !== 0 || (roCompat & ~ext3RoCompat) !== 0) return 'ext4';
  return (compat & COMPAT_HAS_JOURNAL) !== 0 ? 'ext3' : 'ext2';
}

function refuseUnknown(incompat: number): void {
  for (let bit = 0; bit < 32; bit++) {
    if (((incompat >>> bit) & 1) === 0 || bit in INCOMPAT_READ) continue;
    const name = INCOMPAT_REFUSED[bit] ?? `incompatible feature bit ${bit}`;
    throw unsupported(`the file system is ext4 with ${name}, which is not read`);
  }
}

function seedOf(raw: Buffer, incompat: number): number {
  if ((incompat & INCOMPAT_CSUM_SEED) !== 0) return raw.readUInt32LE(0x270);
  return crc32c(~0, raw.subarray(0x68, 0x78));
}

/** Groups that begin with a copy of superblock and descriptors (ext4_bg_has_super). */
function superblockGroups(raw: Buffer, compat: number, roCompat: number): (group: number) => boolean {
  if ((compat & COMPAT_SPARSE_SUPER2) !== 0) {
    const backups = [0, raw.readUInt32LE(0x24c), raw.readUInt32LE(0x250)];
    return (group) => backups.includes(group);
  }
  if ((roCompat & RO_COMPAT_SPARSE_SUPER) === 0) return () => true;
  const isPower = (group: number, base: number): boolean => {
    let power = base;
    while (power < group) power *= base;
    return power === group;
  };
  return (group) => group <= 1 || isPower(group, 3) || isPower(group, 5) || isPower(group, 7);
}

function check(superblock: ExtSuperblock): void {
  const { blockBytes, inodeBytes, descriptorBytes, inodesPerGroup, blocksPerGroup } = superblock;
  const isPowerOf2 = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;
  const problem =
    blockBytes > 1024 * 2 ** MAX_LOG_BLOCK_SIZE
      ? 'blocks'
      : !isPowerOf2(inodeBytes) || inodeBytes < 128 || inodeBytes > blockBytes
        ? 'inodes'
        : !isPowerOf2(descriptorBytes) || descriptorBytes < 32 || descriptorBytes > blockBytes
          ? 'group descriptors'
          : inodesPerGroup === 0 || blocksPerGroup === 0
            ? 'groups'
            : undefined;
  if (problem !== undefined)
    throw damaged(`the ext superblock gives an impossible number or size of ${problem}`);
}
