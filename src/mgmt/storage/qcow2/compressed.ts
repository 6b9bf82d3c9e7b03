/** Compressed clusters: read, unpacked, and a few of them kept, since a guest reads a cluster in several pieces. */
import { inflateRaw } from 'node:zlib';
import { decompressElsewhere } from '../../../kvm/index.js';
import { damaged } from '../image-errors.js';
import type { ByteStore } from '../storage-file.js';

const KEPT_BYTES = 4 * 1024 * 1024;
const MIN_KEPT = 4;

export class CompressedClusters {
  /** By offset in the file. */
  readonly #kept = new Map<number, Promise<Uint8Array>>();
  readonly #capacity: number;

  constructor(
    private readonly file: ByteStore,
    private readonly clusterBytes: number,
    private readonly compression: 'zlib' | 'zstd',
  ) {
    this.#capacity = Math.max(MIN_KEPT, KEPT_BYTES / clusterBytes);
  }

  /** @param bytes at most so many; what comes behind the end of compressed data is ignored */
  read(host: number, bytes: number): Promise<Uint8Array> {
    let cluster = this.#kept.get(host);
    this.#kept.delete(host);
    cluster ??= this.#unpack(host, bytes);
    cluster.catch(() => this.#kept.delete(host));
    this.#kept.set(host, cluster);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.#capacity) break;
      this.#kept.delete(oldest);
    }
    return cluster;
  }

  /** There are other bytes from now on. */
  forget(host: number): void {
    this.#kept.delete(host);
  }

  async #unpack(host: number, bytes: number): Promise<Uint8Array> {
    if (host >= this.file.sizeBytes)
      throw damaged(this.file.path, `a compressed cluster at ${host} lies behind the file's end`);
    const packed = new Uint8Array(bytes);
    const count = await this.file.read(host, [packed]);
    const cluster = await this.#inflate(packed.subarray(0, count), host);
    if (cluster.length === this.clusterBytes) return cluster;
    throw damaged(this.file.path, `the compressed cluster at ${host} has ${cluster.length} bytes`);
  }

  async #inflate(packed: Uint8Array, host: number): Promise<Uint8Array> {
    try {
      if (this.compression === 'zstd') return await decompressElsewhere('zstd', packed, this.clusterBytes);
      return await new Promise((resolve, reject) => {
        const options = { maxOutputLength: this.clusterBytes };
        inflateRaw(packed, options, (error, cluster) => (error ? reject(error) : resolve(cluster)));
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw damaged(this.file.path, `the compressed cluster at ${host} does not unpack: ${reason}`);
    }
  }
}
