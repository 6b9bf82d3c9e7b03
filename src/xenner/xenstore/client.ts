/** One who uses the store: its rights, quota, watches and transactions. Every request ends here, whatever it came over. */
import { XENSTORE_PAYLOAD_MAX } from '../abi/xs-wire.js';
import type { Json, Saved } from '../save/saved.js';
import { XenstoreError } from './errors.js';
import { homeOf, isRelative, type PathBase, parentOf, parsePath, type StorePath } from './path.js';
import {
  formatPermissions,
  MODE_OWNER,
  MODE_READ,
  MODE_WRITE,
  modeFor,
  type Permissions,
  parsePermissions,
  type Subject,
} from './permissions.js';
import { GUEST_QUOTA, HOST_QUOTA, type Quota } from './quota.js';
import type { Xenstore } from './store.js';
import type { Transaction } from './transaction.js';
import { nodeBytes, type StoreNode } from './tree.js';
import { type Change, WatchList } from './watches.js';

/** Where a client's events go, and what waits there. */
export interface EventSink {
  event(path: string, token: string): void;
  readonly queuedBytes: number;
}

const NO_VALUE = Buffer.alloc(0);

export class Client implements Subject, PathBase {
  readonly privileged: boolean;
  readonly quota: Quota;
  readonly home: StorePath;
  /** Set by SET_TARGET. */
  target: number | undefined;
  readonly #watches: WatchList;
  readonly #transactions = new Map<number, Transaction>();
  #nextTransaction = 1;

  /** @param domid 0 is the host and may do everything */
  constructor(
    private readonly store: Xenstore,
    readonly domid: number,
    private readonly sink: EventSink,
  ) {
    this.privileged = domid === 0;
    this.quota = this.privileged ? HOST_QUOTA : GUEST_QUOTA;
    this.home = homeOf(domid);
    this.#watches = new WatchList(this, (path, token) => sink.event(path, token));
    store.attach(this);
  }

  get maxLength(): number {
    return this.quota.pathLength;
  }

  /** Everything that the quota of bytes counts. */
  get bytes(): number {
    let bytes = this.store.tree.usage(this.domid).bytes + this.#watches.bytes + this.sink.queuedBytes;
    for (const transaction of this.#transactions.values()) bytes += transaction.bytes;
    return bytes;
  }

  read(path: string, id = 0): Buffer {
    return this.#node(path, id).value;
  }

  directory(path: string, id = 0): string[] {
    return [...this.#node(path, id).children.keys()];
  }

  /** The same number twice: nothing about the node or its children's names changed between. */
  generation(path: string, id = 0): number {
    return this.#node(path, id).generation;
  }

  permissions(path: string, id = 0): string[] {
    return formatPermissions(this.#node(path, id, true).permissions);
  }

  /** @param value is kept: the caller does not write to it again */
  write(text: string, value: Buffer, id = 0): void {
    const path = parsePath(text, this);
    // Nobody could read it over the wire.
    if (value.length > XENSTORE_PAYLOAD_MAX) throw new XenstoreError('E2BIG', 'the value is too big');
    this.#run(id, (transaction) => {
      const node = this.#lookup(transaction, path, MODE_WRITE);
      if (node === undefined) this.#create(transaction, path, value);
      else {
        this.#charge({ ...node, value }, nodeBytes(node));
        transaction.set(path, value, node.permissions);
      }
      transaction.changed(path);
    });
  }

  mkdir(text: string, id = 0): void {
    const path = parsePath(text, this);
    this.#run(id, (transaction) => {
      if (this.#lookup(transaction, path, MODE_WRITE) !== undefined) return;
      this.#create(transaction, path, NO_VALUE);
      transaction.changed(path);
    });
  }

