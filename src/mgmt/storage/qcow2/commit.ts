/**
 * Brings changed tables to the disk in an order that leaves a good image wherever a crash cuts it off:
 *
 *     data, refcount blocks | refcount table | L2 tables | L1 table | refcounts of what was given up
 *
 * with a sync for each `|`. What is on the disk then never refers to a cluster that is free there, or to one whose contents are not
 * there yet; a crash leaves clusters that nobody refers to, at worst. All that is written are copies from one moment: what
 * requests change meanwhile goes with the next commit, and clusters count as free only after the commit that gave them up.
 */
import { refused } from '../image-errors.js';
import { Serial } from '../serial.js';
import type { ByteStore } from '../storage-file.js';
import type { Allocator, ReleasedRun } from './allocator.js';
import type { ClusterMap } from './cluster-map.js';
import type { Refcounts } from './refcounts.js';
import type { Piece, Table } from './table.js';

export interface CommitParts {
  readonly file: ByteStore;
  /** Has the clusters of data: `file`, or another. */
  readonly data: ByteStore;
  readonly map: ClusterMap;
  readonly refcounts: Refcounts;
  readonly allocator: Allocator;
  /** Resolves when no read or write is under way that began before the call: it may know where things were. */
  readonly drained: () => Promise<void>;
}

export class Commit {
  readonly #serial = new Serial();
  readonly #freeing = new Serial();
  #next: Promise<void> | undefined;
  #lost: unknown;
  #broken: unknown;

  constructor(private readonly parts: CommitParts) {}

  /** Whatever requests have done before the call is on the disk. */
  run(): Promise<void> {
    this.#next ??= this.#serial.run(() => {
      this.#next = undefined;
      return this.#commit();
    });
    return this.#next;
  }

  /** Runs `task` when no commit is under way. When it fails, nobody knows what is on the disk: there are no further ones. */
  exclusivelyOrNever(task: () => Promise<void>): Promise<void> {
    return this.#serial.run(async () => {
      this.#checkUsable();
      try {
        await task();
      } catch (error) {
        this.#broken = error;
        throw error;
      }
    });
  }

  /** Refcount blocks alone; inside exclusivelyOrNever(). */
  async writeBlocks(): Promise<void> {
    await this.#settling(takeAll(this.parts.refcounts.blocks.dirty), async (blocks) => {
      await this.#write(blocks);
      await this.parts.file.sync();
    });
  }

  get hasChanges(): boolean {
    const { map, refcounts, allocator } = this.parts;
    const changed = [map.l1Dirty, map.l2.dirty, refcounts.blocks.dirty, refcounts.tableDirty];
    return allocator.releasedClusters > 0 || changed.some((tables) => tables.size > 0);
  }

  #checkUsable(): void {
    if (this.#broken !== undefined)
      throw refused('EIO', `${this.parts.file.path} cannot be written any more: ${this.#broken}`);
  }

  async #commit(): Promise<void> {
    this.#checkUsable();
    const { file, data, map, refcounts, allocator } = this.parts;
    const blocks = takeAll(refcounts.blocks.dirty);
    const table = takeAll(refcounts.tableDirty);
    const l2 = takeAll(map.l2.dirty);
    const l1 = takeAll(map.l1Dirty);
    const released = allocator.takeReleased();
    try {
      await this.#settling([...blocks, ...table, ...l2, ...l1], async () => {
        await this.#write(blocks);
        if (data !== file) await data.sync();
        await file.sync();
        for (const level of [table, l2, l1]) {
          if (level.length === 0) continue;
          await this.#write(level);
          await file.sync();
        }
      });
    } catch (error) {
      for (const { first, count, unmap } of released) allocator.release(first, count, unmap);
      throw error;
    }
    if (released.length > 0) this.#free(released);
  }

  /**
   * Nobody waits for it: what it waits for may itself wait for a commit. When it fails, there are clusters that nobody refers to,
   * as after a crash.
   */
  #free(released: readonly ReleasedRun[]): void {
    const drained = this.parts.drained();
    this.#freeing
      .run(async () => {
        await drained;
        await this.parts.allocator.free(released);
      })
      .catch((error) => {
        this.#lost ??= error;
      });
  }

  /** Clusters that were given up count as free. @throws (rejection) when some do not */
  async freed(): Promise<void> {
    await this.#freeing.run(async () => undefined);
    if (this.#lost !== undefined) throw this.#lost;
  }

  async #settling(
    pieces: readonly Piece[],
    write: (pieces: readonly Piece[]) => Promise<void>,
  ): Promise<void> {
    let written = false;
    try {
      await write(pieces);
      written = true;
    } finally {
      for (const piece of pieces) piece.table.settle(piece, written);
    }
  }

  async #write(pieces: readonly Piece[]): Promise<void> {
    for (const { table, at, bytes } of pieces) await this.parts.file.write(table.offset + at, [bytes]);
  }
}

function takeAll(tables: Set<Table>): Piece[] {
  return [...tables].flatMap((table) => table.take());
}
