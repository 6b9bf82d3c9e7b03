/**
 * A file in memory that remembers in which order it was written and synced, so that it can be looked at as a crash would have left
 * it. What was written when a sync began is on the disk when the sync has ended; of everything else any sectors may be, in any
 * order. Calls take random time, so that they overtake each other.
 */
import { setImmediate } from 'node:timers/promises';
import { fillZero, gather, scatter, totalBytes } from '../../src/mgmt/storage/io-vector.js';
import type { ByteStore } from '../../src/mgmt/storage/storage-file.js';
import type { Random } from './random.js';

const SECTOR = 512;

interface Change {
  readonly issued: number;
  done: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Counts what happens, in the store and to the disk above it. */
export class Clock {
  now = 0;
  tick(): number {
    return ++this.now;
  }
}

export class CrashStore implements ByteStore {
  readonly path = 'a file in memory';
  readonly readOnly = false;
  readonly cache = 'writeback';
  readonly blockBytes = 1;
  readonly isDevice = false;
  /** Of a hundred writes and syncs, so many fail. */
  failing = 0;
  #content: Buffer;
  readonly #before: Buffer;
  readonly #changes: Change[] = [];
  readonly #syncs: { readonly issued: number; readonly done: number }[] = [];

  constructor(
    content: Uint8Array,
    private readonly clock: Clock,
    private readonly random: Random,
  ) {
    this.#content = Buffer.from(content);
    this.#before = Buffer.from(content);
  }

  get sizeBytes(): number {
    return this.#content.length;
  }

  get content(): Uint8Array {
    return this.#content;
  }

  async read(offset: number, into: readonly Uint8Array[]): Promise<number> {
    await this.#delay();
    fillZero(into);
    const there = this.#content.subarray(offset, offset + totalBytes(into));
    scatter(Buffer.concat([there], totalBytes(into)), into);
    return there.length;
  }

  write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    return this.#change(offset, gather(from));
  }

  async punch(offset: number, length: number): Promise<boolean> {
    const end = Math.min(offset + length, this.#content.length);
    if (end > offset) await this.#change(offset, new Uint8Array(end - offset));
    return true;
  }

  async zero(): Promise<boolean> {
    return false;
  }

  async sync(): Promise<void> {
    const issued = this.clock.tick();
    await this.#delay();
    this.#mayFail();
    this.#syncs.push({ issued, done: this.clock.tick() });
  }

  async truncate(): Promise<void> {
    throw new Error('an open image never does this');
  }

  async dataAt(): Promise<undefined> {
    throw new Error('an open image never does this');
  }

  async dataRanges(): Promise<never> {
    throw new Error('an open image never does this');
  }

  async close(): Promise<void> {}

  get hasChanges(): boolean {
    return this.#changes.length > 0;
  }

  /** Any time, or one at which something has just been written that few things are. */
  moment(random: Random): number {
    if (random.below(4) === 0) return random.below(this.clock.now) + 1;
    // No table but the L1 table, and no part of the header, is whole sectors.
    const short = this.#changes.filter(({ bytes }) => bytes.length % SECTOR !== 0);
    const among = short.length > 0 && random.below(2) === 0 ? short : this.#changes;
    const place = random.pick(among).offset;
    const change = random.pick(among.filter(({ offset }) => offset === place));
    return change.issued + random.below(8);
  }

  /** What a crash at `time` leaves, one of many possibilities. */
  afterCrash(time: number, random: Random): Buffer {
    const synced = Math.max(0, ...this.#syncs.filter(({ done }) => done <= time).map(({ issued }) => issued));
    let file = Buffer.from(this.#before);
    // All of what is not safe, none of it, or any sectors of it.
    const luck = random.pick([0, 0, 50, 50, 50, 100]);
    for (const { issued, done, offset, bytes } of this.#changes) {
      if (issued > time) continue;
      const end = offset + bytes.length;
      const isSafe = done <= synced;
      for (let at = offset; at < end; ) {
        const next = Math.min(end, at - (at % SECTOR) + SECTOR);
        if (isSafe || random.below(100) < luck) {
          if (next > file.length) file = Buffer.concat([file], next);
          file.set(bytes.subarray(at - offset, next - offset), at);
        }
        at = next;
      }
    }
    return file;
  }

  async #change(offset: number, bytes: Uint8Array): Promise<void> {
    const change = { issued: this.clock.tick(), done: Number.POSITIVE_INFINITY, offset, bytes };
    this.#changes.push(change);
    await this.#delay();
    if (this.random.below(100) < this.failing) {
      // Some of it may be there all the same.
      this.#apply(offset, bytes.subarray(0, this.random.below(bytes.length / SECTOR) * SECTOR));
      throw Object.assign(new Error('EIO: as told'), { code: 'EIO' });
    }
    this.#apply(offset, bytes);
    change.done = this.clock.tick();
  }

  #apply(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length;
    if (end > this.#content.length) this.#content = Buffer.concat([this.#content], end);
    this.#content.set(bytes, offset);
  }

  #mayFail(): void {
    if (this.random.below(100) < this.failing)
      throw Object.assign(new Error('ENOSPC: as told'), { code: 'ENOSPC' });
  }

  async #delay(): Promise<void> {
    for (let i = this.random.below(4); i > 0; i--) await setImmediate();
  }
}
