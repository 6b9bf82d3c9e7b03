/** What the builder needs of guest memory; GuestMemory of src/kvm has it. All of it is zero before the builder starts. */
import { type Gpa, gpa, VIEW_BYTES } from '../../kvm/guest-memory.js';
import type { ImageSource } from './image-source.js';

export const PAGE_BYTES = 4096;

export interface BuilderMemory {
  /** Bytes. */
  readonly size: number;
  /** A live view, which must not cross a multiple of VIEW_BYTES. @throws when it is not inside the memory */
  bytes(address: Gpa, length: number): Uint8Array;
}

export function pageGpa(pfn: number): Gpa {
  return gpa(pfn * PAGE_BYTES);
}

/** Reads [offset, offset + length) of an image straight into guest memory. */
export function loadRange(
  memory: BuilderMemory,
  address: Gpa,
  source: ImageSource,
  offset: number,
  length: number,
): void {
  forEachPiece(memory, address, length, (piece, at) => source.read(offset + at, piece));
}

/** Small enough to stay in the CPU's cache between reading and copying. */
const CHUNK_BYTES = 256 * 1024;
const ZERO_PAGE = Buffer.alloc(PAGE_BYTES);

/**
 * As loadRange, but leaves pages alone that would only receive zeros: up to half of a Linux image is, and every page that
 * is not touched is neither faulted in nor taken from the host. Meant for page-aligned addresses.
 */
export function loadSparse(
  memory: BuilderMemory,
  address: Gpa,
  source: ImageSource,
  offset: number,
  length: number,
): void {
  const scratch = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, length));
  for (let at = 0; at < length; at += scratch.length) {
    const chunk = scratch.subarray(0, Math.min(scratch.length, length - at));
    source.read(offset + at, chunk);
    forEachRun(chunk, (start, end) => {
      forEachPiece(memory, gpa(address + at + start), end - start, (piece, done) => {
        piece.set(chunk.subarray(start + done, start + done + piece.length));
      });
    });
  }
}

/** Visits the runs of pages that are not all zero. */
function forEachRun(chunk: Buffer, visit: (start: number, end: number) => void): void {
  let start = -1;
  for (let at = 0; at < chunk.length; at += PAGE_BYTES) {
    const end = Math.min(at + PAGE_BYTES, chunk.length);
    const zero = ZERO_PAGE.compare(chunk, at, end, 0, end - at) === 0;
    if (!zero && start < 0) start = at;
    if (zero && start >= 0) {
      visit(start, at);
      start = -1;
    }
  }
  if (start >= 0) visit(start, chunk.length);
}

/** Visits [address, address + length) in views as large as they may be. */
export function forEachPiece(
  memory: BuilderMemory,
  address: Gpa,
  length: number,
  visit: (piece: Uint8Array, at: number) => void,
): void {
  for (let at = 0; at < length; ) {
    const start = address + at;
    const size = Math.min(length - at, VIEW_BYTES - (start % VIEW_BYTES));
    visit(memory.bytes(gpa(start), size), at);
    at += size;
  }
}

/** A page-aligned piece as 32-bit words: entries are written in halves, because a BigInt each would take most of the time. */
export function words(piece: Uint8Array): Uint32Array {
  return new Uint32Array(piece.buffer, piece.byteOffset, piece.byteLength / 4);
}
