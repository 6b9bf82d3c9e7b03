/** Asynchronous I/O on files: many requests at once, begun and ended in batches, by io_uring where the host lets us. */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { XennerError } from '../base/errors.js';
import { loadAddon, type NativeFileIo } from './addon.js';
import { createNotifier, type Notifier } from './notifier.js';

export const FILE_ENGINES = ['io_uring', 'threads'] as const;
export type FileEngineName = (typeof FILE_ENGINES)[number];

export interface FileIoOptions {
  /** By default io_uring, and threads where there is none. */
  readonly engine?: FileEngineName | undefined;
  /** Of the engine `threads`; default 4. */
  readonly threads?: number;
}

interface Pending {
  readonly what: string;
  /** Not to be collected as long as the kernel may use them. */
  readonly buffers: readonly Uint8Array[] | undefined;
  resolve(result: number): void;
  reject(error: Error): void;
}

const DEFAULT_THREADS = 4;
/** Results that are passed at once. */
const BATCH = 256;
/** Why there is no io_uring: an old kernel, kernel.io_uring_disabled or a filter, the limits of old kernels on locked memory. */
const NO_URING: readonly string[] = ['ENOSYS', 'EPERM', 'EACCES', 'EINVAL', 'ENOMEM'];

function systemError(errno: number, what: string): Error {
  const [code, text] = getSystemErrorMap().get(errno) ?? ['EUNKNOWN', `error ${-errno}`];
  return Object.assign(new Error(`${code}: ${text}, ${what}`), { code, errno, syscall: what });
}

/**
 * For one thread. Buffers may be guest memory, which stays mapped until requests that use it have ended, even if it is closed; those
 * of others must not be transferred away meanwhile. The process stays alive while something is under way.
 *
 * Rejections are errors with a POSIX `code`. A request ends when all of it is done: EINTR and system calls that do less than they were
 * asked to are not seen outside.
 */
export class FileIo {
  readonly engine: FileEngineName;
  readonly #native: NativeFileIo;
  readonly #notifier: Notifier;
  readonly #results = new Float64Array(2 * BATCH);
  readonly #pending: Array<Pending | undefined> = [];
  readonly #freeIds: number[] = [];
  #underWay = 0;
  #flushing = false;
  #closed = false;
  #idle: Array<() => void> = [];

  /** @throws XennerError ENO_URING: io_uring was asked for and there is none */
  constructor(options: FileIoOptions = {}) {
    this.#notifier = createNotifier(() => this.#ended(this.#native.reap()));
    try {
      [this.engine, this.#native] = this.#open(options);
    } catch (error) {
      this.#notifier.close();
      throw error;
    }
  }

  /** Fills the buffers from `position` on. Answers how many bytes there were: fewer than asked for only at the file's end. */
  readv(fd: number, buffers: readonly Uint8Array[], position: number): Promise<number> {
    return this.#begin('readv', buffers, (id, held) => this.#native.transfer(id, 0, fd, position, held));
  }

  /** Answers how many bytes that were: all. */
  writev(fd: number, buffers: readonly Uint8Array[], position: number): Promise<number> {
    return this.#begin('writev', buffers, (id, held) => this.#native.transfer(id, 1, fd, position, held));
  }

  async fdatasync(fd: number): Promise<void> {
    await this.#begin('fdatasync', undefined, (id) => this.#native.call(id, fd));
  }

  /** @param mode FALLOC_FL_* of linux/falloc.h */
  async fallocate(fd: number, mode: number, offset: number, length: number): Promise<void> {
    await this.#begin('fallocate', undefined, (id) => this.#native.call(id, fd, mode, offset, length));
  }

  /** Waits for what is under way. Idempotent; what is asked for afterwards is refused with EBADF. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#underWay > 0)
      await new Promise<void>((resolve) => {
        this.#idle.push(resolve);
      });
    this.#notifier.close();
    this.#native.close();
  }

  #open({ engine, threads = DEFAULT_THREADS }: FileIoOptions): [FileEngineName, NativeFileIo] {
    const { FileIo: Native } = loadAddon();
    const start = (count: number) => new Native(count, this.#notifier.id, this.#results);
    if (engine === 'threads') return ['threads', start(threads)];
    try {
      return ['io_uring', start(0)];
    } catch (cause) {
      const { code = '' } = cause as NodeJS.ErrnoException;
      if (!NO_URING.includes(code)) throw cause;
      if (engine === undefined) return ['threads', start(threads)];
      throw new XennerError(
        'ENO_URING',
        `this host has no io_uring for us (${code})`,
        'set kernel.io_uring_disabled to 0, or use threads',
        { cause },
      );
    }
  }

  #begin(
    what: string,
    buffers: readonly Uint8Array[] | undefined,
    submit: (id: number, buffers: readonly Uint8Array[]) => void,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw systemError(-constants.errno.EBADF, what);
      const id = this.#freeIds.pop() ?? this.#pending.length;
      const held = buffers?.slice();
      this.#pending[id] = { what, buffers: held, resolve, reject };
      try {
        submit(id, held ?? []);
      } catch (error) {
        this.#free(id);
        throw error;
      }
      if (this.#underWay++ === 0) this.#notifier.hold(true);
      this.#flushSoon();
    });
  }

  /** Once in a turn of the event loop, whatever is asked for in it; a chain of requests that end at once lets others have theirs. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      if (this.#underWay > 0) this.#ended(this.#native.flush());
    });
  }

  #ended(first: number): void {
    for (let count = first; count > 0; ) {
      for (let i = 0; i < count; i++) this.#settle(this.#results[2 * i]!, this.#results[2 * i + 1]!);
      count = count === BATCH ? this.#native.reap() : 0;
    }
    if (this.#underWay > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #settle(id: number, result: number): void {
    const { what, resolve, reject } = this.#pending[id]!;
    this.#free(id);
    if (--this.#underWay === 0) this.#notifier.hold(false);
    if (result < 0) reject(systemError(result, what));
    else resolve(result);
  }

  #free(id: number): void {
    this.#pending[id] = undefined;
    this.#freeIds.push(id);
  }
}

let shared: FileIo | undefined;

/** This thread's, made when it is first asked for; of the engine that XENNER_FILE_IO names, if it names one. */
export function fileIo(): FileIo {
  if (shared === undefined) {
    const engine = process.env.XENNER_FILE_IO;
    if (engine !== undefined && !isEngine(engine))
      throw new XennerError('EINVAL', `XENNER_FILE_IO is '${engine}'`, `use ${FILE_ENGINES.join(' or ')}`);
    shared = new FileIo({ engine });
  }
  return shared;
}

function isEngine(name: string): name is FileEngineName {
  return (FILE_ENGINES as readonly string[]).includes(name);
}

/** Takes O_NONBLOCK off an open file: with it io_uring may wait for the disk on the thread that asks. */
export function clearNonblock(fd: number): void {
  loadAddon().clearNonblock(fd);
}
