/**
 * Guest RAM for TypeScript: checked accessors over the addon's mapping. Everything found there is hostile, and every
 * thread that attaches sees the same bytes at once.
 */
import { loadAddon, type NativeGuestMemory } from './addon.js';
import { allocateGuestMemory, type GuestMemoryOptions } from './guest-memory-backing.js';

/** A guest-physical address, in bytes. Any number may be tried: every accessor checks it. */
export type Gpa = number & { readonly __brand: 'Gpa' };

/** Names a number as a guest-physical address. */
export function gpa(value: number): Gpa {
  return value as Gpa;
}

/**
 * Guest memory is a row of views, made when they are first used: V8 counts each as if it were its own, and collects garbage when
 * they come to 32 MiB or so. Few of them are ever used but by disks and networks.
 */
export const VIEW_BYTES = 2 ** 20;

// Without %, which is slow on numbers of more than 31 bits.
function viewOf(address: number): number {
  return (address / VIEW_BYTES) | 0;
}

function offsetOf(address: number): number {
  return address - viewOf(address) * VIEW_BYTES;
}

/** An access outside the guest's memory: the caller did not ask `contains` first. */
export class GuestMemoryError extends RangeError {
  override readonly name = 'GuestMemoryError';
  readonly code = 'EGUESTMEMORY';

  constructor(what: string, address: number, length: number, size: number) {
    super(
      `${what}: ${length} bytes at guest address 0x${address.toString(16)}, memory ends at 0x${size.toString(16)}`,
    );
  }
}

interface Views {
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;
  readonly data: DataView;
}

/**
 * Aligned accesses are single loads and stores of the host's CPU, so another thread never sees half of one. Unaligned
 * ones may tear. All values are little-endian.
 */
export class GuestMemory {
  readonly native: NativeGuestMemory;
  #views: (Views | undefined)[] = [];
  #size: number;

  private constructor(native: NativeGuestMemory) {
    this.native = native;
    this.#size = native.bytes;
  }

  /**
   * New memory, all zeros. `bytes` is a multiple of 4096, at most 17 GiB; pages are taken from the host when touched. Throws
   * XennerError when the host has not what the options ask for.
   */
  static create(bytes: number, options: GuestMemoryOptions = {}): GuestMemory {
    return new GuestMemory(allocateGuestMemory(bytes, options));
  }

  /**
   * What writePagesTo() wrote, at `offset` of the file: pages are read when they are first touched, and what is written to them
   * stays here. The file may be closed, and must not change.
   */
  static fromFile(fd: number, offset: number, bytes: number): GuestMemory {
    return new GuestMemory(loadAddon().GuestMemory.fromFile(fd, offset, bytes));
  }

  /** The memory that another thread opened under this id. */
  static attach(id: number): GuestMemory {
    return new GuestMemory(loadAddon().GuestMemory.attach(id));
  }

  get id(): number {
    return this.native.id;
  }

  /** In bytes; 0 once closed. */
  get size(): number {
    return this.#size;
  }

  /** The file that it came from has been truncated since, or cannot be read: the guest has zeros instead. */
  get isDamaged(): boolean {
    return this.native.isDamaged;
  }

  /**
   * Writes a piece's pages that are not all zeros to a file, where the piece begins at `position`, and leaves the others alone.
   * Returns a sum over them: see sumOfPages. Throws the errors of pwrite.
   */
  writePagesTo(fd: number, position: number, address: Gpa, length: number): number {
    this.#check('writePagesTo', address, length);
    return this.native.writePagesTo(fd, position, address, length);
  }

  /**
   * Whole pages become zeros, and take no memory of the host's until they are touched. Those of a hugetlb pool are cleared and
   * stay, since nobody could promise that they would be there again.
   */
  discard(address: Gpa, length: number): void {
    this.#check('discard', address, length);
    this.native.discard(address, length);
  }

  /**
   * Reads a piece of a file into memory that is all zeros, and leaves pages alone that would receive only zeros. Returns how many
   * bytes the file had there, at most `length`. Throws the errors of pread.
   */
  readPagesFrom(fd: number, position: number, address: Gpa, length: number): number {
    this.#check('readPagesFrom', address, length);
    return this.native.readPagesFrom(fd, position, address, length);
  }

