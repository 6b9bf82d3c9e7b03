/** The beginning of a file as a store of its own. */
import type { ByteStore } from '../storage-file.js';

export class FilePart implements ByteStore {
  readonly path: string;
  readonly readOnly: boolean;
  readonly cache: ByteStore['cache'];
  readonly blockBytes: number;
  readonly isDevice: boolean;

  constructor(
    private readonly file: ByteStore,
    readonly sizeBytes: number,
  ) {
    ({ path: this.path, readOnly: this.readOnly, cache: this.cache } = file);
    ({ blockBytes: this.blockBytes, isDevice: this.isDevice } = file);
  }

  read(offset: number, into: readonly Uint8Array[]): Promise<number> {
    return this.file.read(offset, into);
  }

  write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    return this.file.write(offset, from);
  }

  sync(): Promise<void> {
    return this.file.sync();
  }

  /** What is behind it stays where it is. */
  async truncate(): Promise<void> {
    throw Object.assign(new Error(`EINVAL: ${this.path} keeps its size`), { code: 'EINVAL' });
  }

  punch(offset: number, length: number): Promise<boolean> {
    return this.file.punch(offset, length);
  }

  zero(offset: number, length: number): Promise<boolean> {
    return this.file.zero(offset, length);
  }

  async dataAt(offset: number): Promise<{ readonly start: number; readonly end: number } | undefined> {
    const found = await this.file.dataAt(offset);
    if (found === undefined || found.start >= this.sizeBytes) return undefined;
    return { start: found.start, end: Math.min(found.end, this.sizeBytes) };
  }

  dataRanges(
    offset: number,
    end: number,
  ): Promise<{ readonly ranges: Float64Array; readonly until: number }> {
    return this.file.dataRanges(offset, end);
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
