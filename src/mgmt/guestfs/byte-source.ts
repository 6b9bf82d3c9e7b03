/** Disks, partitions, volumes and files as stretches of bytes that lie in one another. */
import { MAX_GUEST_DISK_PAGES, MAX_GUEST_DISK_READ_BYTES, MAX_GUEST_DISK_READS } from '../../base/limits.js';
import { damaged, overLimit } from './errors.js';

/** What a disk has for whoever reads it; every BlockImage is one. */
export interface BlockReader {
  readonly sizeBytes: number;
  /** Fills the buffers, in order, from one range of the image. */
  read(offset: number, into: readonly Uint8Array[]): Promise<void>;
}

export interface ByteSource {
  readonly sizeBytes: number;
  /**
   * Exactly `length` bytes. They may be a view of a cache: to be looked at, never written to.
   * @throws XennerError (rejection) when the range is not all inside
   */
  read(offset: number, length: number): Promise<Buffer>;
}

/** Checks what an image says, so whatever is wrong is the image's fault; NaN and fractions too. */
function checkRange(source: ByteSource, offset: number, length: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= source.sizeBytes))
    throw damaged(`the guest's disk refers to ${length} bytes at ${offset}, where there are none`);
  if (length > MAX_GUEST_DISK_READ_BYTES)
    throw overLimit(`a structure of ${length} bytes in the guest's disk is too long`);
}

const PAGE_BYTES = 64 * 1024;

/** The disk itself, with the pages that were used last. */
export class CachedDisk implements ByteSource {
  readonly sizeBytes: number;
  /** In the order of last use. */
  private readonly pages = new Map<number, Promise<Buffer>>();
  private reads = 0;

  constructor(private readonly disk: BlockReader) {
    this.sizeBytes = disk.sizeBytes;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    checkRange(this, offset, length);
    if (++this.reads > MAX_GUEST_DISK_READS) throw overLimit("reading the guest's disk leads nowhere");
    const first = Math.floor(offset / PAGE_BYTES);
    const within = offset - first * PAGE_BYTES;
    if (within + length <= PAGE_BYTES) {
      if (length === 0) return Buffer.alloc(0);
      return (await this.page(first)).subarray(within, within + length);
    }
    const result = Buffer.allocUnsafe(length);
    for (let done = 0, page = first; done < length; page++) {
      const from = page === first ? within : 0;
      done += (await this.page(page)).copy(result, done, from);
    }
    return result;
  }

  private page(number: number): Promise<Buffer> {
    const known = this.pages.get(number);
    this.pages.delete(number);
    const page = known ?? this.load(number);
    this.pages.set(number, page);
    if (this.pages.size > MAX_GUEST_DISK_PAGES) this.pages.delete(this.pages.keys().next().value!);
    return page;
  }

  private async load(number: number): Promise<Buffer> {
    const offset = number * PAGE_BYTES;
    const page = Buffer.allocUnsafe(Math.min(PAGE_BYTES, this.sizeBytes - offset));
    try {
      await this.disk.read(offset, [page]);
    } catch (error) {
      this.pages.delete(number);
      throw error;
    }
    return page;
  }
}

/** Bytes that are at hand. */
export class BufferBytes implements ByteSource {
  readonly sizeBytes: number;

  constructor(private readonly bytes: Buffer) {
    this.sizeBytes = bytes.length;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    checkRange(this, offset, length);
    return this.bytes.subarray(offset, offset + length);
  }
}

/** Where some bytes lie. Without a source they are zeros. */
export interface Piece {
  readonly source?: ByteSource;
  readonly offset: number;
  /** At least 1; more than was asked for does no harm. */
  readonly length: number;
}

/** Bytes that lie elsewhere, in pieces: a partition, a logical volume, a file, a disk under a journal. */
export class MappedBytes implements ByteSource {
  /** @param locate the piece that begins at an offset, for `wanted` bytes from there */
  constructor(
    readonly sizeBytes: number,
    private readonly locate: (offset: number, wanted: number) => Piece | Promise<Piece>,
  ) {}

  async read(offset: number, length: number): Promise<Buffer> {
    checkRange(this, offset, length);
    if (length === 0) return Buffer.alloc(0);
    const first = await this.piece(offset, length);
    if (first.length >= length)
      return first.source ? first.source.read(first.offset, length) : Buffer.alloc(length);
    const result = Buffer.alloc(length);
    for (let done = 0, piece = first; ; piece = await this.piece(offset + done, length - done)) {
      const count = Math.min(piece.length, length - done);
      if (piece.source) (await piece.source.read(piece.offset, count)).copy(result, done);
      done += count;
      if (done === length) return result;
    }
  }

  private async piece(offset: number, wanted: number): Promise<Piece> {
    const piece = await this.locate(offset, wanted);
    if (!(piece.length >= 1)) throw damaged(`the guest's disk maps nothing at ${offset}`);
    return piece;
  }
}

/** A stretch of another source. */
export function slice(source: ByteSource, start: number, sizeBytes: number): ByteSource {
  return new MappedBytes(sizeBytes, (offset, wanted) => ({ source, offset: start + offset, length: wanted }));
}

/** `count` blocks from a file's block on; `physical` is where on the disk they are, undefined: zeros. */
export interface BlockRun {
  readonly physical: number | undefined;
  readonly count: number;
}

/** A file of a file system, by a map from its blocks to the disk's. */
export function fileOfBlocks(
  disk: ByteSource,
  blockBytes: number,
  sizeBytes: number,
  runAt: (block: number, wanted: number) => Promise<BlockRun>,
): ByteSource {
  return new MappedBytes(sizeBytes, async (offset, wanted) => {
    const block = Math.floor(offset / blockBytes);
    const within = offset - block * blockBytes;
    const run = await runAt(block, Math.ceil((within + wanted) / blockBytes));
    const length = run.count * blockBytes - within;
    if (run.physical === undefined) return { offset: 0, length };
    return { source: disk, offset: run.physical * blockBytes + within, length };
  });
}