  /** The same with bytes. */
  copyPagesFrom(bytes: Uint8Array, address: Gpa): void {
    this.#check('copyPagesFrom', address, bytes.length);
    this.native.copyPagesFrom(bytes, address);
  }

  /** Writes `count` 64-bit words: `first`, `first + step`, and so on. The address is 8-aligned. */
  fillEntries(address: Gpa, count: number, first: bigint, step = 0n): void {
    this.#check('fillEntries', address, count * 8);
    this.native.fillEntries(address, count, first, step);
  }

  /** Whether [address, address + length) is inside. To be asked for every address that a guest gave. */
  contains(address: number, length: number): boolean {
    return (
      Number.isSafeInteger(address) &&
      Number.isSafeInteger(length) &&
      address >= 0 &&
      length >= 0 &&
      length <= this.#size &&
      address <= this.#size - length
    );
  }

  readU8(address: Gpa): number {
    this.#check('readU8', address, 1);
    return this.#view(address).u8[offsetOf(address)]!;
  }

  readU16(address: Gpa): number {
    this.#check('readU16', address, 2);
    const at = offsetOf(address);
    if ((at & 1) === 0) return this.#view(address).u16[at >>> 1]!;
    if (at + 2 <= VIEW_BYTES) return this.#view(address).data.getUint16(at, true);
    return this.#copied(address, 2).getUint16(0, true);
  }

  readU32(address: Gpa): number {
    this.#check('readU32', address, 4);
    const at = offsetOf(address);
    if ((at & 3) === 0) return this.#view(address).u32[at >>> 2]!;
    if (at + 4 <= VIEW_BYTES) return this.#view(address).data.getUint32(at, true);
    return this.#copied(address, 4).getUint32(0, true);
  }

  readU64(address: Gpa): bigint {
    this.#check('readU64', address, 8);
    const at = offsetOf(address);
    if ((at & 7) === 0) return this.#view(address).u64[at >>> 3]!;
    if (at + 8 <= VIEW_BYTES) return this.#view(address).data.getBigUint64(at, true);
    return this.#copied(address, 8).getBigUint64(0, true);
  }

  /** The 64 bits as a number: exact up to 2^53 - 1, NaN above, which no check accepts. Two loads: may tear. */
  readU64Number(address: Gpa): number {
    const low = this.readU32(address);
    const high = this.readU32(gpa(address + 4));
    return high < 2 ** 21 ? high * 2 ** 32 + low : Number.NaN;
  }

  /** out[0] the low, out[1] the high half of 64 bits, without a BigInt. Two loads: may tear. */
  readU32Pair(address: Gpa, out: Uint32Array): void {
    out[0] = this.readU32(address);
    out[1] = this.readU32(gpa(address + 4));
  }

  writeU8(address: Gpa, value: number): void {
    this.#check('writeU8', address, 1);
    this.#view(address).u8[offsetOf(address)] = value;
  }

  writeU16(address: Gpa, value: number): void {
    this.#check('writeU16', address, 2);
    const at = offsetOf(address);
    if ((at & 1) === 0) this.#view(address).u16[at >>> 1] = value;
    else this.#writeBytes(address, value, 2);
  }

  writeU32(address: Gpa, value: number): void {
    this.#check('writeU32', address, 4);
    const at = offsetOf(address);
    if ((at & 3) === 0) this.#view(address).u32[at >>> 2] = value;
    else this.#writeBytes(address, value, 4);
  }

