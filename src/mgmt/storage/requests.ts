/** The requests of one open image: which are under way, and whether there may be more. */
import { refused } from './image-errors.js';
import { totalBytes } from './io-vector.js';

/** What an image above another may ask for, even where a guest is told of larger sectors. */
const SECTOR_BYTES = 512;

/** Requests that began between two calls of drained(). */
interface Generation {
  running: number;
  ended?: () => void;
}

export class Requests {
  #generation: Generation = { running: 0 };
  /** Of all generations before. */
  #drained: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(
    private readonly image: {
      readonly path: string;
      readonly readOnly: boolean;
      readonly sizeBytes: number;
    },
  ) {}

  /** @throws (rejection) EBADF when the image is closed */
  async run(request: () => Promise<unknown>): Promise<void> {
    if (this.#closing) throw refused('EBADF', `${this.image.path} is closed`);
    const generation = this.#generation;
    generation.running++;
    try {
      await request();
    } finally {
      if (--generation.running === 0) generation.ended?.();
    }
  }

  /** @throws EINVAL */
  checkRange(offset: number, length: number): void {
    const { path, sizeBytes } = this.image;
    const whole = offset % SECTOR_BYTES === 0 && length % SECTOR_BYTES === 0;
    if (whole && offset >= 0 && length >= 0 && offset + length <= sizeBytes) return;
    throw refused('EINVAL', `${length} bytes at ${offset} are no sectors of ${path}`);
  }

  /** @throws EINVAL */
  checkBuffers(offset: number, buffers: readonly Uint8Array[]): number {
    const length = totalBytes(buffers);
    this.checkRange(offset, length);
    return length;
  }

  /** @throws EROFS */
  checkWritable(): void {
    if (this.image.readOnly) throw refused('EROFS', `${this.image.path} is open for reading only`);
  }

  /** Resolves when everything that is under way now has ended. */
  drained(): Promise<void> {
    const last = this.#generation;
    if (last.running > 0) {
      const before = this.#drained;
      const ended = new Promise<void>((resolve) => {
        last.ended = resolve;
      });
      this.#drained = ended.then(() => before);
      this.#generation = { running: 0 };
    }
    return this.#drained;
  }

  /** No further requests; `finish` once, after the last one. */
  close(finish: () => Promise<void>): Promise<void> {
    this.#closing ??= this.drained().then(finish);
    return this.#closing;
  }
}
