/** Output of a decompressor that works block by block, with a limit on the whole. */
import { XennerError } from '../../base/errors.js';

export class OutputBuffer {
  private readonly blocks: Uint8Array[] = [];
  private length = 0;

  constructor(private readonly maxBytes: number) {}

  /** Bytes that still fit. */
  get room(): number {
    return this.maxBytes - this.length;
  }

  /** @throws XennerError EIMAGE_TOO_BIG when `size` more bytes would be too many */
  need(size: number): void {
    if (size > this.room) throw tooBig(this.maxBytes);
  }

  /** Keeps `block` as it is: the caller must not change it. */
  append(block: Uint8Array): void {
    this.need(block.length);
    this.blocks.push(block);
    this.length += block.length;
  }

  bytes(): Buffer {
    return Buffer.concat(this.blocks, this.length);
  }
}

export function tooBig(maxBytes: number): XennerError {
  return new XennerError('EIMAGE_TOO_BIG', `the kernel would expand to more than ${maxBytes} bytes`);
}

export function damagedStream(format: string, cause?: unknown): XennerError {
  const text = `the kernel is damaged: its ${format} data is broken or cut off`;
  return new XennerError('EIMAGE_DAMAGED', text, undefined, { cause });
}
