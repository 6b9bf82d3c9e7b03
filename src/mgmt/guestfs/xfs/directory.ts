/** Directories of XFS: in the inode, in one block, or in many with indices behind them, which are not needed (xfs_da_format.h). */
import { MAX_GUEST_DIRECTORY_BYTES } from '../../../base/limits.js';
import type { ByteSource } from '../byte-source.js';
import { damaged, overLimit } from '../errors.js';
import type { DirEntry } from '../file-system.js';
import type { XfsInode } from './inode.js';
import { checkSum, type XfsSuperblock } from './superblock.js';

/** One block with its own index at the end, and one of several; of version 4 and 5. */
const BLOCK_MAGIC = { XD2B: 0x58443242, XDB3: 0x58444233 } as const;
const DATA_MAGIC = { XD2D: 0x58443244, XDD3: 0x58444433 } as const;
const HEADER_BYTES = 16;
const HEADER_BYTES_V5 = 64;
const CRC_OFFSET = 4;
const TAIL_BYTES = 8;
const LEAF_ENTRY_BYTES = 8;
const FREE_TAG = 0xffff;

/** In the inode: the parent, and entries without `.` and `..`. Inode numbers have 4 bytes if all of them fit. */
export function* shortEntries(fork: Buffer, inode: XfsInode, superblock: XfsSuperblock): Generator<DirEntry> {
  const wrong = () => damaged(`the directory in inode ${inode.number} is damaged`);
  if (fork.length < 6) throw wrong();
  const numberBytes = fork[1]! > 0 ? 8 : 4;
  const idAt = (at: number) => (numberBytes === 8 ? Number(fork.readBigUInt64BE(at)) : fork.readUInt32BE(at));
  let at = 2 + numberBytes;
  if (at > fork.length) throw wrong();
  yield { name: '.', id: inode.number };
  yield { name: '..', id: idAt(2) };
  for (let left = fork[0]!; left > 0; left--) {
    const name = at + 3;
    const end = name + (fork[at] ?? 0);
    const id = end + (superblock.hasFileTypes ? 1 : 0);
    if (id + numberBytes > fork.length) throw wrong();
    yield { name: fork.toString('utf8', name, end), id: idAt(id) };
    at = id + numberBytes;
  }
}

export async function* blockEntries(
  content: ByteSource,
  inode: XfsInode,
  superblock: XfsSuperblock,
): AsyncGenerator<DirEntry> {
  const { directoryBlockBytes: size } = superblock;
  if (content.sizeBytes > MAX_GUEST_DIRECTORY_BYTES)
    throw overLimit(`the directory in inode ${inode.number} is too long`);
  for (let offset = 0; offset + size <= content.sizeBytes; offset += size)
    yield* entriesOf(await content.read(offset, size), inode.number, superblock);
}

function* entriesOf(block: Buffer, inode: number, superblock: XfsSuperblock): Generator<DirEntry> {
  const { isV5, hasFileTypes } = superblock;
  const wrong = () => damaged(`the directory in inode ${inode} is damaged`);
  const magic = block.readUInt32BE(0);
  // A hole, where all entries of a block were removed.
  if (magic === 0) return;
  const isOnly = magic === (isV5 ? BLOCK_MAGIC.XDB3 : BLOCK_MAGIC.XD2B);
  if (!isOnly && magic !== (isV5 ? DATA_MAGIC.XDD3 : DATA_MAGIC.XD2D)) throw wrong();
  if (isV5) checkSum(block, CRC_OFFSET, `the directory in inode ${inode}`);
  const indexBytes = isOnly
    ? TAIL_BYTES + block.readUInt32BE(block.length - TAIL_BYTES) * LEAF_ENTRY_BYTES
    : 0;
  const end = block.length - indexBytes;
  for (let at = isV5 ? HEADER_BYTES_V5 : HEADER_BYTES; at + 12 <= end; ) {
    if (block.readUInt16BE(at) === FREE_TAG) {
      const length = block.readUInt16BE(at + 2);
      if (length === 0 || length % 8 !== 0) throw wrong();
      at += length;
      continue;
    }
    const name = at + 9;
    const nameEnd = name + block[at + 8]!;
    // Behind the name its type, if there are such, and where the entry begins; all in multiples of 8.
    const next = at + Math.ceil((nameEnd + (hasFileTypes ? 1 : 0) + 2 - at) / 8) * 8;
    if (next > end) throw wrong();
    yield { name: block.toString('utf8', name, nameEnd), id: Number(block.readBigUInt64BE(at)) };
    at = next;
  }
}
