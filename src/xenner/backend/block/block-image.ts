/** What a disk's back end reads and writes. Formats live behind it, in src/mgmt/storage: a back end never sees one. */

/** What a guest may be told about a disk; sizes in bytes. */
export interface BlockGeometry {
  /** A multiple of `sectorBytes`. */
  readonly sizeBytes: number;
  /** Logical sector: 512, or 4096 for a device that has no smaller. Offsets and lengths below are multiples of it. */
  readonly sectorBytes: number;
}

/**
 * An open image. Requests may overlap in time and finish in any order; two that touch the same bytes at once have no order, as on a
 * disk. A request that fails leaves what others acknowledged alone. Whoever calls checks ranges against `sizeBytes` first; an
 * image refuses what is outside all the same.
 *
 * Rejections are errors with a POSIX `code` (`EIO`, `ENOSPC`, `EROFS`, `EINVAL`, ...), or XennerErrors where the image is damaged.
 */
export interface BlockImage extends BlockGeometry {
  readonly readOnly: boolean;
  /** discard() gives something back. */
  readonly canDiscard: boolean;

  /**
   * Fills the buffers, in order, from one range of the image. They may be guest memory: contents can change at any time, so an image
   * that has to look at data it got from them copies first.
   */
  read(offset: number, into: readonly Uint8Array[]): Promise<void>;

  /** Resolves when a later read sees it; on the disk it is after flush(), or at once in the cache mode `writethrough`. */
  write(offset: number, from: readonly Uint8Array[]): Promise<void>;

  /** Resolves when every write that was acknowledged before the call survives a crash of the host. */
  flush(): Promise<void>;

  /** The range reads as zeros or as before. A hint: an image that cannot, does nothing. */
  discard(offset: number, length: number): Promise<void>;

  /** The range reads as zeros. `mayUnmap`: it need not keep its space. */
  writeZeroes(offset: number, length: number, options?: { readonly mayUnmap?: boolean }): Promise<void>;

  /** Waits for what is under way, flushes, gives up locks. Idempotent; every other call is refused afterwards. */
  close(): Promise<void>;
}
