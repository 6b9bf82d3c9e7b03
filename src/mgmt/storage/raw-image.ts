/** A disk that is a file, byte for byte. */
import type { DiskImage, ImageExtent } from './disk-image.js';
import { refused } from './image-errors.js';
import { gather, slice, totalBytes } from './io-vector.js';
import { Requests } from './requests.js';
import type { ByteStore } from './storage-file.js';

const SECTOR_BYTES = 512;
/** Zeros are written from here when the host cannot make them. */
const ZEROS = new Uint8Array(1024 * 1024);

export interface RawOptions {
  /**
   * Nobody said that the image is raw. What begins as `looksOtherwise` must not be written then: the next who opens it would take
   * the guest's word for the format, and for the files that such an image names.
   */
  readonly looksOtherwise?: ((head: Uint8Array) => boolean) | undefined;
}

export class RawImage implements DiskImage {
  readonly path: string;
  readonly readOnly: boolean;
  readonly canDiscard: boolean;
  readonly sectorBytes: number;
  readonly sizeBytes: number;
  readonly backing = undefined;
  readonly #requests: Requests;

  constructor(
    private readonly file: ByteStore,
    private readonly options: RawOptions = {},
  ) {
    this.path = file.path;
    this.readOnly = file.readOnly;
    this.canDiscard = !file.readOnly;
    this.sectorBytes = sectorBytesOf(file, file.sizeBytes);
    // As QEMU does: the last sector of a file may be a part of one.
    this.sizeBytes = Math.ceil(file.sizeBytes / this.sectorBytes) * this.sectorBytes;
    this.#requests = new Requests(this);
  }

  read(offset: number, into: readonly Uint8Array[]): Promise<void> {
    return this.#requests.run(async () => {
      const length = this.#requests.checkBuffers(offset, into);
      const count = await this.file.read(offset, into);
      // The file may end within the last sector, and nowhere before.
      if (count < Math.min(length, this.file.sizeBytes - offset))
        throw refused('EIO', `${this.path} ends before byte ${offset + length}: it has become shorter`);
    });
  }

  /** What is left out of a file is zeros. */
  async extents(offset: number, length: number): Promise<readonly ImageExtent[]> {
    this.#requests.checkRange(offset, length);
    const found: ImageExtent[] = [];
    const end = offset + length;
    const add = (kind: 'data' | 'zero', from: number, to: number) => {
      if (to > from) found.push({ kind, length: to - from, host: from });
    };
    for (let at = offset; at < end; ) {
      const { ranges, until } = await this.file.dataRanges(at, end);
      for (let i = 0; i < ranges.length; i += 2) {
        const start = Math.max(at, roundDown(ranges[i]!));
        const stop = Math.min(end, wholeSectors(ranges[i + 1]!));
        add('zero', at, start);
        add('data', start, stop);
        at = Math.max(at, stop);
      }
      if (until >= end) add('zero', at, end);
      at = Math.max(at, Math.min(end, until));
    }
    return found;
  }

  write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    return this.#requests.run(async () => {
      this.#requests.checkWritable();
      this.#requests.checkBuffers(offset, from);
      await this.file.write(offset, offset === 0 ? this.#checkedHead(from) : from);
    });
  }

  flush(): Promise<void> {
    return this.#requests.run(() => this.file.sync());
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#requests.run(async () => {
      this.#requests.checkWritable();
      this.#requests.checkRange(offset, length);
      if (length > 0) await this.file.punch(offset, length);
      await this.#written();
    });
  }

  writeZeroes(offset: number, length: number, options: { readonly mayUnmap?: boolean } = {}): Promise<void> {
    return this.#requests.run(async () => {
      this.#requests.checkWritable();
      this.#requests.checkRange(offset, length);
      await zeroRange(this.file, offset, length, options.mayUnmap ?? false);
      await this.#written();
    });
  }

  close(): Promise<void> {
    return this.#requests.close(async () => {
      try {
        await this.file.sync();
      } finally {
        await this.file.close();
      }
    });
  }

  /** O_DSYNC is for write(2) alone. */
  async #written(): Promise<void> {
    if (this.file.cache === 'writethrough') await this.file.sync();
  }

  #checkedHead(from: readonly Uint8Array[]): readonly Uint8Array[] {
    const { looksOtherwise } = this.options;
    const length = totalBytes(from);
    if (looksOtherwise === undefined || length === 0) return from;
    const head = gather(slice(from, 0, SECTOR_BYTES));
    if (looksOtherwise(head))
      throw refused(
        'EPERM',
        `${this.path}: what is written would make it another format; say that it is raw`,
      );
    return [head, ...slice(from, SECTOR_BYTES, length - SECTOR_BYTES)];
  }
}

const wholeSectors = (bytes: number) => Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;
const roundDown = (bytes: number) => bytes - (bytes % SECTOR_BYTES);

/** What a guest is told: a sector that is no smaller than the file's blocks, where the size allows it. */
export function sectorBytesOf(file: ByteStore, sizeBytes: number): number {
  return file.blockBytes > SECTOR_BYTES && sizeBytes % file.blockBytes === 0 ? file.blockBytes : SECTOR_BYTES;
}

/** Zeros by whatever way is the shortest. Each takes effect at once, and is on the disk after sync(). */
export async function zeroRange(
  file: ByteStore,
  offset: number,
  length: number,
  mayUnmap: boolean,
): Promise<void> {
  if (length === 0) return;
  if (mayUnmap && (await file.punch(offset, length))) return;
  if (await file.zero(offset, length)) return;
  for (let done = 0; done < length; done += ZEROS.length)
    await file.write(offset + done, [ZEROS.subarray(0, length - done)]);
}
