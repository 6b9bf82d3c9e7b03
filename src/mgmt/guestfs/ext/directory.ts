/** Directories of ext2, ext3 and ext4, read from front to back: the nodes of a hash tree look like empty entries. */
import type { ByteSource } from '../byte-source.js';
import { crc32c } from '../crc32c.js';
import { damaged } from '../errors.js';
import type { DirEntry } from '../file-system.js';
import { type ExtInode, I_BLOCK_BYTES } from './inode.js';

const ENTRY_HEADER_BYTES = 8;
const TAIL_BYTES = 12;
/** EXT4_FT_DIR_CSUM, in an entry without inode at the end of a block. */
const FT_DIR_CSUM = 0xde;

export async function* directoryEntries(
  content: ByteSource,
  blockBytes: number,
  inode: ExtInode,
): AsyncGenerator<DirEntry> {
  for (let offset = 0; offset < content.sizeBytes; offset += blockBytes) {
    const block = await content.read(offset, Math.min(blockBytes, content.sizeBytes - offset));
    checkSum(block, inode);
    yield* entriesOf(block, inode.number);
  }
}

/** An inline directory begins with its parent, has no entries for itself and it, and two lists: `i_block` and the attribute. */
export function* inlineEntries(data: Buffer, inode: ExtInode): Generator<DirEntry> {
  if (data.length < 4) throw damaged(`inode ${inode.number} is no directory`);
  yield { name: '.', id: inode.number };
  yield { name: '..', id: data.readUInt32LE(0) };
  yield* entriesOf(data.subarray(4, I_BLOCK_BYTES), inode.number);
  yield* entriesOf(data.subarray(I_BLOCK_BYTES), inode.number);
}

function* entriesOf(block: Buffer, inode: number): Generator<DirEntry> {
  for (let at = 0; at + ENTRY_HEADER_BYTES <= block.length; ) {
    const length = recordLength(block.readUInt16LE(at + 4), block.length);
    const nameBytes = block[at + 6]!;
    if (length < ENTRY_HEADER_BYTES || length % 4 !== 0 || at + length > block.length)
      throw damaged(`the directory in inode ${inode} is damaged`);
    const id = block.readUInt32LE(at);
    if (id !== 0) {
      if (ENTRY_HEADER_BYTES + nameBytes > length)
        throw damaged(`a name in the directory in inode ${inode} is too long`);
      const start = at + ENTRY_HEADER_BYTES;
      yield { name: block.toString('utf8', start, start + nameBytes), id };
    }
    at += length;
  }
}

/** ext4_rec_len_from_disk: in blocks of 64 KiB the upper bits are where no length has any. */
function recordLength(stored: number, blockBytes: number): number {
  if (blockBytes < 65536) return stored;
  if (stored === 65535 || stored === 0) return blockBytes;
  return (stored & 65532) | ((stored & 3) << 16);
}

/** Blocks of entries have their sum in the tail; nodes of hash trees, which hold no names, elsewhere. */
function checkSum(block: Buffer, inode: ExtInode): void {
  const tail = block.length - TAIL_BYTES;
  if (inode.checksumSeed === undefined || tail < 0) return;
  const hasTail =
    block.readUInt32LE(tail) === 0 &&
    block.readUInt16LE(tail + 4) === TAIL_BYTES &&
    block.readUInt16LE(tail + 6) === FT_DIR_CSUM << 8;
  if (hasTail && crc32c(inode.checksumSeed, block.subarray(0, tail)) !== block.readUInt32LE(tail + 8))
    throw damaged(`the checksum of the directory in inode ${inode.number} is wrong`);
}