  rm(text: string, id = 0): void {
    const path = parsePath(text, this);
    this.#run(id, (transaction) => {
      const node = this.#lookup(transaction, path, MODE_WRITE);
      if (path === '/') throw new XenstoreError('EINVAL', 'the root stays');
      if (node !== undefined) {
        transaction.remove(path);
        transaction.changed(path, true);
      } else if (transaction.get(parentOf(path)) === undefined) {
        throw new XenstoreError('ENOENT', `nothing above ${path}`);
      }
    });
  }

  setPermissions(text: string, texts: readonly string[], id = 0): void {
    if (texts.length > this.quota.permissions) throw new XenstoreError('ENOSPC', 'too many permissions');
    const permissions = parsePermissions(texts);
    const path = parsePath(text, this, true);
    this.#run(id, (transaction) => {
      const node = this.#lookup(transaction, path, MODE_WRITE | MODE_OWNER);
      if (node === undefined) throw new XenstoreError('ENOENT', `no ${path}`);
      if (!this.privileged && permissions[0].domid !== node.permissions[0].domid) {
        throw new XenstoreError('EPERM', 'only domain 0 gives a node to somebody else');
      }
      this.#charge({ ...node, permissions }, nodeBytes(node));
      transaction.set(path, node.value, permissions);
      transaction.changed(path);
    });
  }

  /** The first event comes at once. */
  watch(text: string, token: string): void {
    this.#addWatch(text, token);
    this.sink.event(text, token);
  }

  unwatch(text: string, token: string): void {
    this.#watches.remove(parsePath(text, this, true), token);
  }

  /** Forgets watches and transactions. */
  reset(): void {
    this.#watches.clear();
    this.#transactions.clear();
  }

  startTransaction(): number {
    if (this.#transactions.size >= this.quota.transactions) {
      throw new XenstoreError('ENOSPC', 'too many transactions');
    }
    while (this.#nextTransaction === 0 || this.#transactions.has(this.#nextTransaction)) this.#countUp();
    const id = this.#nextTransaction;
    this.#countUp();
    this.#transactions.set(id, this.store.begin(this.quota.transactionNodes));
    return id;
  }

  endTransaction(id: number, commit: boolean): void {
    const transaction = this.transaction(id);
    this.#transactions.delete(id);
    if (!commit) return;
    const before = this.store.tree.usage(this.domid).nodes;
    const tree = transaction.commitTo(this.store.tree);
    if (tree.usage(this.domid).nodes > Math.max(before, this.quota.nodes)) {
      throw new XenstoreError('ENOSPC', 'too many nodes');
    }
    this.store.replace(tree, transaction.changes);
  }

  /** @throws XenstoreError ENOENT */
  transaction(id: number): Transaction {
    const transaction = this.#transactions.get(id);
    if (transaction === undefined) throw new XenstoreError('ENOENT', `no transaction ${id}`);
    return transaction;
  }

  notify(change: Change): void {
    this.#watches.notify(change);
  }

  close(): void {
    this.reset();
    this.store.detach(this);
  }

  /** Watches, and of transactions their numbers. */
  save(): { [name: string]: Json } {
    return {
      watches: this.#watches.save(),
      transactions: [...this.#transactions.keys()],
      nextTransaction: this.#nextTransaction,
    };
  }

  /**
   * What save() gave, on a fresh client. Transactions go on, and can only be done again when they end: what they had
   * done and seen is not saved, and whoever is in one does not know that it was.
   * @throws XennerError ESAVE_DAMAGED
   */
  restore(saved: Saved): void {
    for (const each of saved.get('watches').list(this.quota.watches)) {
      const [path, token] = each.tuple(2).map((text) => text.text(XENSTORE_PAYLOAD_MAX)) as [string, string];
      try {
        this.#addWatch(path, token);
      } catch (error) {
        throw error instanceof XenstoreError ? each.wrong('a watch') : error;
      }
    }
    for (const id of saved.get('transactions').list(this.quota.transactions)) {
      this.#transactions.set(id.int(1, 0xffffffff), this.store.begin(this.quota.transactionNodes, true));
    }
    this.#nextTransaction = saved.get('nextTransaction').u32();
  }

  #addWatch(text: string, token: string): void {
    const path = parsePath(text, this, true);
    if (this.#watches.size >= this.quota.watches) throw new XenstoreError('E2BIG', 'too many watches');
    if (this.bytes + path.length + token.length > this.quota.bytes) {
      throw new XenstoreError('ENOMEM', 'too many bytes');
    }
    this.#watches.add(path, token, isRelative(text));
  }

  #countUp(): void {
    this.#nextTransaction = (this.#nextTransaction + 1) >>> 0;
  }

  /** Outside a transaction a request is one by itself, which nothing can come between. */
  #run<T>(id: number, act: (transaction: Transaction) => T): T {
    if (id !== 0) return act(this.transaction(id));
    const transaction = this.store.begin(HOST_QUOTA.transactionNodes);
    const result = act(transaction);
    this.store.replace(transaction.tree, transaction.changes);
    return result;
  }

  #node(text: string, id: number, allowSpecial = false): StoreNode {
    const path = parsePath(text, this, allowSpecial);
    const node = this.#run(id, (transaction) => this.#lookup(transaction, path, MODE_READ));
    if (node === undefined) throw new XenstoreError('ENOENT', `no ${path}`);
    return node;
  }

  /**
   * The node, or undefined for what is not there but may be known not to be.
   * @throws XenstoreError EACCES, as errno_from_parents() of xenstored has it
   */
  #lookup(transaction: Transaction, path: StorePath, mode: number): StoreNode | undefined {
    const node = transaction.get(path);
    const nearest = node ?? this.#nearest(transaction, path)[1];
    const granted = modeFor(this, nearest.permissions) & mode;
    if (node === undefined ? granted === 0 : granted !== mode) {
      throw new XenstoreError('EACCES', `domain ${this.domid} may not do this to ${path}`);
    }
    return node;
  }

  /** The closest node above that exists. */
  #nearest(transaction: Transaction, path: StorePath): [StorePath, StoreNode] {
    for (let above = parentOf(path); ; above = parentOf(above)) {
      const node = transaction.tree.get(above);
      if (node !== undefined) return [above, node];
    }
  }

  /** With its parents. Permissions are inherited, but a domain owns what it makes. */
  #create(transaction: Transaction, path: StorePath, value: Buffer): void {
    const [above, parent] = this.#nearest(transaction, path);
    const [first, ...others] = parent.permissions;
    const owner = this.privileged ? first.domid : this.domid;
    const permissions: Permissions = [{ ...first, domid: owner }, ...others];
    const missing: StorePath[] = [];
    for (let each = path; each !== above; each = parentOf(each)) missing.unshift(each);
    if (transaction.tree.usage(owner).nodes + missing.length > this.quota.nodes) {
      throw new XenstoreError('ENOSPC', 'too many nodes');
    }
    if (nodeBytes(parent) + missing[0]!.length - above.length > this.quota.nodeBytes) {
      throw new XenstoreError('ENOSPC', 'too many children');
    }
    this.#charge({ value, permissions, children: new Map() }, 0);
    for (const each of missing) transaction.set(each, each === path ? value : NO_VALUE, permissions);
  }

  /** @param freed bytes that were counted until now */
  #charge(node: Omit<StoreNode, 'generation'>, freed: number): void {
    const bytes = nodeBytes(node);
    if (bytes > this.quota.nodeBytes) throw new XenstoreError('ENOSPC', 'the node is too big');
    if (this.bytes + bytes - freed > this.quota.bytes) throw new XenstoreError('ENOMEM', 'too many bytes');
  }
}
