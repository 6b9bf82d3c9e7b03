/** Which clusters of a file are referred to, and how often, as far as its tables say. */
import { MAX_QCOW2_REBUILD_CLUSTERS } from '../../../base/limits.js';
import { unsupported } from '../image-errors.js';
import type { Geometry } from './header.js';

/* Of a cluster's number */
/** A table lies there. */
const TABLE = 0x80000000;
/** The file's refcount says that it is used once, whatever is true. */
const SAID_ONCE = 0x40000000;
const COUNT = 0x3fffffff;

export class References {
  /** In the file; the last one may be cut short. */
  readonly clusters: number;
  readonly #numbers: Uint32Array;
  readonly #clusterBits: number;
  readonly #most: number;

  /** @throws XennerError EIMAGE_UNSUPPORTED: too many */
  constructor(path: string, fileBytes: number, { clusterBytes, clusterBits, refcountOrder }: Geometry) {
    this.clusters = Math.ceil(fileBytes / clusterBytes);
    if (this.clusters > MAX_QCOW2_REBUILD_CLUSTERS)
      throw unsupported(path, `has ${this.clusters} clusters, which are too many to be counted`);
    this.#numbers = new Uint32Array(this.clusters);
    this.#clusterBits = clusterBits;
    this.#most = 2 ** Math.min(29, 2 ** refcountOrder) - 1;
  }

  of(cluster: number): number {
    return this.#numbers[cluster]! & COUNT;
  }

  isTable(cluster: number): boolean {
    return this.#numbers[cluster]! >= TABLE;
  }

  /** False: it is no place of the file, or something else lies there; nothing is counted then. */
  addTable(offset: number, bytes: number): boolean {
    const [first, end] = this.#range(offset, bytes);
    if (end > this.clusters) return false;
    for (let cluster = first; cluster < end; cluster++) if (this.of(cluster) > 0) return false;
    for (let cluster = first; cluster < end; cluster++) this.#numbers[cluster]! += TABLE + 1;
    return true;
  }

  /** One that is there already. False: that is more than can be counted. */
  addUser(table: number): boolean {
    return this.addData(table, 1, 1, true);
  }

  /** False: it is no place of data, or used more often than can be counted; nothing is counted then. */
  addData(offset: number, bytes: number, times: number, isTable = false): boolean {
    const [first, end] = this.#range(offset, bytes);
    if (end > this.clusters) return false;
    for (let cluster = first; cluster < end; cluster++) {
      const number = this.#numbers[cluster]!;
      if (number >= TABLE !== isTable || (number & COUNT) + times > this.#most) return false;
    }
    for (let cluster = first; cluster < end; cluster++) this.#numbers[cluster]! += times;
    return true;
  }

  saySingle(cluster: number): void {
    this.#numbers[cluster]! |= SAID_ONCE;
  }

  isSaidSingle(cluster: number): boolean {
    return (this.#numbers[cluster]! & SAID_ONCE) !== 0;
  }

  #range(offset: number, bytes: number): readonly [first: number, end: number] {
    const unit = 2 ** this.#clusterBits;
    return [Math.floor(offset / unit), Math.ceil((offset + bytes) / unit)];
  }
}
