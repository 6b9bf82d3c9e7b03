/** One volume of a pool: libvirt's virStorageVol* calls. What uses an image by QEMU's locks is never disturbed. */
import { MAX_BACKING_CHAIN } from '../../../base/limits.js';
import { growQcow2 } from '../qcow2/grow.js';
import { zeroRange } from '../raw-image.js';
import type { StorageFile } from '../storage-file.js';
import { openUnused } from './create-file.js';
import type { VolumeDefinition } from './definition.js';
import { PoolError, quoted, systemError } from './errors.js';
import { backingOf } from './file-volume.js';
import type { StoragePool } from './storage-pool.js';
import { readPieces, type StreamPiece, type StreamRange, writePieces } from './volume-stream.js';
import { writeVolume } from './volume-xml.js';
import { type WipeAlgorithm, wipe } from './wipe.js';

export interface ResizeOptions {
  /** What is new gets its space at once (VIR_STORAGE_VOL_RESIZE_ALLOCATE). */
  readonly allocate?: boolean | undefined;
  /** Bytes may be cut off at the end (VIR_STORAGE_VOL_RESIZE_SHRINK). */
  readonly shrink?: boolean | undefined;
}

/** @throws XennerError (rejection) from all methods: PoolErrors, VIR_ERR_OPERATION_INVALID where it is in use */
export class StorageVolume {
  /** @param definition as it was when it was looked up */
  constructor(
    readonly pool: StoragePool,
    readonly definition: VolumeDefinition,
  ) {}

  get name(): string {
    return this.definition.name;
  }

  get key(): string {
    return this.definition.key;
  }

  get path(): string {
    return this.definition.target.path;
  }

  get xml(): string {
    return writeVolume(this.definition);
  }

  /** The images that it lies above, the nearest first, as far as they can be read. */
  get backingChain(): readonly { readonly path: string; readonly format: string }[] {
    const chain: { path: string; format: string }[] = [];
    let next = this.definition.backing;
    while (next !== undefined && chain.length < MAX_BACKING_CHAIN) {
      chain.push({ path: next.path, format: next.format });
      next = next.permissions === undefined || next.format === 'raw' ? undefined : backingOf(next.path);
    }
    return chain;
  }

  async delete(): Promise<void> {
    await this.pool.deleteVolume(this);
  }

  /** What is on it is lost; of an image that is its format, too. */
  async wipe(algorithm: WipeAlgorithm = 'zero'): Promise<void> {
    await this.#change('wipe', (file) => wipe(file, this.definition, algorithm));
  }

  /** @param sizeBytes what a guest is to see */
  async resize(sizeBytes: number, { allocate = false, shrink = false }: ResizeOptions = {}): Promise<void> {
    const { capacity, allocation, target } = this.definition;
    const refuse = (what: string) => new PoolError('VIR_ERR_INVALID_ARG', what);
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw refuse(`${sizeBytes} bytes are no size`);
    if (sizeBytes < allocation) throw refuse("can't shrink capacity below existing allocation");
    if (sizeBytes < capacity && !shrink)
      throw refuse("can't shrink capacity below current capacity unless that is asked for");
    const { available } = await this.pool.info();
    if (sizeBytes > capacity + available)
      throw new PoolError('VIR_ERR_OPERATION_FAILED', 'not enough space left in storage pool');
    if (target.format === 'qcow2' && !allocate && sizeBytes >= capacity)
      return this.#reporting('resize', () => growQcow2(target.path, sizeBytes));
    if (target.format !== 'raw' || this.definition.type !== 'file')
      throw new PoolError(
        'VIR_ERR_NO_SUPPORT',
        `a volume of the format '${target.format}' cannot be resized so`,
        'raw files can grow and shrink, qcow2 images grow',
      );
    await this.#change('resize', async (file) => {
      await file.truncate(sizeBytes);
      if (allocate) await fillHoles(file);
      await file.sync();
    });
  }

  /** Its bytes as they are in the file: of an image, the image (virStorageVolDownload). */
  async *download(range: StreamRange = {}): AsyncGenerator<StreamPiece> {
    const file = await this.#open('download', true);
    try {
      yield* readPieces(file, range);
    } finally {
      await file.close();
    }
  }

  /** What is behind what is written, stays (virStorageVolUpload). */
  async upload(pieces: AsyncIterable<StreamPiece>, range: StreamRange = {}): Promise<void> {
    await this.#change('upload to', (file) => writePieces(file, pieces, range));
  }

  async #change(what: string, act: (file: StorageFile) => Promise<void>): Promise<void> {
    await this.#reporting(what, async () => {
      const file = await this.#open(what, false);
      try {
        await act(file);
      } finally {
        await file.close();
      }
    });
  }

  async #open(what: string, readOnly: boolean) {
    const { type, target } = this.definition;
    if (type === 'dir')
      throw new PoolError('VIR_ERR_NO_SUPPORT', `volume ${quoted(this.name)} is a folder: cannot ${what} it`);
    return openUnused(target.path, { readOnly });
  }

  async #reporting(what: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      throw systemError(`cannot ${what} volume ${quoted(this.name)}`, error);
    }
  }
}

/** All of it has its space. */
async function fillHoles(file: StorageFile): Promise<void> {
  const { sizeBytes } = file;
  for (let at = 0; at < sizeBytes; ) {
    const data = (await file.dataAt(at)) ?? { start: sizeBytes, end: sizeBytes };
    await zeroRange(file, at, Math.min(data.start, sizeBytes) - at, false);
    at = data.end;
  }
}
