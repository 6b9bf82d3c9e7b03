/**
 * The journal of ext3 and ext4 (jbd2; Linux, include/linux/jbd2.h and fs/jbd2/recovery.c). Nothing is written: what a replay would
 * write is read from the journal instead. Everything in it is big-endian.
 */
import { MAX_JOURNAL_BLOCKS } from '../../../base/limits.js';
import { type ByteSource, MappedBytes } from '../byte-source.js';
import { crc32c } from '../crc32c.js';
import { damaged, overLimit, unsupported } from '../errors.js';

const JBD2_MAGIC = 0xc03b3998;
const HEADER_BYTES = 12;
const BLOCKTYPE = { descriptor: 1, commit: 2, superblockV1: 3, superblockV2: 4, revoke: 5 } as const;

const INCOMPAT_64BIT = 0x2;
const INCOMPAT_CSUM_V2 = 0x8;
const INCOMPAT_CSUM_V3 = 0x10;
const INCOMPAT_FAST_COMMIT = 0x20;
/** Those, and revoke records and asynchronous commits. */
const INCOMPAT_KNOWN = 0x3f;

const FLAG_ESCAPE = 1;
const FLAG_SAME_UUID = 2;
const FLAG_LAST_TAG = 8;
const UUID_BYTES = 16;
const CHECKSUM_BYTES = 4;
/** h_chksum[0] of struct commit_header. */
const COMMIT_CHECKSUM_OFFSET = 16;
const FC_TAG_HEAD = 9;

interface Journal {
  readonly log: ByteSource;
  readonly blockBytes: number;
  /** The log is a ring of the blocks [first, end). */
  readonly first: number;
  readonly end: number;
  readonly start: number;
  readonly sequence: number;
  readonly incompat: number;
  /** Undefined: blocks have no sums. */
  readonly seed: number | undefined;
}

/** A block of the file system as the journal has it. */
interface Logged {
  /** Block of the log. */
  readonly at: number;
  readonly isEscaped: boolean;
  /** Undefined: without a sum. */
  readonly checksum: number | undefined;
  readonly sequence: number;
}

export interface Replayed {
  readonly disk: ByteSource;
  readonly notes: readonly string[];
}

/**
 * @param disk the file system as it lies on the disk
 * @param log the contents of its journal
 * @returns the file system as it is after a replay
 */
export async function replayJournal(
  disk: ByteSource,
  log: ByteSource,
  blockBytes: number,
): Promise<Replayed> {
  const journal = await readJournal(log, blockBytes);
  if (journal.start === 0) return { disk, notes: [] };
  const logged = new Map<number, Logged>();
  const { transactions, sequence } = await walk(journal, logged);
  const notes = [`its journal was not empty: ${transactions} transactions of it were replayed in memory`];
  if (await hasFastCommits(journal, sequence))
    notes.push('what was journalled as fast commits since then is not seen');
  return { disk: overlay(disk, journal, logged), notes };
}

async function readJournal(log: ByteSource, blockBytes: number): Promise<Journal> {
  const raw = await log.read(0, 1024);
  const type = raw.readUInt32BE(4);
  const isV2 = type === BLOCKTYPE.superblockV2;
  if (raw.readUInt32BE(0) !== JBD2_MAGIC || !(isV2 || type === BLOCKTYPE.superblockV1))
    throw damaged('the journal has no superblock');
  const incompat = isV2 ? raw.readUInt32BE(0x28) : 0;
  if ((incompat & ~INCOMPAT_KNOWN) !== 0)
    throw unsupported(`the journal has features that are not read (0x${incompat.toString(16)})`);
  const length = raw.readUInt32BE(0x10);
  const first = raw.readUInt32BE(0x14);
  const fastCommitBlocks = (incompat & INCOMPAT_FAST_COMMIT) !== 0 ? raw.readUInt32BE(0x54) || 256 : 0;
  const end = length - fastCommitBlocks;
  const start = raw.readUInt32BE(0x1c);
  const isOutside = start !== 0 && (start < first || start >= end);
  if (
    raw.readUInt32BE(0x0c) !== blockBytes ||
    first < 1 ||
    end <= first ||
    length * blockBytes > log.sizeBytes ||
    isOutside
  )
    throw damaged('the superblock of the journal is damaged');
  const hasSums = (incompat & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3)) !== 0;
  const seed = hasSums ? crc32c(~0, raw.subarray(0x30, 0x40)) : undefined;
  return { log, blockBytes, first, end, start, sequence: raw.readUInt32BE(0x18), incompat, seed };
}

/** Goes through all transactions that were committed, oldest first; the last of several versions of a block counts. */
async function walk(
  journal: Journal,
  logged: Map<number, Logged>,
): Promise<{ transactions: number; sequence: number }> {
  const { blockBytes, first, end } = journal;
  const next = (block: number): number => (block + 1 < end ? block + 1 : first);
  let sequence = journal.sequence;
  let transactions = 0;
  let tags: Array<[number, Logged]> = [];
  let revoked: number[] = [];
  let at = journal.start;
  for (let seen = 0; seen < end - first; seen++) {
    const block = await journal.log.read(at * blockBytes, blockBytes);
    if (block.readUInt32BE(0) !== JBD2_MAGIC || block.readUInt32BE(8) !== sequence) break;
    const type = block.readUInt32BE(4);
    if (!isIntact(journal, block, type)) break;
    at = next(at);
    if (type === BLOCKTYPE.descriptor) {
      for (const { target, ...tag } of descriptorTags(journal, block)) {
        tags.push([target, { ...tag, at, sequence }]);
        at = next(at);
        seen++;
      }
    } else if (type === BLOCKTYPE.revoke) {
      revoked.push(...revokedBlocks(journal, block));
    } else if (type === BLOCKTYPE.commit) {
      for (const [target, tag] of tags) logged.set(target, tag);
      for (const target of revoked) logged.delete(target);
      if (logged.size > MAX_JOURNAL_BLOCKS) throw overLimit('the journal has too many blocks');
      tags = [];
      revoked = [];
      sequence = (sequence + 1) >>> 0;
      transactions++;
    } else {
      break;
    }
  }
  return { transactions, sequence };
}

