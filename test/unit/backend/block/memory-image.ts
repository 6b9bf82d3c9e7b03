/** A disk in memory whose requests end when the test says so: for what has an order, or fails. */
import type { BlockImage } from '../../../../src/xenner/backend/block/block-image.js';

interface Call {
  what: 'read' | 'write' | 'flush' | 'discard';
  /** Sizes of the buffers. */
  views: number[];
  offset: number;
  end(error?: Error): void;
}

export class MemoryImage implements BlockImage {
  readonly bytes: Buffer;
  sectorBytes = 512;
  readOnly = false;
  canDiscard = true;
  /** Requests wait in `calls` until they are ended. */
  held = false;
  calls: Call[] = [];
  #arrived: () => void = () => {};

  constructor(readonly sizeBytes = 4 * 1024 * 1024) {
    this.bytes = Buffer.alloc(sizeBytes);
    for (let i = 0; i < sizeBytes; i += 4) this.bytes.writeUInt32LE((i * 0x9e3779b1) >>> 0, i);
  }

  /** Resolves when so many requests wait. */
  async waiting(count: number): Promise<Call[]> {
    while (this.calls.length < count)
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    return this.calls;
  }

  read(offset: number, into: readonly Uint8Array[]): Promise<void> {
    return this.#call('read', offset, into, () => {
      let at = offset;
      for (const view of into) at += this.bytes.copy(view, 0, at, at + view.length);
    });
  }
  write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    return this.#call('write', offset, from, () => {
      let at = offset;
      for (const view of from) {
        this.bytes.set(view, at);
        at += view.length;
      }
    });
  }
  flush(): Promise<void> {
    return this.#call('flush', 0, [], () => {});
  }
  discard(offset: number, length: number): Promise<void> {
    return this.#call('discard', offset, [], () => this.bytes.fill(0, offset, offset + length));
  }
  writeZeroes(offset: number, length: number): Promise<void> {
    return this.discard(offset, length);
  }
  async close(): Promise<void> {}

  #call(what: Call['what'], offset: number, views: readonly Uint8Array[], act: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (error?: Error) => {
        this.calls = this.calls.filter((other) => other !== call);
        if (error) return reject(error);
        act();
        resolve();
      };
      const call: Call = { what, offset, views: views.map(({ length }) => length), end };
      this.calls.push(call);
      this.#arrived();
      if (!this.held) end();
    });
  }
}
