/** Guest linear addresses for the hypervisor: a page-table walk in software, with Xen's rules for what may be reached. */
import type { CStruct, Encodable } from '../../base/layout.js';
import { type Gpa, type GuestMemory, gpa } from '../../kvm/guest-memory.js';
import { HOLE_END, HOLE_START, type VcpuArea } from '../monitor/vcpu-area.js';

const PAGE = 4096;
const PRESENT = 1;
const WRITABLE = 2;
const ACCESSED = 0x20;
const DIRTY = 0x40;
const LARGE = 0x80;
const ADDRESS_HIGH = 0xfffff;
const TWO_32 = 2 ** 32;
/** The widest store of a guest's CPU that Xen uses for one value. */
const VALUE_BYTES = 8;

export class GuestAccess {
  constructor(
    private readonly memory: GuestMemory,
    private readonly area: VcpuArea,
  ) {}

  /** Guest-physical address of the L1 entry that maps `va`, or -1. Any L4 may be given; default: the one in use. */
  l1EntryOf(va: bigint, l4: number = Number(this.area.get('cr3'))): number {
    const low = Number(va & 0xffffffffn);
    const high = Number((va >> 32n) & 0xffffn);
    return this.#walk(low, high, l4, false);
  }

  /**
   * Guest-physical address of one byte, or -1 if it is not mapped, or not writable when `write`. Addresses in Xen's
   * hole are not the guest's to name (access_ok).
   */
  translate(va: bigint, write: boolean): number {
    if (va >= HOLE_START && va < HOLE_END) return -1;
    const low = Number(va & 0xffffffffn);
    const high = Number(va >> 32n);
    if (high >>> 15 !== 0 && high >>> 15 !== 0x1ffff) return -1;
    const entryAt = this.#walk(low, high & 0xffff, Number(this.area.get('cr3')), write);
    if (entryAt < 0) return -1;
    const entry = this.memory.readU32(gpa(entryAt));
    if ((entry & PRESENT) === 0 || (write && (entry & WRITABLE) === 0)) return -1;
    const marks = write ? ACCESSED | DIRTY : ACCESSED;
    // As a CPU does: Xen itself goes through the guest's tables.
    if ((entry & marks) !== marks) this.memory.writeU32(gpa(entryAt), (entry | marks) >>> 0);
    const page = (this.memory.readU32(gpa(entryAt + 4)) & ADDRESS_HIGH) * TWO_32 + ((entry & ~0xfff) >>> 0);
    return this.memory.contains(page, PAGE) ? page + (low & 0xfff) : -1;
  }

  /** A private copy of `length` bytes, or undefined where Xen answers -EFAULT. */
  read(va: bigint, length: number): Uint8Array | undefined {
    const copy = new Uint8Array(length);
    const done = this.#pieces(va, length, false, (piece, at) => copy.set(piece, at));
    return done ? copy : undefined;
  }

  /**
   * Returns false where Xen answers -EFAULT; a part may be written then, but of a single value, which a CPU stores at
   * once, nothing.
   */
  write(va: bigint, bytes: Uint8Array): boolean {
    if (bytes.length <= VALUE_BYTES && !this.#endsWritable(va, bytes.length)) return false;
    return this.#pieces(va, bytes.length, true, (piece, at) =>
      piece.set(bytes.subarray(at, at + piece.length)),
    );
  }

  /** One structure of a public header, decoded from a private copy. */
  readStruct<T extends object>(layout: CStruct<T>, va: bigint): T | undefined {
    const bytes = this.read(va, layout.size);
    return bytes === undefined ? undefined : layout.decode(bytes);
  }

  /** Writes a structure whole: members that `value` leaves out keep what the guest had there. */
  writeStruct<T extends object>(layout: CStruct<T>, va: bigint, value: Encodable<T>): boolean {
    const bytes = this.read(va, layout.size);
    if (bytes === undefined) return false;
    layout.encode(value, bytes);
    return this.write(va, bytes);
  }

  readU32(va: bigint): number | undefined {
    const bytes = this.read(va, 4);
    return bytes === undefined ? undefined : new DataView(bytes.buffer).getUint32(0, true);
  }

  writeU32(va: bigint, value: number): boolean {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    return this.write(va, bytes);
  }

  readU64(va: bigint): bigint | undefined {
    const bytes = this.read(va, 8);
    return bytes === undefined ? undefined : new DataView(bytes.buffer).getBigUint64(0, true);
  }

  writeU64(va: bigint, value: bigint): boolean {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    return this.write(va, bytes);
  }

  /** Whether the last byte can be written, if it lies in another page than the first. */
  #endsWritable(va: bigint, length: number): boolean {
    if (Number(va & 0xfffn) + length <= PAGE) return true;
    return this.translate(BigInt.asUintN(64, va + BigInt(length - 1)), true) >= 0;
  }

  #walk(low: number, high: number, l4: number, write: boolean): number {
    const indexes = [(high >>> 7) & 511, ((high & 0x7f) << 2) | (low >>> 30), (low >>> 21) & 511];
    let table = l4 - (l4 % PAGE);
    for (const index of indexes) {
      if (!this.memory.contains(table, PAGE)) return -1;
      const entry = this.memory.readU32(gpa(table + index * 8));
      if ((entry & PRESENT) === 0 || (entry & LARGE) !== 0 || (write && (entry & WRITABLE) === 0)) return -1;
      table =
        (this.memory.readU32(gpa(table + index * 8 + 4)) & ADDRESS_HIGH) * TWO_32 + ((entry & ~0xfff) >>> 0);
    }
    return this.memory.contains(table, PAGE) ? table + ((low >>> 12) & 511) * 8 : -1;
  }

  #pieces(
    va: bigint,
    length: number,
    write: boolean,
    visit: (piece: Uint8Array, at: number) => void,
  ): boolean {
    for (let at = 0; at < length; ) {
      const address = BigInt.asUintN(64, va + BigInt(at));
      const physical = this.translate(address, write);
      if (physical < 0) return false;
      const size = Math.min(length - at, PAGE - (physical % PAGE));
      visit(this.memory.bytes(physical as Gpa, size), at);
      at += size;
    }
    return true;
  }
}
