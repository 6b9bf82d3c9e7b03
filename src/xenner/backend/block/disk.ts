/** What the queues of a block device share: its image, what it may do, and what has been done. */
import {
  BLKIF_OP_DISCARD,
  BLKIF_OP_FLUSH_DISKCACHE,
  BLKIF_OP_READ,
  type BLKIF_OP_WRITE,
} from '../../abi/blkif.js';
import type { BlockImage } from './block-image.js';
import { SECTOR_BYTES } from './vectors.js';

/** Since the device was made; a request counts when it is answered. */
export interface BlockStatistics {
  readRequests: number;
  readBytes: number;
  writeRequests: number;
  writtenBytes: number;
  /** Barriers are among them. */
  flushRequests: number;
  discardRequests: number;
  discardedBytes: number;
  /** Requests of any kind that were refused or failed. */
  errors: number;
}

/** What a request comes down to: a barrier is a flush, an indirect request what it names. */
export type Kind =
  | typeof BLKIF_OP_READ
  | typeof BLKIF_OP_WRITE
  | typeof BLKIF_OP_FLUSH_DISKCACHE
  | typeof BLKIF_OP_DISCARD;

export class Disk {
  readonly statistics: BlockStatistics = {
    readRequests: 0,
    readBytes: 0,
    writeRequests: 0,
    writtenBytes: 0,
    flushRequests: 0,
    discardRequests: 0,
    discardedBytes: 0,
    errors: 0,
  };

  constructor(
    readonly image: BlockImage,
    readonly readOnly: boolean,
    readonly maxIndirectSegments: number,
  ) {}

  /** In units of 512 bytes, which is what Linux and Xen's other front ends mean whatever `sector-size` says. */
  get sectors(): number {
    return this.image.sizeBytes / SECTOR_BYTES;
  }

  get canDiscard(): boolean {
    return this.image.canDiscard && !this.readOnly;
  }

  /** Whether a range lies on the disk and the image can do it in one piece. NaN, from numbers beyond 2^53, is no sector. */
  accepts(sector: number, sectors: number): boolean {
    const { sectorBytes } = this.image;
    return (
      sector + sectors <= this.sectors &&
      (sector * SECTOR_BYTES) % sectorBytes === 0 &&
      (sectors * SECTOR_BYTES) % sectorBytes === 0
    );
  }

  /** One request more is done. A flush that had data counts for both. */
  count(kind: Kind, bytes: number): void {
    const done = this.statistics;
    if (kind === BLKIF_OP_FLUSH_DISKCACHE) done.flushRequests++;
    if (kind === BLKIF_OP_DISCARD) {
      done.discardRequests++;
      done.discardedBytes += bytes;
    } else if (kind === BLKIF_OP_READ) {
      done.readRequests++;
      done.readBytes += bytes;
    } else if (bytes > 0) {
      done.writeRequests++;
      done.writtenBytes += bytes;
    }
  }
}
