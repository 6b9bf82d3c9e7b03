/**
 * What a transaction sees and changes: a snapshot of its own, and a note of every node that it depended on. It is
 * committed if none of those has changed since, and otherwise EAGAIN (tools/xenstored/transaction.c).
 */
import { XenstoreError } from './errors.js';
import { parentOf, type StorePath } from './path.js';
import type { Permissions } from './permissions.js';
import { nodeBytes, type StoreNode, type Tree } from './tree.js';

/** Changed paths, in order; true: a whole tree was removed there. */
export type Changes = ReadonlyMap<StorePath, boolean>;

export class Transaction {
  readonly #base: Tree;
  #tree: Tree;
  /** Generations when it began; undefined: was not there. */
  readonly #seen = new Map<StorePath, number | undefined>();
  /** Bytes of what it wrote, 0 for what it removed. */
  readonly #written = new Map<StorePath, number>();
  readonly #changes = new Map<StorePath, boolean>();
  #bytes = 0;
  #overflowed = false;

  /**
   * @param nextGeneration a number that was not used before
   * @param maxNodes that it may depend on
   * @param stale can only end with EAGAIN
   */
  constructor(
    tree: Tree,
    private readonly nextGeneration: () => number,
    private readonly maxNodes: number,
    private readonly stale = false,
  ) {
    this.#base = tree;
    this.#tree = tree;
  }

  get tree(): Tree {
    return this.#tree;
  }

  /** What it keeps beyond the snapshot. */
  get bytes(): number {
    return this.#bytes;
  }

  get changes(): Changes {
    return this.#changes;
  }

  /** @throws XenstoreError ENOSPC when it looks at too much; it cannot be committed afterwards */
  get(path: StorePath): StoreNode | undefined {
    this.#depend(path);
    return this.#tree.get(path);
  }

  /** Sets one node; its parent exists. */
  set(path: StorePath, value: Buffer, permissions: Permissions): void {
    this.#depend(path);
    if (this.#tree.get(path) === undefined) this.#depend(parentOf(path));
    this.#tree = this.#tree.set(path, value, permissions, this.nextGeneration());
    this.#wrote(path, nodeBytes(this.#tree.get(path)!) + path.length);
  }

  /** Removes a node, which exists, with all below. */
  remove(path: StorePath): void {
    this.#depend(parentOf(path));
    this.#removeAll(path, this.#tree.get(path)!);
    this.#tree = this.#tree.remove(path, this.nextGeneration());
  }

  /** Watchers are to be told of `path` once it is committed. */
  changed(path: StorePath, removed = false): void {
    this.#changes.set(path, removed || this.#changes.get(path) === true);
  }

  /**
   * The tree to put in the place of `current`.
   * @throws XenstoreError EAGAIN: other changes came between; ENOMEM: it looked at too much
   */
  commitTo(current: Tree): Tree {
    if (this.#overflowed) throw new XenstoreError('ENOMEM', 'the transaction was too big');
    if (this.stale) throw new XenstoreError('EAGAIN', 'the transaction has to be done again');
    if (current === this.#base) return this.#tree;
    for (const [path, generation] of this.#seen) {
      if (current.get(path)?.generation !== generation) throw new XenstoreError('EAGAIN', `${path} changed`);
    }
    return this.#replay(current);
  }

  #replay(current: Tree): Tree {
    let tree = current;
    // A parent's path is shorter than its children's.
    const paths = [...this.#written.keys()].sort((a, b) => a.length - b.length);
    for (const path of paths) {
      const node = this.#tree.get(path);
      if (node !== undefined) tree = tree.set(path, node.value, node.permissions, this.nextGeneration());
      else if (tree.get(path) !== undefined) tree = tree.remove(path, this.nextGeneration());
    }
    return tree;
  }

  #removeAll(path: StorePath, node: StoreNode): void {
    this.#depend(path);
    this.#wrote(path, 0);
    for (const [name, child] of node.children) this.#removeAll(`${path}/${name}` as StorePath, child);
  }

  #depend(path: StorePath): void {
    if (this.#seen.has(path)) return;
    if (this.#seen.size >= this.maxNodes) {
      this.#overflowed = true;
      throw new XenstoreError('ENOSPC', 'too many nodes in a transaction');
    }
    this.#seen.set(path, this.#base.get(path)?.generation);
  }

  #wrote(path: StorePath, bytes: number): void {
    this.#bytes += bytes - (this.#written.get(path) ?? 0);
    this.#written.set(path, bytes);
  }
}
