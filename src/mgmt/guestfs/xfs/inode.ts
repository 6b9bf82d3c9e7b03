/** Inodes of XFS (xfs_format.h, struct xfs_dinode). */
import type { ByteSource } from '../byte-source.js';
import { damaged, unsupported } from '../errors.js';
import { blockOnDisk, checkSum, type XfsSuperblock } from './superblock.js';

const INODE_MAGIC = 0x494e;
const CORE_BYTES_V2 = 100;
const CORE_BYTES_V3 = 176;
const FLAG_REALTIME = 1;
const FLAG2_NREXT64 = 1n << 4n;

/** What the data fork holds: the data, a list of extents, or the root of a tree of them. */
export const FORMAT = { dev: 0, local: 1, extents: 2, btree: 3 } as const;

export interface XfsInode {
  readonly number: number;
  readonly mode: number;
  readonly sizeBytes: number;
  readonly format: number;
  readonly extents: number;
  readonly fork: Buffer;
}

export async function readInode(
  disk: ByteSource,
  superblock: XfsSuperblock,
  number: number,
): Promise<XfsInode> {
  const perBlock = 2 ** superblock.inodeBits;
  if (!Number.isSafeInteger(number) || number < 0) throw damaged(`there is no inode ${number}`);
  const block = blockOnDisk(superblock, Math.floor(number / perBlock), 1);
  const { inodeBytes, blockBytes, isV5 } = superblock;
  const raw = await disk.read(block * blockBytes + (number % perBlock) * inodeBytes, inodeBytes);
  if (raw.readUInt16BE(0) !== INODE_MAGIC) throw damaged(`there is no inode ${number}`);
  if (isV5) {
    checkSum(raw, 100, `inode ${number}`);
    if (Number(raw.readBigUInt64BE(152)) !== number) throw damaged(`inode ${number} is another one`);
  }
  if ((raw.readUInt16BE(90) & FLAG_REALTIME) !== 0)
    throw unsupported(`inode ${number} has its data on a realtime device`);
  const core = raw[4]! >= 3 ? CORE_BYTES_V3 : CORE_BYTES_V2;
  const hasWideCounters = core === CORE_BYTES_V3 && (raw.readBigUInt64BE(120) & FLAG2_NREXT64) !== 0n;
  const forkOffset = raw[82]! * 8;
  const end = forkOffset === 0 ? inodeBytes : core + forkOffset;
  if (end > inodeBytes) throw damaged(`inode ${number} has impossible forks`);
  return {
    number,
    mode: raw.readUInt16BE(2),
    sizeBytes: Number(raw.readBigUInt64BE(56)),
    format: raw[5]!,
    extents: hasWideCounters ? Number(raw.readBigUInt64BE(24)) : raw.readUInt32BE(76),
    fork: raw.subarray(core, end),
  };
}
