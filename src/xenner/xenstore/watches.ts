/** The watches of one client, and which of them a change concerns. */
import { XenstoreError } from './errors.js';
import { isBelow, parentOf, type StorePath } from './path.js';
import { MODE_READ, modeFor, type Subject } from './permissions.js';
import type { Changes } from './transaction.js';
import type { Tree } from './tree.js';

/** What was changed all at once. */
export interface Change {
  readonly before: Tree;
  readonly after: Tree;
  readonly paths: Changes;
}

interface Watch {
  readonly path: StorePath;
  readonly token: string;
  /** Characters that events leave out: those of the home of a relative path. */
  readonly skip: number;
}

export class WatchList {
  readonly #watches: Watch[] = [];
  #bytes = 0;

  constructor(
    private readonly subject: Subject & { readonly home: StorePath },
    private readonly event: (path: string, token: string) => void,
  ) {}

  get size(): number {
    return this.#watches.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws XenstoreError EEXIST */
  add(path: StorePath, token: string, relative: boolean): void {
    if (this.#find(path, token) >= 0) throw new XenstoreError('EEXIST', `${path} is watched with that token`);
    this.#watches.push({ path, token, skip: relative ? this.subject.home.length + 1 : 0 });
    this.#bytes += path.length + token.length;
  }

  /** @throws XenstoreError ENOENT */
  remove(path: StorePath, token: string): void {
    const at = this.#find(path, token);
    if (at < 0) throw new XenstoreError('ENOENT', `${path} is not watched with that token`);
    this.#watches.splice(at, 1);
    this.#bytes -= path.length + token.length;
  }

  clear(): void {
    this.#watches.length = 0;
    this.#bytes = 0;
  }

  /** What was above or at a change hears of it; what was below a node that is gone hears of itself. Each event comes once. */
  notify(change: Change): void {
    if (this.#watches.length === 0) return;
    const gone = new Set<Watch>();
    for (const [path, removed] of change.paths) {
      const known = this.#mayKnow(change, path);
      for (const watch of this.#watches) {
        if (isBelow(path, watch.path)) {
          if (known) this.event(path.slice(watch.skip), watch.token);
        } else if (removed && !gone.has(watch) && this.#isGone(change, watch, path)) {
          gone.add(watch);
          this.event(watch.path.slice(watch.skip), watch.token);
        }
      }
    }
  }

  /** Path, as the client wrote it, and token of each. */
  save(): [string, string][] {
    return this.#watches.map(({ path, token, skip }) => [path.slice(skip), token]);
  }

  /** `watch` was below the node that was removed at `path`, and is not told by a change of its own. */
  #isGone(change: Change, watch: Watch, path: StorePath): boolean {
    return (
      isBelow(watch.path, path) &&
      change.before.get(watch.path) !== undefined &&
      !change.paths.has(watch.path) &&
      this.#mayKnow(change, watch.path)
    );
  }

  /** The node or its parent can be read, now or before the change: watch_permitted() of xenstored. */
  #mayKnow({ before, after }: Change, path: StorePath): boolean {
    const parent = parentOf(path);
    return [before.get(path), after.get(path), before.get(parent), after.get(parent)].some(
      (node) => node !== undefined && (modeFor(this.subject, node.permissions) & MODE_READ) !== 0,
    );
  }

  #find(path: StorePath, token: string): number {
    return this.#watches.findIndex((watch) => watch.path === path && watch.token === token);
  }
}
