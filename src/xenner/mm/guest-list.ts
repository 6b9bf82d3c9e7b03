/** A guest's array of requests, read element by element: each is copied once, and then only the copy is looked at. */
import { type Gpa, type GuestMemory, gpa } from '../../kvm/guest-memory.js';
import { HOLE_END } from '../monitor/vcpu-area.js';
import type { GuestAccess } from './guest-access.js';

const PAGE = 4096;
const LOWER_HALF_END = 1n << 47n;

/** __addr_ok (xen/arch/x86/include/asm/x86_64/uaccess.h): canonical, and not in Xen's hole. */
export function addressOk(va: bigint): boolean {
  return va < LOWER_HALF_END || va >= HOLE_END;
}

export class GuestList {
  /** The last element read, as 32-bit halves. */
  readonly words: Uint32Array;
  /** Offset of the array in its first page. */
  readonly #offset: number;
  #page = -1;
  #at = 0;

  constructor(
    private readonly memory: GuestMemory,
    private readonly guest: GuestAccess,
    private readonly va: bigint,
    private readonly elementBytes: number,
  ) {
    this.words = new Uint32Array(elementBytes / 4);
    this.#offset = Number(va & 0xfffn);
  }

  /** Fills `words` with an element; false where Xen answers -EFAULT. */
  read(index: number): boolean {
    const position = this.#offset + index * this.elementBytes;
    const inPage = position % PAGE;
    if (inPage + this.elementBytes > PAGE || (inPage & 3) !== 0) return this.#readSlowly(index);
    const page = Math.floor(position / PAGE);
    if (page !== this.#page && !this.#translate(page)) return false;
    for (let i = 0; i < this.words.length; i++) {
      this.words[i] = this.memory.readU32((this.#at + inPage + i * 4) as Gpa);
    }
    return true;
  }

  #translate(page: number): boolean {
    const start = BigInt.asUintN(64, this.va - BigInt(this.#offset) + BigInt(page * PAGE));
    const at = addressOk(start) ? this.guest.translate(start, false) : -1;
    this.#page = at < 0 ? -1 : page;
    this.#at = gpa(at);
    return at >= 0;
  }

  /** Across a page's end, or at an odd address. */
  #readSlowly(index: number): boolean {
    const start = BigInt.asUintN(64, this.va + BigInt(index * this.elementBytes));
    const bytes = this.guest.read(start, this.elementBytes);
    if (bytes === undefined) return false;
    this.words.set(new Uint32Array(bytes.buffer));
    return true;
  }
}
