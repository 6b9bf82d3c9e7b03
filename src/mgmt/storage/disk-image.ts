/** What every image format of ours tells beyond what a guest's back end needs: where its bytes are, and what it lies above. */
import type { BlockImage } from '../../xenner/backend/block/block-image.js';

/** `hole`: what is below has it, or it is zeros. `zero`, `data` and `compressed`: it is so whatever lies below. */
export type ExtentKind = 'data' | 'zero' | 'hole' | 'compressed';

/** A piece of a disk that one image says one thing of. */
export interface ImageExtent {
  readonly kind: ExtentKind;
  /** Of the disk, in bytes. */
  readonly length: number;
  /** `data`: where in the file that has the data. */
  readonly host: number;
}

export interface DiskImage extends BlockImage {
  readonly path: string;
  /** Closed with this one. */
  readonly backing: DiskImage | undefined;
  /** Of a range of the disk, in order, without gaps. */
  extents(offset: number, length: number): Promise<readonly ImageExtent[]>;
}
