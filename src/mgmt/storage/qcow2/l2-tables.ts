/** Changes of L2 tables: each belongs to this disk alone before it is changed. */
import { refused } from '../image-errors.js';
import type { Allocator } from './allocator.js';
import { setU64 } from './bytes.js';
import type { ClusterMap } from './cluster-map.js';
import { COPIED_HI } from './format.js';
import type { Table } from './table.js';

export class L2Tables {
  /** Tables that are being made, by their number in the L1 table. */
  readonly #making = new Map<number, Promise<void>>();

  constructor(
    private readonly map: ClusterMap,
    private readonly allocator: Allocator,
  ) {}

  /** Calls `edit` with a table that may be changed; what it does at once, nobody comes between. */
  async change(l1Index: number, edit: (table: Table) => void): Promise<void> {
    for (;;) {
      const offset = this.map.l2OffsetOf(l1Index);
      if (offset === 0 || !this.#isOwn(l1Index)) {
        await this.#makeOnce(l1Index);
        continue;
      }
      const table = this.map.l2.peek(offset);
      if (table) return edit(table);
      await this.map.l2.get(offset);
    }
  }

  #isOwn(l1Index: number): boolean {
    return (this.map.l1.view.getUint32(l1Index * 8) & COPIED_HI) !== 0;
  }

  #makeOnce(l1Index: number): Promise<void> {
    let making = this.#making.get(l1Index);
    if (making === undefined) {
      making = this.#make(l1Index).finally(() => this.#making.delete(l1Index));
      this.#making.set(l1Index, making);
    }
    return making;
  }

  /** An empty table, or a copy of one that snapshots use as well; nobody changes that one. */
  async #make(l1Index: number): Promise<void> {
    const { l1, l2, geometry, file } = this.map;
    if ((l1Index + 1) * 8 > l1.bytes.length) throw refused('EIO', `${file.path} has no room for an L2 table`);
    const shared = this.map.l2OffsetOf(l1Index);
    const bytes = shared === 0 ? new Uint8Array(geometry.clusterBytes) : (await l2.get(shared)).bytes.slice();
    const run = await this.allocator.allocate(1);
    this.allocator.claimMetadata(run.first, 1);
    l2.add(run.first * geometry.clusterBytes, bytes);
    setU64(l1.view, l1Index * 8, run.first * geometry.clusterBytes);
    l1.view.setUint32(l1Index * 8, l1.view.getUint32(l1Index * 8) | COPIED_HI);
    l1.touch(l1Index * 8);
    if (shared !== 0) this.allocator.release(shared / geometry.clusterBytes, 1, false);
  }
}