  writeU64(address: Gpa, value: bigint): void {
    this.#check('writeU64', address, 8);
    const at = offsetOf(address);
    if ((at & 7) === 0) this.#view(address).u64[at >>> 3] = value;
    else this.writeU32Pair(address, Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn));
  }

  /** Low half first. Two stores: another thread may see one without the other. */
  writeU32Pair(address: Gpa, low: number, high: number): void {
    this.#check('writeU32Pair', address, 8);
    this.writeU32(address, low);
    this.writeU32(gpa(address + 4), high);
  }

  /** A live view, for what does not cross a multiple of VIEW_BYTES (a page never does); GuestMemoryError otherwise. */
  bytes(address: Gpa, length: number): Uint8Array {
    this.#check('bytes', address, length);
    const offset = offsetOf(address);
    if (offset + length > VIEW_BYTES)
      throw new GuestMemoryError('bytes across two views', address, length, this.#size);
    if (length === 0) return new Uint8Array(0);
    return this.#view(address).u8.subarray(offset, offset + length);
  }

  /**
   * The live views of all bytes from VIEW_BYTES * `index` on, up to the next one's or the end: for those who check frame numbers
   * themselves, and make no object for an access. GuestMemoryError where there are none.
   */
  view(index: number): Views {
    return this.#views[index] ?? this.#open(index);
  }

  /** A copy of the bytes: what is to be validated is copied once and then looked at. */
  copyOut(address: Gpa, length: number): Uint8Array {
    this.#check('copyOut', address, length);
    const target = new Uint8Array(length);
    this.#pieces(address, length, (piece, at) => target.set(piece, at));
    return target;
  }

  copyIn(address: Gpa, source: Uint8Array): void {
    this.#check('copyIn', address, source.length);
    this.#pieces(address, source.length, (piece, at) => piece.set(source.subarray(at, at + piece.length)));
  }

  fill(address: Gpa, length: number, value: number): void {
    this.#check('fill', address, length);
    this.#pieces(address, length, (piece) => piece.fill(value));
  }

  /** Sets bits atomically for every thread of the host; returns the value before. The address is 4-aligned. */
  atomicOr32(address: Gpa, bits: number): number {
    return Atomics.or(this.#atomic('atomicOr32', address), offsetOf(address) >>> 2, bits);
  }

  atomicAnd32(address: Gpa, bits: number): number {
    return Atomics.and(this.#atomic('atomicAnd32', address), offsetOf(address) >>> 2, bits);
  }

  atomicLoad32(address: Gpa): number {
    return Atomics.load(this.#atomic('atomicLoad32', address), offsetOf(address) >>> 2);
  }

  atomicStore32(address: Gpa, value: number): void {
    Atomics.store(this.#atomic('atomicStore32', address), offsetOf(address) >>> 2, value);
  }

  /** Returns the value before: the exchange happened if it is `expected`. */
  compareExchange32(address: Gpa, expected: number, replacement: number): number {
    const words = this.#atomic('compareExchange32', address);
    return Atomics.compareExchange(words, offsetOf(address) >>> 2, expected, replacement);
  }

  /** Idempotent. Views that were handed out are empty from now on; this object's accessors throw. */
  close(): void {
    this.#size = 0;
    this.#views = [];
    this.native.close();
  }

  #check(what: string, address: number, length: number): void {
    if (!this.contains(address, length)) throw new GuestMemoryError(what, address, length, this.#size);
  }

  #view(address: number): Views {
    return this.view(viewOf(address));
  }

  #open(index: number): Views {
    const start = index * VIEW_BYTES;
    this.#check('view', start, 1);
    const buffer = this.native.view(start, Math.min(VIEW_BYTES, this.#size - start));
    const views = {
      u8: new Uint8Array(buffer),
      u16: new Uint16Array(buffer),
      u32: new Uint32Array(buffer),
      u64: new BigUint64Array(buffer),
      data: new DataView(buffer),
    };
    this.#views[index] = views;
    return views;
  }

  #atomic(what: string, address: number): Uint32Array {
    this.#check(what, address, 4);
    if ((offsetOf(address) & 3) !== 0)
      throw new GuestMemoryError(`${what} unaligned`, address, 4, this.#size);
    return this.#view(address).u32;
  }

  /** For the rare value that lies across two views. */
  #copied(address: Gpa, length: number): DataView {
    return new DataView(this.copyOut(address, length).buffer);
  }

  /** Unaligned: byte by byte, whatever views it touches. */
  #writeBytes(address: Gpa, value: number, length: number): void {
    for (let i = 0; i < length; i++) this.writeU8(gpa(address + i), value >>> (8 * i));
  }

  #pieces(address: number, length: number, visit: (piece: Uint8Array, at: number) => void): void {
    for (let at = 0; at < length; ) {
      const offset = offsetOf(address + at);
      const size = Math.min(length - at, VIEW_BYTES - offset);
      visit(this.#view(address + at).u8.subarray(offset, offset + size), at);
      at += size;
    }
  }
}

/** CRC-32 over the pages that are not all zeros, each with its number before it: what writePagesTo() returned for them. */
export function sumOfPages(bytes: Uint8Array): number {
  return loadAddon().GuestMemory.sum(bytes);
}
