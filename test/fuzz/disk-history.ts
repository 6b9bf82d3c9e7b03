/** What each sector of a disk may hold after a crash: what was flushed, or anything that was written since. */
import { setImmediate } from 'node:timers/promises';
import type { BlockImage } from '../../src/xenner/backend/block/block-image.js';
import type { Clock } from './crash-store.js';

const SECTOR = 512;
const ZEROS = Buffer.alloc(SECTOR);

interface Version {
  readonly issued: number;
  done: number;
  readonly bytes: Uint8Array;
  /** A discard: it may leave what was there. */
  readonly optional: boolean;
}

/** An image that takes note of what is asked of it. */
export class DiskHistory implements BlockImage {
  readonly readOnly = false;
  readonly canDiscard = true;
  readonly sizeBytes: number;
  readonly sectorBytes: number;
  readonly #versions: Version[][];
  readonly #flushes: { readonly issued: number; readonly done: number }[] = [];

  constructor(
    private readonly image: BlockImage,
    private readonly before: Uint8Array,
    private readonly clock: Clock,
  ) {
    this.sizeBytes = image.sizeBytes;
    this.sectorBytes = image.sectorBytes;
    this.#versions = Array.from({ length: this.sizeBytes / SECTOR }, () => []);
  }

  read(offset: number, into: readonly Uint8Array[]): Promise<void> {
    return this.image.read(offset, into);
  }

  write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    return this.#noted(offset, Buffer.concat(from), false, () => this.image.write(offset, from));
  }

  writeZeroes(offset: number, length: number, options?: { mayUnmap?: boolean }): Promise<void> {
    return this.#noted(offset, Buffer.alloc(length), false, () =>
      this.image.writeZeroes(offset, length, options),
    );
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#noted(offset, Buffer.alloc(length), true, () => this.image.discard(offset, length));
  }

  async flush(): Promise<void> {
    const issued = this.clock.tick();
    await this.image.flush();
    this.#flushes.push({ issued, done: this.clock.tick() });
  }

  close(): Promise<void> {
    return this.image.close();
  }

  /** Why a disk cannot be what a crash at `time` leaves; undefined: it can. */
  complaint(time: number, disk: Uint8Array): string | undefined {
    const flushed = Math.max(
      0,
      ...this.#flushes.filter(({ done }) => done <= time).map(({ issued }) => issued),
    );
    for (const [sector, versions] of this.#versions.entries()) {
      const at = sector * SECTOR;
      const found = disk.subarray(at, at + SECTOR);
      const safe = versions.filter((version) => version.done <= flushed && !version.optional).at(-1);
      const later = versions.filter((version) => version.issued <= time && version !== safe);
      const from = safe === undefined ? 0 : versions.indexOf(safe);
      const base = safe?.bytes ?? this.before.subarray(at, at + SECTOR);
      const allowed = [
        base,
        ...later
          .filter((version) => versions.indexOf(version) > from || safe === undefined)
          .map(({ bytes }) => bytes),
      ];
      if (!allowed.some((bytes) => Buffer.compare(bytes, found) === 0))
        return `sector ${sector} is none of the ${allowed.length} that it may be${Buffer.compare(found, ZEROS) === 0 ? ', but zeros' : ''}`;
    }
    return undefined;
  }

  async #noted(
    offset: number,
    bytes: Uint8Array,
    optional: boolean,
    change: () => Promise<void>,
  ): Promise<void> {
    const issued = this.clock.tick();
    const versions: Version[] = [];
    for (let at = 0; at < bytes.length; at += SECTOR) {
      const version = {
        issued,
        done: Number.POSITIVE_INFINITY,
        bytes: bytes.slice(at, at + SECTOR),
        optional,
      };
      this.#versions[(offset + at) / SECTOR]?.push(version);
      versions.push(version);
    }
    await change();
    const done = this.clock.tick();
    for (const version of versions) version.done = done;
    await setImmediate();
  }
}
