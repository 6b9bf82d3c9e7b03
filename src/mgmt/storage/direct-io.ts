/**
 * O_DIRECT: offsets, lengths and memory must be aligned. What is, goes through as it is; the rest by way of aligned memory, with
 * the rest of a block read first where only a part of it is written.
 */
import { alignedMemory } from '../../kvm/index.js';
import type { HostIo } from './host-io.js';
import { gather, scatter, slice, totalBytes } from './io-vector.js';
import { Serial } from './serial.js';

const BOUNCE_BYTES = 1024 * 1024;
const MAX_IDLE_BOUNCES = 4;
/** Logical blocks that there are; QEMU probes the same way (raw_probe_alignment in block/file-posix.c). */
const ALIGNMENTS = [512, 4096];

const isMisaligned = (error: unknown) => (error as NodeJS.ErrnoException).code === 'EINVAL';

/** The smallest read that the file takes. undefined: none. */
export async function probeAlignment(io: HostIo): Promise<number | undefined> {
  const memory = alignedMemory(Math.max(...ALIGNMENTS));
  for (const bytes of ALIGNMENTS) {
    try {
      await io.read(0, [memory.subarray(0, bytes)]);
      return bytes;
    } catch (error) {
      if (!isMisaligned(error)) throw error;
    }
  }
  return undefined;
}

export class DirectIo implements HostIo {
  readonly #io: HostIo;
  readonly #align: number;
  readonly #idle: Uint8Array[] = [];
  /** Nobody may write a block between the reading and the writing of who writes a part of it. */
  readonly #parts = new Serial();
  readonly #whole = new Set<Promise<void>>();
  #partsWaiting = 0;

  constructor(io: HostIo, align: number) {
    this.#io = io;
    this.#align = align;
  }

  async read(offset: number, into: readonly Uint8Array[]): Promise<number> {
    if (this.#isAligned(offset, into)) {
      try {
        return await this.#io.read(offset, into);
      } catch (error) {
        if (!isMisaligned(error)) throw error;
      }
    }
    const wanted = totalBytes(into);
    for (let done = 0; done < wanted; ) {
      const part = slice(into, done, this.#fits(offset + done, wanted - done));
      const count = await this.#readPart(offset + done, part);
      done += count;
      if (count < totalBytes(part)) return done;
    }
    return wanted;
  }

  async write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    if (offset % this.#align !== 0 || totalBytes(from) % this.#align !== 0)
      return this.#writeParts(offset, from);
    while (this.#partsWaiting > 0) await this.#parts.run(async () => undefined);
    const writing = this.#writeWhole(offset, from);
    this.#whole.add(writing);
    try {
      await writing;
    } finally {
      this.#whole.delete(writing);
    }
  }

  async #writeParts(offset: number, from: readonly Uint8Array[]): Promise<void> {
    this.#partsWaiting++;
    try {
      await this.#parts.run(async () => {
        await Promise.allSettled(this.#whole);
        await this.#bounce(offset, from);
      });
    } finally {
      this.#partsWaiting--;
    }
  }

  async #writeWhole(offset: number, from: readonly Uint8Array[]): Promise<void> {
    if (this.#isAligned(offset, from)) {
      try {
        await this.#io.write(offset, from);
        return;
      } catch (error) {
        if (!isMisaligned(error)) throw error;
      }
    }
    await this.#bounce(offset, from);
  }

  async #bounce(offset: number, from: readonly Uint8Array[]): Promise<void> {
    const wanted = totalBytes(from);
    for (let done = 0; done < wanted; ) {
      const length = this.#fits(offset + done, wanted - done);
      await this.#writePart(offset + done, slice(from, done, length));
      done += length;
    }
  }

  #isAligned(offset: number, buffers: readonly Uint8Array[]): boolean {
    return offset % this.#align === 0 && buffers.every(({ length }) => length % this.#align === 0);
  }

  /** How much of a range one bounce takes. */
  #fits(offset: number, length: number): number {
    return Math.min(length, BOUNCE_BYTES - (offset % this.#align));
  }

  #blocks(offset: number, length: number): { start: number; bytes: number } {
    const start = offset - (offset % this.#align);
    return { start, bytes: Math.ceil((offset + length - start) / this.#align) * this.#align };
  }

  async #readPart(offset: number, into: readonly Uint8Array[]): Promise<number> {
    const length = totalBytes(into);
    const { start, bytes } = this.#blocks(offset, length);
    return this.#bounced(async (memory) => {
      const count = Math.min(
        length,
        (await this.#io.read(start, [memory.subarray(0, bytes)])) - (offset - start),
      );
      scatter(memory.subarray(offset - start, offset - start + count), slice(into, 0, Math.max(0, count)));
      return Math.max(0, count);
    });
  }

  async #writePart(offset: number, from: readonly Uint8Array[]): Promise<void> {
    const length = totalBytes(from);
    const { start, bytes } = this.#blocks(offset, length);
    await this.#bounced(async (memory) => {
      const blocks = memory.subarray(0, bytes);
      if (bytes !== length) blocks.fill(0, await this.#io.read(start, [blocks]));
      gather(from, blocks.subarray(offset - start));
      await this.#io.write(start, [blocks]);
    });
  }

  async #bounced<T>(use: (memory: Uint8Array) => Promise<T>): Promise<T> {
    const memory = this.#idle.pop() ?? alignedMemory(BOUNCE_BYTES);
    try {
      return await use(memory);
    } finally {
      if (this.#idle.length < MAX_IDLE_BOUNCES) this.#idle.push(memory);
    }
  }
}
