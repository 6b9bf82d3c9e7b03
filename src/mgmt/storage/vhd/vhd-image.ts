/** An open dynamic or differencing VHD. */
import type { DiskImage, ImageExtent } from '../disk-image.js';
import { refused } from '../image-errors.js';
import { fillZero, slice } from '../io-vector.js';
import { Requests } from '../requests.js';
import type { ByteStore } from '../storage-file.js';
import type { Block, BlockTable } from './block-table.js';
import { type Footer, SECTOR_BYTES } from './format.js';

const ZEROS = new Uint8Array(1024 * 1024);

/** A part of a request that lies in one block. */
interface Part {
  readonly index: number;
  /** In the block. */
  readonly from: number;
  readonly length: number;
  /** In the request. */
  readonly at: number;
}

export class VhdImage implements DiskImage {
  readonly path: string;
  readonly readOnly: boolean;
  /** The format cannot give a block back. */
  readonly canDiscard = false;
  readonly sectorBytes = SECTOR_BYTES;
  readonly sizeBytes: number;
  readonly #requests: Requests;

  /** @param parent what is below a differencing image */
  constructor(
    private readonly file: ByteStore,
    readonly footer: Footer,
    private readonly table: BlockTable,
    private readonly parent: DiskImage | undefined,
  ) {
    this.path = file.path;
    this.readOnly = file.readOnly;
    this.sizeBytes = footer.sizeBytes;
    this.#requests = new Requests(this);
  }

  read(offset: number, into: readonly Uint8Array[]): Promise<void> {
    return this.#requests.run(async () => {
      const length = this.#requests.checkBuffers(offset, into);
      for (const part of this.#parts(offset, length))
        await this.#readPart(part, slice(into, part.at, part.length));
    });
  }

  get backing(): DiskImage | undefined {
    return this.parent;
  }

  async extents(offset: number, length: number): Promise<readonly ImageExtent[]> {
    this.#requests.checkRange(offset, length);
    const found: ImageExtent[] = [];
    for (const { index, from, length: all } of this.#parts(offset, length)) {
      const block = await this.table.find(index);
      if (block === undefined) found.push({ kind: 'hole', length: all, host: 0 });
      for (let done = 0; block !== undefined && done < all; ) {
        const [isHere, run] = runOf(block, (from + done) / SECTOR_BYTES, (all - done) / SECTOR_BYTES);
        const host = isHere ? block.dataOffset + from + done : 0;
        found.push({ kind: isHere ? 'data' : 'hole', length: run * SECTOR_BYTES, host });
        done += run * SECTOR_BYTES;
      }
    }
    return found;
  }

  write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    return this.#requests.run(async () => {
      this.#requests.checkWritable();
      const length = this.#requests.checkBuffers(offset, from);
      for (const part of this.#parts(offset, length))
        await this.#writePart(part, slice(from, part.at, part.length));
      await this.#written();
    });
  }

  flush(): Promise<void> {
    return this.#requests.run(() => this.table.commit());
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#requests.run(async () => {
      this.#requests.checkWritable();
      this.#requests.checkRange(offset, length);
    });
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#requests.run(async () => {
      this.#requests.checkWritable();
      this.#requests.checkRange(offset, length);
      for (const part of this.#parts(offset, length)) {
        // Without a parent, what is not there is zeros already.
        if (this.parent === undefined && (await this.table.find(part.index)) === undefined) continue;
        for (let done = 0; done < part.length; done += ZEROS.length) {
          const zeros = ZEROS.subarray(0, part.length - done);
          await this.#writePart({ ...part, from: part.from + done, length: zeros.length }, [zeros]);
        }
      }
      await this.#written();
    });
  }

  close(): Promise<void> {
    return this.#requests.close(async () => {
      try {
        if (!this.readOnly) await this.table.commit();
      } finally {
        await this.parent?.close();
        await this.file.close();
      }
    });
  }

  async #written(): Promise<void> {
    if (this.file.cache === 'writethrough') await this.table.commit();
  }

  *#parts(offset: number, length: number): Iterable<Part> {
    const { blockBytes } = this.table;
    for (let at = 0; at < length; ) {
      const index = Math.floor((offset + at) / blockBytes);
      const from = (offset + at) % blockBytes;
      const piece = Math.min(length - at, blockBytes - from);
      yield { index, from, length: piece, at };
      at += piece;
    }
  }

  async #readPart({ index, from, length }: Part, into: readonly Uint8Array[]): Promise<void> {
    const block = await this.table.find(index);
    const disk = index * this.table.blockBytes + from;
    if (block === undefined) {
      await this.#readBelow(disk, into, length);
      return;
    }
    for (let done = 0; done < length; ) {
      const [isHere, run] = runOf(block, (from + done) / SECTOR_BYTES, (length - done) / SECTOR_BYTES);
      const piece = slice(into, done, run * SECTOR_BYTES);
      if (isHere) await this.file.read(block.dataOffset + from + done, piece);
      else await this.#readBelow(disk + done, piece, run * SECTOR_BYTES);
      done += run * SECTOR_BYTES;
    }
  }

  /** A parent may be smaller. */
  async #readBelow(offset: number, into: readonly Uint8Array[], length: number): Promise<void> {
    const here = Math.max(0, Math.min(length, (this.parent?.sizeBytes ?? 0) - offset));
    if (here > 0) await this.parent!.read(offset, slice(into, 0, here));
    fillZero(slice(into, here, length - here));
  }

  async #writePart({ index, from, length }: Part, data: readonly Uint8Array[]): Promise<void> {
    const block = (await this.table.find(index)) ?? this.#newBlock(index);
    await this.file.write(block.dataOffset + from, data);
    await this.table.mark(index, from / SECTOR_BYTES, length / SECTOR_BYTES);
  }

  #newBlock(index: number): Block {
    if (this.file.isDevice) throw refused('EIO', `${this.path}: a VHD in a block device is not made larger`);
    return this.table.added(index) ?? this.table.add(index);
  }
}

/** How many sectors from `first` on are alike: the image's or not. */
function runOf({ bitmap }: Block, first: number, most: number): readonly [isHere: boolean, sectors: number] {
  const has = (sector: number) => (bitmap[sector >> 3]! & (0x80 >> (sector & 7))) !== 0;
  const isHere = has(first);
  let count = 1;
  while (count < most && has(first + count) === isHere) count++;
  return [isHere, count];
}
