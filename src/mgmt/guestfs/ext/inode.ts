/** Inodes of ext2, ext3 and ext4: where they lie, and what is in them (struct ext4_inode). */
import type { ByteSource } from '../byte-source.js';
import { crc32c, crc32cOf } from '../crc32c.js';
import { damaged } from '../errors.js';
import type { ExtSuperblock } from './superblock.js';

const ENCRYPT_FL = 0x800;
const EXTENTS_FL = 0x80000;
const INLINE_DATA_FL = 0x10000000;

/** `i_block`: extents, block numbers, a short symbolic link, or the beginning of inline data. */
export const I_BLOCK_BYTES = 60;
const I_BLOCK_OFFSET = 0x28;
const GOOD_OLD_INODE_BYTES = 128;
const CHECKSUM_LO_OFFSET = 0x7c;
const CHECKSUM_HI_OFFSET = 0x82;

export interface ExtInode {
  readonly number: number;
  readonly mode: number;
  readonly sizeBytes: number;
  readonly isEncrypted: boolean;
  readonly hasExtents: boolean;
  readonly isInline: boolean;
  readonly block: Buffer;
  /** The whole inode, attributes behind it included. */
  readonly raw: Buffer;
  /** What sums over this inode's blocks start with; undefined without metadata_csum. */
  readonly checksumSeed: number | undefined;
}

export async function readInode(
  disk: ByteSource,
  superblock: ExtSuperblock,
  number: number,
): Promise<ExtInode> {
  if (!(number >= 1 && number <= superblock.inodes)) throw damaged(`there is no inode ${number}`);
  const group = Math.floor((number - 1) / superblock.inodesPerGroup);
  const index = (number - 1) % superblock.inodesPerGroup;
  const table = await inodeTable(disk, superblock, group);
  const { inodeBytes, blockBytes } = superblock;
  const raw = await disk.read(table * blockBytes + index * inodeBytes, inodeBytes);
  const flags = raw.readUInt32LE(0x20);
  return {
    number,
    mode: raw.readUInt16LE(0),
    sizeBytes: raw.readUInt32LE(4) + raw.readUInt32LE(0x6c) * 2 ** 32,
    isEncrypted: (flags & ENCRYPT_FL) !== 0,
    hasExtents: (flags & EXTENTS_FL) !== 0,
    isInline: (flags & INLINE_DATA_FL) !== 0,
    block: raw.subarray(I_BLOCK_OFFSET, I_BLOCK_OFFSET + I_BLOCK_BYTES),
    raw,
    checksumSeed: checkSum(raw, superblock, number),
  };
}

/** The block where a group's inodes begin, by its descriptor. */
async function inodeTable(disk: ByteSource, superblock: ExtSuperblock, group: number): Promise<number> {
  const { blockBytes, descriptorBytes } = superblock;
  const perBlock = blockBytes / descriptorBytes;
  const block = descriptorBlock(superblock, Math.floor(group / perBlock), perBlock);
  const descriptor = await disk.read(
    block * blockBytes + (group % perBlock) * descriptorBytes,
    descriptorBytes,
  );
  const high = descriptorBytes >= 64 ? descriptor.readUInt32LE(0x28) : 0;
  return descriptor.readUInt32LE(8) + high * 2 ** 32;
}

/** Behind the superblock, or with meta_bg in the first of the groups that the block describes (ext4_get_group_desc's layout). */
function descriptorBlock(superblock: ExtSuperblock, index: number, perBlock: number): number {
  const { firstDataBlock, blockBytes, blocksPerGroup } = superblock;
  // With blocks of 1 KiB and clusters, block 0 is a data block and the superblock is in block 1 all the same.
  const superblockBlock = Math.max(firstDataBlock, blockBytes === 1024 ? 1 : 0);
  if (index < superblock.firstMetaBg) return superblockBlock + 1 + index;
  const group = index * perBlock;
  if (group === 0) return superblockBlock + 1;
  return firstDataBlock + group * blocksPerGroup + (superblock.hasSuperblock(group) ? 1 : 0);
}

/** ext4_inode_csum: the sum covers the inode with its own fields as zeros; the upper half is there if the inode has room. */
function checkSum(raw: Buffer, superblock: ExtSuperblock, number: number): number | undefined {
  if (superblock.checksumSeed === undefined) return undefined;
  const seed = crc32c(crc32cOf(superblock.checksumSeed, number), raw.subarray(0x64, 0x68));
  const hasHigh = raw.length > GOOD_OLD_INODE_BYTES && raw.readUInt16LE(GOOD_OLD_INODE_BYTES) >= 4;
  const zeroed = Buffer.from(raw);
  zeroed.writeUInt16LE(0, CHECKSUM_LO_OFFSET);
  if (hasHigh) zeroed.writeUInt16LE(0, CHECKSUM_HI_OFFSET);
  const sum = crc32c(seed, zeroed);
  const stored =
    raw.readUInt16LE(CHECKSUM_LO_OFFSET) + (hasHigh ? raw.readUInt16LE(CHECKSUM_HI_OFFSET) * 65536 : 0);
  // Inodes that were never used are zeros, without a sum.
  if (stored !== (hasHigh ? sum : sum & 0xffff) && raw.some((byte) => byte !== 0))
    throw damaged(`the checksum of inode ${number} is wrong`);
  return seed;
}

const XATTR_MAGIC = 0xea020000;
const XATTR_ENTRY_BYTES = 16;
const XATTR_INDEX_SYSTEM = 7;

/** Inline data: `i_block`, and what does not fit there in the attribute "system.data" (fs/ext4/inline.c). */
export function inlineData(inode: ExtInode): Buffer {
  return Buffer.concat([inode.block, systemData(inode)]).subarray(0, inode.sizeBytes);
}

function systemData({ raw, number }: ExtInode): Buffer {
  const header =
    GOOD_OLD_INODE_BYTES + (raw.length > GOOD_OLD_INODE_BYTES ? raw.readUInt16LE(GOOD_OLD_INODE_BYTES) : 0);
  if (header + 4 > raw.length || raw.readUInt32LE(header) !== XATTR_MAGIC) return Buffer.alloc(0);
  const first = header + 4;
  for (let at = first; at + XATTR_ENTRY_BYTES <= raw.length && raw.readUInt32LE(at) !== 0; ) {
    const nameBytes = raw[at]!;
    const name = raw.toString('latin1', at + XATTR_ENTRY_BYTES, at + XATTR_ENTRY_BYTES + nameBytes);
    if (raw[at + 1] === XATTR_INDEX_SYSTEM && name === 'data') {
      const start = first + raw.readUInt16LE(at + 2);
      const end = start + raw.readUInt32LE(at + 8);
      if (end > raw.length) throw damaged(`the inline data of inode ${number} ends outside of it`);
      return raw.subarray(start, end);
    }
    at += XATTR_ENTRY_BYTES + Math.ceil(nameBytes / 4) * 4;
  }
  return Buffer.alloc(0);
}
