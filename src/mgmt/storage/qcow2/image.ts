/** An open qcow2 image. */
import type { BlockImage } from '../../../xenner/backend/block/block-image.js';
import { refused } from '../image-errors.js';
import { sectorBytesOf } from '../raw-image.js';
import { Requests } from '../requests.js';
import type { ByteStore } from '../storage-file.js';
import type { Header } from './header.js';
import { Reader, type Sources } from './reader.js';
import type { Snapshot } from './snapshots.js';

export class Qcow2Image implements BlockImage {
  readonly path: string;
  readonly readOnly: boolean;
  readonly canDiscard: boolean;
  readonly sectorBytes: number;
  readonly #reader: Reader;
  readonly #requests: Requests;

  /** @param sizeBytes of the disk, or of the snapshot that is shown */
  constructor(
    private readonly file: ByteStore,
    readonly header: Header,
    readonly snapshots: readonly Snapshot[],
    readonly sizeBytes: number,
    private readonly sources: Sources,
  ) {
    this.path = file.path;
    this.readOnly = true;
    this.canDiscard = false;
    this.sectorBytes = sectorBytesOf(file, sizeBytes);
    this.#reader = new Reader(sources);
    this.#requests = new Requests(this);
  }

  read(offset: number, into: readonly Uint8Array[]): Promise<void> {
    return this.#requests.run(async () => {
      this.#requests.checkBuffers(offset, into);
      await this.#reader.read(offset, into);
    });
  }

  write(): Promise<void> {
    return Promise.reject(refused('EROFS', `${this.path} is open for reading only`));
  }

  flush(): Promise<void> {
    return this.#requests.run(async () => undefined);
  }

  discard(): Promise<void> {
    return this.write();
  }

  writeZeroes(): Promise<void> {
    return this.write();
  }

  close(): Promise<void> {
    return this.#requests.close(async () => {
      const { backing, data } = this.sources;
      await backing?.close();
      if (data !== this.file) await data.close();
      await this.file.close();
    });
  }
}
