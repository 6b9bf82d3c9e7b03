/** Whether the log of an XFS is empty: it is not replayed (Linux, fs/xfs/xfs_log_recover.c, xlog_find_tail). */
import type { ByteSource } from '../byte-source.js';

const BASIC_BLOCK_BYTES = 512;
const HEADER_MAGIC = 0xfeedbabe;
/** Header blocks of the longest record, and the longest record: XLOG_MAX_RECORD_BSIZE. */
const MAX_RECORD_BLOCKS = (256 * 1024) / BASIC_BLOCK_BYTES + 8;
const XLOG_UNMOUNT_TRANS = 0x20;

/** True when the last thing in the log says that the file system was unmounted. */
export async function isLogClean(log: ByteSource): Promise<boolean> {
  const blocks = Math.floor(log.sizeBytes / BASIC_BLOCK_BYTES);
  if (blocks < 2) return true;
  const read = (block: number) =>
    log.read(((block + blocks) % blocks) * BASIC_BLOCK_BYTES, BASIC_BLOCK_BYTES);
  const head = await findHead(blocks, read);
  for (let back = 1; back <= Math.min(MAX_RECORD_BLOCKS, blocks); back++) {
    const header = await read(head - back);
    if (header.readUInt32BE(0) !== HEADER_MAGIC) continue;
    const operation = await read(head - back + 1);
    return header.readUInt32BE(40) === 1 && (operation[9]! & XLOG_UNMOUNT_TRANS) !== 0;
  }
  return false;
}

/** Each block begins with the number of the log's round in which it was written; the head is where that number falls. */
async function findHead(blocks: number, read: (block: number) => Promise<Buffer>): Promise<number> {
  const roundOf = async (block: number): Promise<number> => {
    const raw = await read(block);
    return raw.readUInt32BE(0) === HEADER_MAGIC ? raw.readUInt32BE(4) : raw.readUInt32BE(0);
  };
  const first = await roundOf(0);
  if ((await roundOf(blocks - 1)) === first) return blocks;
  let low = 0;
  let high = blocks - 1;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((await roundOf(middle)) === first) low = middle;
    else high = middle;
  }
  return high;
}
