/** The store for back ends and the toolstack, in this process: calls, and callbacks for watches. */
import { Client } from './client.js';
import { XenstoreError } from './errors.js';
import type { Xenstore } from './store.js';

/** Something that goes on until close(), which is idempotent. */
export interface Closable {
  close(): void;
}

/** Reading and writing, by itself or as a part of a transaction. Paths may be relative to the domain's home. */
export class XenstoreView {
  constructor(
    protected readonly client: Client,
    private readonly id: number,
  ) {}

  /** The value as text; undefined: there is no such node. @throws XenstoreError for anything else */
  read(path: string): string | undefined {
    return this.readBytes(path)?.toString('utf8');
  }

  readBytes(path: string): Buffer | undefined {
    return orUndefined(() => Buffer.from(this.client.read(path, this.id)));
  }

  /** A decimal number from `min` to `max`; undefined: there is none. What a guest wrote is no reason to throw. */
  readInt(path: string, min = 0, max = Number.MAX_SAFE_INTEGER): number | undefined {
    const text = this.read(path);
    if (text === undefined || !/^-?\d{1,16}$/.test(text)) return undefined;
    const value = Number(text);
    return value >= min && value <= max ? value : undefined;
  }

  exists(path: string): boolean {
    return orUndefined(() => this.client.generation(path, this.id)) !== undefined;
  }

  /** Names of the children; undefined: there is no such node. */
  directory(path: string): string[] | undefined {
    return orUndefined(() => this.client.directory(path, this.id));
  }

  /** Missing parents are made. A number is written in decimal. */
  write(path: string, value: string | number | Uint8Array): void {
    const bytes = value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(`${value}`, 'utf8');
    this.client.write(path, bytes, this.id);
  }

  mkdir(path: string): void {
    this.client.mkdir(path, this.id);
  }

  /** With everything below; nothing happens if it is not there. */
  rm(path: string): void {
    orUndefined(() => this.client.rm(path, this.id));
  }

  /** As `['n0', 'r5']`: owned by 0, readable for 5; undefined: there is no such node. */
  getPerms(path: string): string[] | undefined {
    return orUndefined(() => this.client.permissions(path, this.id));
  }

  setPerms(path: string, permissions: readonly string[]): void {
    this.client.setPermissions(path, permissions, this.id);
  }
}

function orUndefined<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof XenstoreError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

export class XenstoreHandle extends XenstoreView implements Closable {
  readonly #callbacks = new Map<string, (path: string) => void>();
  /** Events that were not told yet, each once: token to paths. */
  readonly #pending = new Map<string, Set<string>>();
  #nextToken = 0;
  #closed = false;

  constructor(store: Xenstore, domid: number) {
    super(new Client(store, domid, { event: (path, token) => this.#event(path, token), queuedBytes: 0 }), 0);
  }

  get domid(): number {
    return this.client.domid;
  }

  /**
   * What `act` does is seen all at once, and causes each event once; if it throws, nothing was done. Others of this process cannot
   * come between, since `act` does not wait, so it is never done twice.
   */
  transaction<T>(act: (view: XenstoreView) => T): T {
    const id = this.client.startTransaction();
    let done = false;
    try {
      const result = act(new XenstoreView(this.client, id));
      done = true;
      return result;
    } finally {
      this.client.endTransaction(id, done);
    }
  }

  /**
   * Calls back with the path that changed: once at first, with `path` itself, and after changes at it or below. Never
   * during a call of this handle; changes that come together may be one call.
   */
  watch(path: string, callback: (changed: string) => void): Closable {
    const token = `${this.#nextToken++}`;
    this.client.watch(path, token);
    this.#callbacks.set(token, callback);
    return {
      close: () => {
        if (this.#callbacks.delete(token) && !this.#closed) this.client.unwatch(path, token);
      },
    };
  }

  /**
   * Resolves with what `look` gives, as soon as it is not undefined; it looks now and whenever something at `path` changes.
   * Rejects with the signal's reason; AbortSignal.timeout() bounds the time.
   */
  waitFor<T>(path: string, look: (view: XenstoreView) => T | undefined, signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        watch.close();
        signal?.removeEventListener('abort', abort);
        settle();
      };
      const abort = () => finish(() => reject(signal?.reason));
      const watch = this.watch(path, () => {
        try {
          const found = look(this);
          if (found !== undefined) finish(() => resolve(found));
        } catch (error) {
          finish(() => reject(error));
        }
      });
      if (signal?.aborted) abort();
      else signal?.addEventListener('abort', abort);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#callbacks.clear();
    this.client.close();
  }

  #event(path: string, token: string): void {
    if (this.#pending.size === 0) queueMicrotask(() => this.#deliver());
    const paths = this.#pending.get(token) ?? new Set();
    this.#pending.set(token, paths.add(path));
  }

  #deliver(): void {
    const pending = [...this.#pending];
    this.#pending.clear();
    for (const [token, paths] of pending) for (const path of paths) this.#callbacks.get(token)?.(path);
  }
}
