/** Gives clusters of the file out, and takes them back when nothing on the disk refers to them any more. */
import { damaged } from '../image-errors.js';
import { Serial } from '../serial.js';
import type { ByteStore } from '../storage-file.js';
import type { Geometry } from './header.js';
import type { Refcounts } from './refcounts.js';

/** Consecutive clusters of the file, by number. */
export interface Run {
  readonly first: number;
  readonly count: number;
}

/** Given up. `unmap`: the file need not keep their space. */
export interface ReleasedRun extends Run {
  readonly unmap: boolean;
}

/** Allocated: `fresh` ones have never been used, and lie behind what was the file's end. */
export interface NewRun extends Run {
  readonly fresh: boolean;
}

/** Makes the refcount table larger (grow-refcounts.ts); it ends with room for at least one more block. */
export type GrowTable = (block: number) => Promise<void>;

export class Allocator {
  /** Clusters before it are in use, or about to be given back. */
  #cursor = 0;
  #freshFrom: number;
  #released: ReleasedRun[] = [];
  #releasedClusters = 0;
  readonly #serial = new Serial();
  growTable: GrowTable = async () => undefined;

  /** @param metadata clusters of tables, which are nobody's data */
  constructor(
    private readonly file: ByteStore,
    private readonly geometry: Geometry,
    private readonly refcounts: Refcounts,
    readonly metadata: Set<number>,
  ) {
    this.#freshFrom = file.isDevice
      ? Number.POSITIVE_INFINITY
      : Math.ceil(file.sizeBytes / geometry.clusterBytes);
  }

  /** One to `most` consecutive clusters, used once each from now on. */
  allocate(most: number): Promise<NewRun> {
    return this.#serial.run(async () => {
      for (;;) {
        const { refcountsPerBlock } = this.geometry;
        const block = Math.floor(this.#cursor / refcountsPerBlock);
        if (this.refcounts.blockOffset(block) === 0) await this.#addBlock(block);
        const run = await this.refcounts.with(block * refcountsPerBlock, () => this.#search(block, most));
        if (run) return run;
      }
    });
  }

  /** Clusters that nothing ever referred to. */
  giveBack(run: Run): Promise<void> {
    return this.#decrement({ ...run, unmap: false });
  }

  /** A cluster that is in use already is referred to once more. False: its refcount has no room for that. */
  share(cluster: number): Promise<boolean> {
    return this.refcounts.with(cluster, () => {
      const refcount = this.refcounts.get(cluster);
      if (refcount >= 2 ** (2 ** this.geometry.refcountOrder) - 1) return false;
      this.refcounts.set(cluster, refcount + 1);
      return true;
    });
  }

  /** Each was referred to once less: it counts when that is on the disk, by free(). */
  release(first: number, count: number, unmap: boolean): void {
    this.#releasedClusters += count;
    const last = this.#released[this.#released.length - 1];
    if (last && last.first + last.count === first && last.unmap === unmap)
      this.#released[this.#released.length - 1] = { ...last, count: last.count + count };
    else this.#released.push({ first, count, unmap });
  }

  get isFull(): boolean {
    return this.refcounts.blocks.isFull;
  }

  get releasedClusters(): number {
    return this.#releasedClusters;
  }

  takeReleased(): readonly ReleasedRun[] {
    const taken = this.#released;
    this.#released = [];
    this.#releasedClusters = 0;
    return taken;
  }

  /** @param runs from takeReleased(), when nobody refers to them any more, on the disk or in memory */
  async free(runs: readonly ReleasedRun[]): Promise<void> {
    for (const run of runs) await this.#decrement(run);
  }

  /** The new clusters of tables are nobody's data, and not fresh. */
  claimMetadata(first: number, count: number): void {
    for (let cluster = first; cluster < first + count; cluster++) {
      if (this.metadata.has(cluster)) throw damaged(this.file.path, `cluster ${cluster} is used twice`);
      this.metadata.add(cluster);
    }
    this.#freshFrom = Math.max(this.#freshFrom, first + count);
  }

  /** @throws EIMAGE_DAMAGED when an entry makes the image's own tables a guest's data */
  checkData(first: number, count: number): void {
    for (let cluster = first; cluster < first + count; cluster++) {
      if (this.metadata.has(cluster))
        throw damaged(this.file.path, `cluster ${cluster} is named as data, but has a table`);
    }
  }

  /** The first free clusters of a block from the cursor on; undefined: it has none. */
  #search(block: number, most: number): NewRun | undefined {
    const { refcountsPerBlock } = this.geometry;
    const end = (block + 1) * refcountsPerBlock;
    // It may have moved back while the block was read.
    let first = Math.max(this.#cursor, block * refcountsPerBlock);
    while (first < end && this.refcounts.get(first) !== 0) first++;
    let last = first;
    while (last < end && last - first < most && this.refcounts.get(last) === 0) last++;
    this.#cursor = last;
    if (last === first) return undefined;
    this.checkData(first, last - first);
    for (let cluster = first; cluster < last; cluster++) this.refcounts.set(cluster, 1);
    const fresh = first >= this.#freshFrom;
    this.#freshFrom = Math.max(this.#freshFrom, last);
    return { first, count: last - first, fresh };
  }

  /** Nothing in the clusters of a block that does not exist is in use: it lies in the first of them, and counts itself. */
  async #addBlock(block: number): Promise<void> {
    if (block >= this.refcounts.capacity) {
      await this.growTable(block);
      return;
    }
    const first = block * this.geometry.refcountsPerBlock;
    this.claimMetadata(first, 1);
    this.refcounts.addBlock(block, first * this.geometry.clusterBytes);
    this.refcounts.set(first, 1);
  }

  async #decrement({ first, count, unmap }: ReleasedRun): Promise<void> {
    const { refcountsPerBlock, clusterBytes } = this.geometry;
    for (let at = first; at < first + count; ) {
      const end = Math.min(first + count, (this.refcounts.blockOf(at) + 1) * refcountsPerBlock);
      const from = at;
      if (unmap) {
        const unused = await this.refcounts.with(from, () => this.#usedOnce(from, end));
        for (const run of unused) await this.file.punch(run.first * clusterBytes, run.count * clusterBytes);
      }
      await this.refcounts.with(from, () => {
        for (let cluster = from; cluster < end; cluster++) this.#decrementOne(cluster);
      });
      at = end;
    }
  }

  /** Those of [from, end) that will be free. */
  #usedOnce(from: number, end: number): Run[] {
    const runs: { first: number; count: number }[] = [];
    for (let cluster = from; cluster < end; cluster++) {
      if (this.refcounts.get(cluster) !== 1) continue;
      const last = runs[runs.length - 1];
      if (last && last.first + last.count === cluster) last.count++;
      else runs.push({ first: cluster, count: 1 });
    }
    return runs;
  }

  #decrementOne(cluster: number): void {
    const refcount = this.refcounts.get(cluster);
    // A damaged image's: it is free as it is.
    if (refcount === 0) return;
    this.refcounts.set(cluster, refcount - 1);
    if (refcount > 1) return;
    this.metadata.delete(cluster);
    this.#cursor = Math.min(this.#cursor, cluster);
  }
}
