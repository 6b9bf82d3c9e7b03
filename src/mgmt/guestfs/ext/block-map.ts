/** Where the blocks of a file are: a tree of extents (ext4), or direct and indirect block numbers (ext2, ext3). */
import type { BlockRun, ByteSource } from '../byte-source.js';
import { crc32c } from '../crc32c.js';
import { damaged } from '../errors.js';
import type { ExtInode } from './inode.js';

type RunAt = (block: number, wanted: number) => Promise<BlockRun>;

export function blockMap(disk: ByteSource, blockBytes: number, inode: ExtInode): RunAt {
  return inode.hasExtents
    ? (block, wanted) => extentRun(disk, blockBytes, inode, block, wanted)
    : (block, wanted) => indirectRun(disk, blockBytes, inode.block, block, wanted);
}

const EXTENT_MAGIC = 0xf30a;
/** EXT4_MAX_EXTENT_DEPTH. */
const MAX_EXTENT_DEPTH = 5;
/** The header, an index entry and an extent have the same size. */
const EXTENT_ENTRY_BYTES = 12;
/** EXT_INIT_MAX_LEN: longer ones are allocated but not written, and read as zeros. */
const MAX_WRITTEN_LENGTH = 32768;

async function extentRun(
  disk: ByteSource,
  blockBytes: number,
  inode: ExtInode,
  block: number,
  wanted: number,
): Promise<BlockRun> {
  let node = inode.block;
  // Where the next subtree begins: until there nothing else can be found.
  let end = block + wanted;
  for (let depth = header(node, inode, MAX_EXTENT_DEPTH).depth; ; depth--) {
    const entries = header(node, inode, depth).entries;
    if (header(node, inode, depth).depth !== depth)
      throw damaged(`the extents of inode ${inode.number} are no tree`);
    const index = lastAtOrBefore(node, entries, block);
    if (index + 1 < entries) end = Math.min(end, firstBlock(node, index + 1));
    if (index < 0) return { physical: undefined, count: Math.max(1, end - block) };
    const at = EXTENT_ENTRY_BYTES * (index + 1);
    if (depth === 0) return leafRun(node, at, block, end);
    const child = node.readUInt32LE(at + 4) + node.readUInt16LE(at + 8) * 2 ** 32;
    node = await disk.read(child * blockBytes, blockBytes);
    checkSum(node, inode);
  }
}

function header(node: Buffer, inode: ExtInode, maxDepth: number): { entries: number; depth: number } {
  const entries = node.readUInt16LE(2);
  const depth = node.readUInt16LE(6);
  if (
    node.readUInt16LE(0) !== EXTENT_MAGIC ||
    depth > maxDepth ||
    (entries + 1) * EXTENT_ENTRY_BYTES > node.length
  )
    throw damaged(`the extents of inode ${inode.number} are damaged`);
  return { entries, depth };
}

const firstBlock = (node: Buffer, index: number): number =>
  node.readUInt32LE(EXTENT_ENTRY_BYTES * (index + 1));

/** Entries are in the order of their first blocks. -1: all are behind. */
function lastAtOrBefore(node: Buffer, entries: number, block: number): number {
  let low = 0;
  let high = entries;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (firstBlock(node, middle) <= block) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function leafRun(node: Buffer, at: number, block: number, end: number): BlockRun {
  const first = node.readUInt32LE(at);
  const length = node.readUInt16LE(at + 4);
  const isWritten = length <= MAX_WRITTEN_LENGTH;
  const blocks = isWritten ? length : length - MAX_WRITTEN_LENGTH;
  if (block >= first + blocks) return { physical: undefined, count: Math.max(1, end - block) };
  const start = node.readUInt32LE(at + 8) + node.readUInt16LE(at + 6) * 2 ** 32;
  return { physical: isWritten ? start + (block - first) : undefined, count: first + blocks - block };
}

/** ext4_extent_block_csum: behind as many entries as the block can have. */
function checkSum(node: Buffer, inode: ExtInode): void {
  const tail = EXTENT_ENTRY_BYTES * (node.readUInt16LE(4) + 1);
  if (inode.checksumSeed === undefined || tail + 4 > node.length) return;
  if (crc32c(inode.checksumSeed, node.subarray(0, tail)) !== node.readUInt32LE(tail))
    throw damaged(`the checksum of the extents of inode ${inode.number} is wrong`);
}

const DIRECT_BLOCKS = 12;
/** EXT2_N_BLOCKS: behind the direct blocks one each that is indirect, doubly indirect, and triply so. */
const INDIRECTION_LEVELS = 3;

async function indirectRun(
  disk: ByteSource,
  blockBytes: number,
  iBlock: Buffer,
  block: number,
  wanted: number,
): Promise<BlockRun> {
  if (block < DIRECT_BLOCKS) return runOf(iBlock, block, Math.min(DIRECT_BLOCKS, block + wanted));
  const perBlock = blockBytes / 4;
  let index = block - DIRECT_BLOCKS;
  for (let level = 1; level <= INDIRECTION_LEVELS; level++) {
    const covered = perBlock ** level;
    if (index < covered) {
      const root = iBlock.readUInt32LE((DIRECT_BLOCKS + level - 1) * 4);
      return descend(disk, blockBytes, root, level, index, wanted);
    }
    index -= covered;
  }
  throw damaged(`a file refers to its block ${block}, which is beyond what indirect blocks can name`);
}

async function descend(
  disk: ByteSource,
  blockBytes: number,
  root: number,
  levels: number,
  index: number,
  wanted: number,
): Promise<BlockRun> {
  const perBlock = blockBytes / 4;
  let number = root;
  let rest = index;
  for (let level = levels; ; level--) {
    const covered = perBlock ** level;
    if (number === 0) return { physical: undefined, count: covered - rest };
    const table = await disk.read(number * blockBytes, blockBytes);
    if (level === 1) return runOf(table, rest, Math.min(perBlock, rest + wanted));
    const slot = Math.floor(rest / (covered / perBlock));
    number = table.readUInt32LE(slot * 4);
    rest -= slot * (covered / perBlock);
  }
}

/** As many of a table's entries as follow one another on the disk, or are all holes. */
function runOf(table: Buffer, from: number, to: number): BlockRun {
  const physical = table.readUInt32LE(from * 4);
  const step = physical === 0 ? 0 : 1;
  let count = 1;
  while (from + count < to && table.readUInt32LE((from + count) * 4) === physical + count * step) count++;
  return { physical: physical === 0 ? undefined : physical, count };
}
