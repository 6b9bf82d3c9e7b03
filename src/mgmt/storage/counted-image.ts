/** An image that counts what is asked of it, and gives nothing back if its user does not want that. */
import type { BlockImage } from '../../xenner/backend/block/block-image.js';

export interface ImageCounters {
  reads: number;
  readBytes: number;
  writes: number;
  writtenBytes: number;
}

const lengthOf = (vectors: readonly Uint8Array[]) => vectors.reduce((sum, { length }) => sum + length, 0);

export class CountedImage implements BlockImage {
  readonly counters: ImageCounters = { reads: 0, readBytes: 0, writes: 0, writtenBytes: 0 };
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  readonly readOnly: boolean;
  readonly canDiscard: boolean;

  /** The image is closed with this one. */
  constructor(
    private readonly image: BlockImage,
    { mayDiscard }: { readonly mayDiscard: boolean },
  ) {
    this.sizeBytes = image.sizeBytes;
    this.sectorBytes = image.sectorBytes;
    this.readOnly = image.readOnly;
    this.canDiscard = image.canDiscard && mayDiscard;
  }

  read(offset: number, into: readonly Uint8Array[]): Promise<void> {
    this.counters.reads++;
    this.counters.readBytes += lengthOf(into);
    return this.image.read(offset, into);
  }

  write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    this.counters.writes++;
    this.counters.writtenBytes += lengthOf(from);
    return this.image.write(offset, from);
  }

  flush(): Promise<void> {
    return this.image.flush();
  }

  discard(offset: number, length: number): Promise<void> {
    return this.image.discard(offset, length);
  }

  writeZeroes(offset: number, length: number, options?: { readonly mayUnmap?: boolean }): Promise<void> {
    return this.image.writeZeroes(offset, length, options);
  }

  close(): Promise<void> {
    return this.image.close();
  }
}
