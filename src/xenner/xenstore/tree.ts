/** The nodes as a value: a change makes a new tree that shares what it did not touch, so that a snapshot costs nothing. */
import { namesOf, type StorePath } from './path.js';
import type { Permissions } from './permissions.js';

export interface StoreNode {
  /** Never written to. */
  readonly value: Buffer;
  readonly permissions: Permissions;
  readonly children: ReadonlyMap<string, StoreNode>;
  /** Changes with everything above, and is never the same twice in one store. */
  readonly generation: number;
}

/** What the nodes that a domain owns take. */
export interface Usage {
  readonly nodes: number;
  readonly bytes: number;
}

const NO_USAGE: Usage = { nodes: 0, bytes: 0 };
/** struct node_hdr and struct xs_permissions of xenstored, whose quota counts them. */
const HEADER_BYTES = 16;
const PERMISSION_BYTES = 8;

/** What a node counts for: value, permissions and the children's names. */
export function nodeBytes({ value, permissions, children }: Omit<StoreNode, 'generation'>): number {
  let bytes = HEADER_BYTES + permissions.length * PERMISSION_BYTES + value.length;
  for (const name of children.keys()) bytes += name.length + 1;
  return bytes;
}

/** Sums up a tree's usage by owner while nodes come and go. */
class UsageChange {
  readonly usage: Map<number, Usage>;

  constructor(before: ReadonlyMap<number, Usage>) {
    this.usage = new Map(before);
  }

  /** @param sign 1: comes, -1: goes */
  count(node: StoreNode, sign: 1 | -1): void {
    const owner = node.permissions[0].domid;
    const { nodes, bytes } = this.usage.get(owner) ?? NO_USAGE;
    const left = nodes + sign;
    if (left === 0) this.usage.delete(owner);
    else this.usage.set(owner, { nodes: left, bytes: bytes + sign * nodeBytes(node) });
  }

  countAll(node: StoreNode, sign: 1 | -1): void {
    this.count(node, sign);
    for (const child of node.children.values()) this.countAll(child, sign);
  }
}

/** Above / and the special nodes; belongs to nobody. */
const NOTHING: StoreNode = {
  value: Buffer.alloc(0),
  permissions: [{ domid: 0, mode: 0 }],
  children: new Map(),
  generation: 0,
};

export class Tree {
  static readonly empty = new Tree(NOTHING, new Map());

  private constructor(
    private readonly top: StoreNode,
    private readonly byOwner: ReadonlyMap<number, Usage>,
  ) {}

  usage(domid: number): Usage {
    return this.byOwner.get(domid) ?? NO_USAGE;
  }

  get(path: StorePath): StoreNode | undefined {
    let node: StoreNode | undefined = this.top;
    for (const name of namesOf(path)) {
      node = node.children.get(name);
      if (node === undefined) return undefined;
    }
    return node;
  }

  /** With this value and these permissions at `path`, whose parent exists; children stay. */
  set(path: StorePath, value: Buffer, permissions: Permissions, generation: number): Tree {
    return this.#edit(path, generation, (old, change) => {
      const node = { value, permissions, children: old?.children ?? NOTHING.children, generation };
      if (old !== undefined) change.count(old, -1);
      change.count(node, 1);
      return node;
    });
  }

  /** Without `path`, which exists, and everything below. */
  remove(path: StorePath, generation: number): Tree {
    return this.#edit(path, generation, (old, change) => {
      if (old !== undefined) change.countAll(old, -1);
      return undefined;
    });
  }

  /** Every node, parents before their children. */
  *walk(): Generator<[StorePath, StoreNode]> {
    const below = function* (path: string, node: StoreNode): Generator<[StorePath, StoreNode]> {
      yield [path as StorePath, node];
      for (const [name, child] of node.children) yield* below(`${path === '/' ? '' : path}/${name}`, child);
    };
    for (const [name, node] of this.top.children) yield* below(name, node);
  }

  #edit(
    path: StorePath,
    generation: number,
    replace: (old: StoreNode | undefined, change: UsageChange) => StoreNode | undefined,
  ): Tree {
    const change = new UsageChange(this.byOwner);
    const names = namesOf(path);
    const descend = (parent: StoreNode, depth: number): StoreNode => {
      const name = names[depth]!;
      const old = parent.children.get(name);
      const last = depth === names.length - 1;
      if (!last && old === undefined) throw new Error(`no parent of ${path}`);
      const node = last ? replace(old, change) : descend(old!, depth + 1);
      const children = new Map(parent.children);
      if (node === undefined) children.delete(name);
      else children.set(name, node);
      // Its children's names are part of a node: they are its size and its generation.
      if (children.size === parent.children.size) return { ...parent, children };
      const changed = { ...parent, children, generation };
      if (depth > 0) {
        change.count(parent, -1);
        change.count(changed, 1);
      }
      return changed;
    };
    return new Tree(descend(this.top, 0), change.usage);
  }
}
