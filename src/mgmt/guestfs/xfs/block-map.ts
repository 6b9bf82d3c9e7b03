/** Where the blocks of a file are: a list of extents in the inode, or a tree of them (xfs_bmap_btree.c). */
import type { BlockRun, ByteSource } from '../byte-source.js';
import { damaged } from '../errors.js';
import { FORMAT, type XfsInode } from './inode.js';
import { blockOnDisk, checkSum, type XfsSuperblock } from './superblock.js';

export type RunAt = (block: number, wanted: number) => Promise<BlockRun>;

const RECORD_BYTES = 16;
const ROOT_HEADER_BYTES = 4;
const NODE_HEADER_BYTES = 24;
const NODE_HEADER_BYTES_V5 = 72;
const NODE_CRC_OFFSET = 64;
const BMAP_MAGIC = 0x424d4150;
const BMA3_MAGIC = 0x424d4133;
/** XFS_BM_MAXLEVELS is 9 for the largest file systems. */
const MAX_LEVELS = 10;

export function blockMap(disk: ByteSource, superblock: XfsSuperblock, inode: XfsInode): RunAt {
  const { fork, extents, format, number } = inode;
  if (format === FORMAT.extents) {
    if (extents * RECORD_BYTES > fork.length)
      throw damaged(`inode ${number} has more extents than room for them`);
    const records = fork.subarray(0, extents * RECORD_BYTES);
    return async (block, wanted) => runIn(superblock, records, block, block + wanted);
  }
  if (format === FORMAT.btree)
    return (block, wanted) => descend(disk, superblock, inode, block, block + wanted);
  throw damaged(`inode ${number} has no blocks`);
}

async function descend(
  disk: ByteSource,
  superblock: XfsSuperblock,
  inode: XfsInode,
  block: number,
  wantedEnd: number,
): Promise<BlockRun> {
  const { fork } = inode;
  let end = wantedEnd;
  let level = fork.readUInt16BE(0);
  let keys = fork.subarray(ROOT_HEADER_BYTES);
  let count = fork.readUInt16BE(2);
  if (level < 1 || level > MAX_LEVELS) throw damaged(`the extents of inode ${inode.number} are no tree`);
  for (;;) {
    const room = Math.floor(keys.length / RECORD_BYTES);
    if (count > room) throw damaged(`the extents of inode ${inode.number} are damaged`);
    // Keys and pointers have 8 bytes each; pointers begin where keys would end if there were no more room.
    const keyAt = (index: number) => Number(keys.readBigUInt64BE(index * 8));
    const index = lastAtOrBefore(count, keyAt, block);
    if (index + 1 < count) end = Math.min(end, keyAt(index + 1));
    if (index < 0) return { physical: undefined, count: Math.max(1, end - block) };
    const child = Number(keys.readBigUInt64BE(room * 8 + index * 8));
    const node = await readNode(disk, superblock, inode, child, --level);
    if (level === 0) return runIn(superblock, node.records, block, end);
    keys = node.body;
    count = node.count;
  }
}

async function readNode(
  disk: ByteSource,
  superblock: XfsSuperblock,
  inode: XfsInode,
  number: number,
  level: number,
): Promise<{ body: Buffer; count: number; records: Buffer }> {
  const { blockBytes, isV5 } = superblock;
  const block = await disk.read(blockOnDisk(superblock, number, 1) * blockBytes, blockBytes);
  if (isV5) checkSum(block, NODE_CRC_OFFSET, `the extents of inode ${inode.number}`);
  const count = block.readUInt16BE(6);
  const body = block.subarray(isV5 ? NODE_HEADER_BYTES_V5 : NODE_HEADER_BYTES);
  const isExpected =
    block.readUInt32BE(0) === (isV5 ? BMA3_MAGIC : BMAP_MAGIC) && block.readUInt16BE(4) === level;
  if (!isExpected || count * RECORD_BYTES > body.length)
    throw damaged(`the extents of inode ${inode.number} are damaged`);
  return { body, count, records: body.subarray(0, count * RECORD_BYTES) };
}

function lastAtOrBefore(count: number, keyAt: (index: number) => number, block: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keyAt(middle) <= block) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** struct xfs_bmbt_rec: 1 bit not written, 54 bits of the file's block, 52 bits of the disk's, 21 bits of length. */
function runIn(superblock: XfsSuperblock, records: Buffer, block: number, end: number): BlockRun {
  const count = records.length / RECORD_BYTES;
  const startAt = (index: number) =>
    Number((records.readBigUInt64BE(index * RECORD_BYTES) >> 9n) & ((1n << 54n) - 1n));
  const index = lastAtOrBefore(count, startAt, block);
  const next = index + 1 < count ? Math.min(end, startAt(index + 1)) : end;
  const hole = { physical: undefined, count: Math.max(1, next - block) };
  if (index < 0) return hole;
  const high = records.readBigUInt64BE(index * RECORD_BYTES);
  const low = records.readBigUInt64BE(index * RECORD_BYTES + 8);
  const length = Number(low & ((1n << 21n) - 1n));
  const skipped = block - startAt(index);
  if (skipped >= length) return hole;
  const isWritten = high >> 63n === 0n;
  if (!isWritten) return { physical: undefined, count: length - skipped };
  const start = Number(((high & 0x1ffn) << 43n) | (low >> 21n));
  return { physical: blockOnDisk(superblock, start, length) + skipped, count: length - skipped };
}