/** Blocks whose sum is wrong belong to a transaction that was never finished. */
function isIntact({ seed }: Journal, block: Buffer, type: number): boolean {
  if (seed === undefined) return true;
  const at = type === BLOCKTYPE.commit ? COMMIT_CHECKSUM_OFFSET : block.length - CHECKSUM_BYTES;
  const zeroed = Buffer.from(block);
  zeroed.writeUInt32BE(0, at);
  return crc32c(seed, zeroed) === block.readUInt32BE(at);
}

type Tag = Pick<Logged, 'isEscaped' | 'checksum'> & { readonly target: number };

function* descriptorTags({ incompat, seed }: Journal, block: Buffer): Generator<Tag> {
  const isV3 = (incompat & INCOMPAT_CSUM_V3) !== 0;
  const is64Bit = (incompat & INCOMPAT_64BIT) !== 0;
  const tagBytes = isV3 ? 16 : 8 + (is64Bit ? 4 : 0) + ((incompat & INCOMPAT_CSUM_V2) !== 0 ? 2 : 0);
  const end = block.length - (seed === undefined ? 0 : CHECKSUM_BYTES);
  for (let at = HEADER_BYTES; at + tagBytes <= end; ) {
    const flags = isV3 ? block.readUInt32BE(at + 4) : block.readUInt16BE(at + 6);
    const high = is64Bit ? block.readUInt32BE(at + 8) : 0;
    const checksum = isV3 ? block.readUInt32BE(at + 12) : block.readUInt16BE(at + 4);
    yield {
      target: block.readUInt32BE(at) + high * 2 ** 32,
      isEscaped: (flags & FLAG_ESCAPE) !== 0,
      checksum: seed === undefined ? undefined : checksum,
    };
    if ((flags & FLAG_LAST_TAG) !== 0) return;
    at += tagBytes + ((flags & FLAG_SAME_UUID) !== 0 ? 0 : UUID_BYTES);
  }
}

/** Blocks that were freed and may be file contents since: versions up to this transaction are not to be replayed. */
function* revokedBlocks({ incompat }: Journal, block: Buffer): Generator<number> {
  const is64Bit = (incompat & INCOMPAT_64BIT) !== 0;
  const size = is64Bit ? 8 : 4;
  const end = Math.min(block.readUInt32BE(HEADER_BYTES), block.length);
  for (let at = HEADER_BYTES + 4; at + size <= end; at += size)
    yield is64Bit ? Number(block.readBigUInt64BE(at)) : block.readUInt32BE(at);
}

/** The first block of the fast commits' area begins with a tag that names the transaction they are to follow. */
async function hasFastCommits(journal: Journal, sequence: number): Promise<boolean> {
  if ((journal.incompat & INCOMPAT_FAST_COMMIT) === 0) return false;
  const head = await journal.log.read(journal.end * journal.blockBytes, 12);
  return head.readUInt16LE(0) === FC_TAG_HEAD && head.readUInt32LE(8) === sequence;
}

function overlay(disk: ByteSource, journal: Journal, logged: ReadonlyMap<number, Logged>): ByteSource {
  const { blockBytes } = journal;
  return new MappedBytes(disk.sizeBytes, (offset, wanted) => {
    const block = Math.floor(offset / blockBytes);
    const within = offset - block * blockBytes;
    const version = logged.get(block);
    if (version !== undefined)
      return { source: loggedBlock(journal, version), offset: within, length: blockBytes - within };
    let end = block + 1;
    while (end * blockBytes < offset + wanted && !logged.has(end)) end++;
    return { source: disk, offset, length: end * blockBytes - offset };
  });
}

/** A block that itself began with the journal's magic number had it taken away, so as not to be taken for one of the journal's. */
function loggedBlock(journal: Journal, version: Logged): ByteSource {
  const { log, blockBytes, seed, incompat } = journal;
  return {
    sizeBytes: blockBytes,
    read: async (offset, length) => {
      const block = Buffer.from(await log.read(version.at * blockBytes, blockBytes));
      if (seed !== undefined) {
        const sequence = Buffer.alloc(4);
        sequence.writeUInt32BE(version.sequence);
        const sum = crc32c(crc32c(seed, sequence), block);
        const expected = (incompat & INCOMPAT_CSUM_V3) !== 0 ? sum : sum & 0xffff;
        if (expected !== version.checksum) throw damaged('a checksum in the journal is wrong');
      }
      if (version.isEscaped) block.writeUInt32BE(JBD2_MAGIC);
      return block.subarray(offset, offset + length);
    },
  };
}
