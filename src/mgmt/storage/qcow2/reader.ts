/** Reads of a disk: each extent from where it is. */
import { MAX_IMAGE_PARALLEL_IO } from '../../../base/limits.js';
import type { DiskImage } from '../disk-image.js';
import { inParallel } from '../in-parallel.js';
import { fillZero, scatter, slice, totalBytes } from '../io-vector.js';
import type { ByteStore } from '../storage-file.js';
import type { ClusterMap, Extent } from './cluster-map.js';
import type { CompressedClusters } from './compressed.js';
import type { DiskCipher } from './disk-cipher.js';

/** What a disk's bytes come from. */
export interface Sources {
  readonly map: ClusterMap;
  /** Has the clusters of data. */
  readonly data: ByteStore;
  readonly compressed: CompressedClusters;
  readonly cipher?: DiskCipher | undefined;
  readonly backing?: DiskImage | undefined;
}

/** Everything but the image's own file, which is its opener's until it is open. */
export async function closeSources(
  file: ByteStore,
  sources: Pick<Sources, 'backing' | 'data'>,
): Promise<void> {
  await sources.backing?.close();
  if (sources.data !== file) await sources.data.close();
}

export class Reader {
  constructor(private readonly sources: Sources) {}

  read(offset: number, into: readonly Uint8Array[]): Promise<unknown> {
    const extents = this.sources.map.extents(offset, totalBytes(into));
    if (extents instanceof Promise) return extents.then((found) => this.#readExtents(found, offset, into));
    return this.#readExtents(extents, offset, into);
  }

  #readExtents(extents: Extent[], offset: number, into: readonly Uint8Array[]): Promise<unknown> {
    const [first] = extents;
    if (first !== undefined && extents.length === 1) return this.#readExtent(first, offset, into);
    let done = 0;
    const pieces = extents.map((extent) => {
      const piece = { extent, at: offset + done, into: slice(into, done, extent.length) };
      done += extent.length;
      return piece;
    });
    return inParallel(pieces, MAX_IMAGE_PARALLEL_IO, (piece) => {
      return this.#readExtent(piece.extent, piece.at, piece.into);
    });
  }

  async readPart(offset: number, into: Uint8Array): Promise<void> {
    if (into.length > 0) await this.read(offset, [into]);
  }

  /** Whether a range is zeros without anybody having to look at data. */
  async isZero(offset: number, length: number): Promise<boolean> {
    const backed = offset < (this.sources.backing?.sizeBytes ?? 0);
    const extents = await this.sources.map.extents(offset, length);
    return extents.every(({ kind }) => kind === 'zero' || (kind === 'hole' && !backed));
  }

  /** What a disk has where the image itself has nothing. */
  async #readBacking(offset: number, into: readonly Uint8Array[]): Promise<void> {
    const { backing } = this.sources;
    const length = totalBytes(into);
    const covered = Math.max(0, Math.min(length, (backing?.sizeBytes ?? 0) - offset));
    if (backing && covered > 0) await backing.read(offset, slice(into, 0, covered));
    if (covered < length) fillZero(slice(into, covered, length - covered));
  }

  #readExtent(extent: Extent, at: number, into: readonly Uint8Array[]): Promise<unknown> {
    const { data, cipher } = this.sources;
    switch (extent.kind) {
      case 'zero':
        fillZero(into);
        return Promise.resolve();
      case 'hole':
        return this.#readBacking(at, into);
      case 'compressed':
        return this.#readCompressed(extent, at, into);
      case 'data':
        return cipher === undefined
          ? data.read(extent.host, into)
          : this.#readEncrypted(cipher, extent, at, into);
    }
  }

  async #readCompressed(extent: Extent, at: number, into: readonly Uint8Array[]): Promise<void> {
    const { compressed, map } = this.sources;
    const cluster = await compressed.read(extent.host, extent.compressedBytes);
    const from = at % map.geometry.clusterBytes;
    scatter(cluster.subarray(from, from + extent.length), into);
  }

  /** Not in place: the buffers may be a guest's, and change meanwhile. */
  async #readEncrypted(
    cipher: DiskCipher,
    extent: Extent,
    at: number,
    into: readonly Uint8Array[],
  ): Promise<void> {
    const sectors = new Uint8Array(extent.length);
    await this.sources.data.read(extent.host, [sectors]);
    cipher.decrypt(cipher.usesHostOffset ? extent.host : at, sectors);
    scatter(sectors, into);
  }
}
