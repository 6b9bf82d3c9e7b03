/** The store: the tree as it is now, who uses it, and which domains there are. Knows nothing of sockets, rings and times. */
import { MAX_XENSTORE_HOST_NODES } from '../../base/limits.js';
import { createLogger } from '../../base/log.js';
import { XENSTORE_PAYLOAD_MAX } from '../abi/xs-wire.js';
import type { Json, Saved } from '../save/saved.js';
import type { Client } from './client.js';
import { XenstoreError } from './errors.js';
import { XenstoreHandle } from './handle.js';
import { isSpecial, parentOf, parsePath, type StorePath } from './path.js';
import { formatPermissions, type Permissions, parsePermissions } from './permissions.js';
import { HOST_QUOTA } from './quota.js';
import { type Changes, Transaction } from './transaction.js';
import { Tree } from './tree.js';

/** What the store has of a domain that talks to it. */
export interface IntroducedDomain {
  readonly client: Client;
  /** Forgets what was said, and begins anew. */
  reset(): void;
  /** The domain is not talked to any more. */
  close(): void;
}

const HOST_ONLY: Permissions = [{ domid: 0, mode: 0 }];
const NO_VALUE = Buffer.alloc(0);
const INTRODUCE = '@introduceDomain' as StorePath;
const RELEASE = '@releaseDomain' as StorePath;
/** As setup_structure() of xenstored. */
const FIRST_NODES = ['/', '/tool', '/tool/xenstored', INTRODUCE, RELEASE] as StorePath[];

export class Xenstore {
  /** Traces requests that come as messages, their answers and events, and whatever changes. */
  log = createLogger();
  #tree = Tree.empty;
  #generation = 0;
  readonly #clients = new Set<Client>();
  readonly #domains = new Map<number, IntroducedDomain>();
  /** Whose end @releaseDomain has told of. */
  readonly #shutDown = new Set<number>();

  constructor() {
    for (const path of FIRST_NODES) this.#tree = this.#tree.set(path, NO_VALUE, HOST_ONLY, this.#next());
  }

  get tree(): Tree {
    return this.#tree;
  }

  /** A handle for this process; close() it. */
  client(domid = 0): XenstoreHandle {
    return new XenstoreHandle(this, domid);
  }

  begin(maxNodes: number, stale = false): Transaction {
    return new Transaction(this.#tree, () => this.#next(), maxNodes, stale);
  }

  /** Puts another tree in the place of this one, and tells whoever watches. */
  replace(tree: Tree, changes: Changes): void {
    const before = this.#tree;
    this.#tree = tree;
    if (this.log.traces('xenstore'))
      for (const path of changes.keys()) this.log.trace('xenstore', 'changed', { path });
    for (const client of this.#clients) client.notify({ before, after: tree, paths: changes });
  }

  attach(client: Client): void {
    this.#clients.add(client);
  }

  detach(client: Client): void {
    this.#clients.delete(client);
  }

  isIntroduced(domid: number): boolean {
    return domid === 0 || this.#domains.has(domid);
  }

  /** @throws XenstoreError ENOENT */
  domain(domid: number): IntroducedDomain {
    const domain = this.#domains.get(domid);
    if (domain === undefined) throw new XenstoreError('ENOENT', `domain ${domid} was not introduced`);
    return domain;
  }

  /** The domain can talk to the store from now on. @throws XenstoreError EEXIST */
  introduce(domain: IntroducedDomain): void {
    const { domid } = domain.client;
    if (this.isIntroduced(domid)) throw new XenstoreError('EEXIST', `domain ${domid} was introduced before`);
    this.#domains.set(domid, domain);
    this.#tellSpecial(INTRODUCE);
  }

  /** The domain has shut down or crashed, and may still be there. */
  shutdown(domid: number): void {
    if (!this.#domains.has(domid) || this.#shutDown.has(domid)) return;
    this.#shutDown.add(domid);
    this.#tellSpecial(RELEASE);
  }

  /** The next shutdown() counts again. @throws XenstoreError ENOENT */
  resume(domid: number): void {
    this.domain(domid);
    this.#shutDown.delete(domid);
  }

  /** The domain is gone, and with it its nodes and what others let it do. @throws XenstoreError ENOENT */
  release(domid: number): void {
    const domain = this.domain(domid);
    this.#domains.delete(domid);
    this.#shutDown.delete(domid);
    for (const client of this.#clients) if (client.target === domid) client.target = undefined;
    domain.close();
    this.#removeTraces(domid);
    this.#tellSpecial(RELEASE);
  }

  /** Nodes and permissions; the clients keep their own. */
  save(): Json {
    const nodes = [...this.#tree.walk()].map(([path, { value, permissions }]) => [
      path,
      value.toString('base64'),
      formatPermissions(permissions).join(' '),
    ]);
    return { generation: this.#generation, nodes };
  }

  /** What save() gave. @throws XennerError ESAVE_DAMAGED */
  static restore(saved: Saved): Xenstore {
    const store = new Xenstore();
    store.#generation = saved.get('generation').int(store.#generation, Number.MAX_SAFE_INTEGER / 2);
    const base = { home: '/' as StorePath, maxLength: HOST_QUOTA.pathLength };
    for (const each of saved.get('nodes').list(2 * MAX_XENSTORE_HOST_NODES)) {
      const [path, value, permissions] = each.tuple(3) as [Saved, Saved, Saved];
      try {
        store.#restoreNode(
          parsePath(path.text(HOST_QUOTA.pathLength), base, true),
          Buffer.from(value.bytes(XENSTORE_PAYLOAD_MAX)),
          parsePermissions(permissions.text(1024).split(' ')),
        );
      } catch (error) {
        throw error instanceof XenstoreError ? each.wrong('a node') : error;
      }
    }
    return store;
  }

  #restoreNode(path: StorePath, value: Buffer, permissions: Permissions): void {
    const parent = isSpecial(path) || path === '/' ? path : parentOf(path);
    if (this.#tree.get(parent) === undefined) throw new XenstoreError('ENOENT', `nothing above ${path}`);
    this.#tree = this.#tree.set(path, value, permissions, this.#next());
  }

  #next(): number {
    return ++this.#generation;
  }

  #tellSpecial(path: StorePath): void {
    this.replace(this.#tree, new Map([[path, false]]));
  }

  /** domain_tree_remove() and domain_adjust_node_perms() of xenstored. */
  #removeTraces(domid: number): void {
    const change = this.begin(Number.POSITIVE_INFINITY);
    for (const [path, { value, permissions }] of this.#tree.walk()) {
      if (change.tree.get(path) === undefined || permissions.every((each) => each.domid !== domid)) continue;
      const [owner, ...others] = permissions;
      if (owner.domid !== domid) {
        change.set(path, value, [owner, ...others.filter((each) => each.domid !== domid)]);
      } else if (isSpecial(path) || path === '/') {
        change.set(path, value, HOST_ONLY);
      } else {
        change.remove(path);
        change.changed(path, true);
      }
    }
    this.replace(change.tree, change.changes);
  }
}
