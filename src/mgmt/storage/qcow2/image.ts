/** An open qcow2 image. */
import type { DiskImage, ImageExtent } from '../disk-image.js';
import { refused } from '../image-errors.js';
import { sectorBytesOf } from '../raw-image.js';
import { Requests } from '../requests.js';
import type { ByteStore } from '../storage-file.js';
import { type BackingName, writeBacking } from './backing-name.js';
import type { Header } from './header.js';
import type { Packed } from './packer.js';
import { closeSources, Reader, type Sources } from './reader.js';
import type { Snapshot } from './snapshots.js';
import type { OpenedWriting, Writing } from './writing.js';

export class Qcow2Image implements DiskImage {
  readonly path: string;
  readonly readOnly: boolean;
  readonly canDiscard: boolean;
  readonly sectorBytes: number;
  readonly #reader: Reader;
  readonly #requests: Requests;
  readonly #writing: Writing | undefined;

  /**
   * @param sizeBytes of the disk, or of the snapshot that is shown
   * @param openedWriting absent: only for reading
   */
  constructor(
    private readonly file: ByteStore,
    readonly header: Header,
    readonly snapshots: readonly Snapshot[],
    readonly sizeBytes: number,
    private readonly sources: Sources,
    openedWriting: OpenedWriting | undefined,
  ) {
    this.path = file.path;
    this.readOnly = openedWriting === undefined;
    this.canDiscard = !this.readOnly;
    this.sectorBytes = sectorBytesOf(file, sizeBytes);
    this.#reader = new Reader(sources);
    this.#requests = new Requests(this);
    this.#writing = openedWriting?.(() => this.#requests.drained());
  }

  read(offset: number, into: readonly Uint8Array[]): Promise<void> {
    return this.#requests.run(() => {
      this.#requests.checkBuffers(offset, into);
      return this.#reader.read(offset, into);
    });
  }

  get backing(): DiskImage | undefined {
    return this.sources.backing;
  }

  async extents(offset: number, length: number): Promise<readonly ImageExtent[]> {
    this.#requests.checkRange(offset, length);
    return this.sources.map.extents(offset, length);
  }

  write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    return this.#change(({ writer }) => {
      this.#requests.checkBuffers(offset, from);
      return writer.write(offset, from);
    });
  }

  flush(): Promise<void> {
    return this.#requests.run(async () => this.#writing?.commit.run());
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#change(({ zeroes }) => {
      this.#requests.checkRange(offset, length);
      return zeroes.discard(offset, length);
    });
  }

  writeZeroes(offset: number, length: number, options: { readonly mayUnmap?: boolean } = {}): Promise<void> {
    return this.#change(({ zeroes }) => {
      this.#requests.checkRange(offset, length);
      return zeroes.zero(offset, length, options.mayUnmap ?? false);
    });
  }

  /** Of whole clusters that are not to be written meanwhile. @throws as write(), and XennerError EIMAGE_UNSUPPORTED */
  writePacked(clusters: readonly Packed[]): Promise<void> {
    return this.#change(({ packer }) => packer.write(clusters));
  }

  /** The image has nothing of its own any more: all is what is below. */
  empty(): Promise<void> {
    return this.#change(({ zeroes }) => zeroes.uncover(0, this.sizeBytes));
  }

  /** What was written is on the disk, and then the name of what is below; of that, this open image hears nothing. */
  changeBacking(backing: BackingName | undefined): Promise<void> {
    return this.#change(async ({ commit }) => {
      await commit.run();
      await commit.exclusivelyOrNever(() => writeBacking(this.file, this.header, backing));
    });
  }

  close(): Promise<void> {
    return this.#requests.close(async () => {
      try {
        await this.#settle();
      } finally {
        await closeSources(this.file, this.sources);
        await this.file.close();
      }
    });
  }

  #change(change: (writing: Writing) => Promise<unknown>): Promise<void> {
    return this.#requests.run(() => {
      const writing = this.#writing;
      if (writing === undefined) throw refused('EROFS', `${this.path} is open for reading only`);
      return writing.hasBegun && this.file.cache !== 'writethrough'
        ? change(writing)
        : this.#changeInOrder(writing, change);
    });
  }

  async #changeInOrder(writing: Writing, change: (writing: Writing) => Promise<unknown>): Promise<void> {
    await writing.begin();
    await change(writing);
    if (this.file.cache === 'writethrough') await writing.commit.run();
  }

  /** What is given up by one commit is free with the next. */
  async #settle(): Promise<void> {
    if (!this.#writing) return;
    const { commit, packer } = this.#writing;
    await packer.finish();
    do {
      await commit.run();
      await commit.freed();
    } while (commit.hasChanges);
  }
}
