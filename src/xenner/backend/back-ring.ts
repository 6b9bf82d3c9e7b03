/**
 * The back end's side of a shared ring (xen/include/public/io/ring.h), in pages of the guest's. Its indices here are ours: what
 * the guest writes over the shared ones changes nothing but what it is told itself.
 */
import type { CStruct } from '../../base/layout.js';
import { type GuestMemory, gpa } from '../../kvm/index.js';

const PAGE = 4096;
const PAGE_WORDS = PAGE / 4;

interface Places {
  readonly reqProd: number;
  readonly reqEvent: number;
  readonly rspProd: number;
  readonly rspEvent: number;
  readonly ring: number;
}

/** Slots are words of 32 bits: slots of larger rings lie across pages. All indices run freely, modulo 2^32. */
export class BackRing {
  /** RING_SIZE: slots, a power of two. */
  readonly size: number;
  readonly #pages: readonly Uint32Array[];
  readonly #at: Places;
  readonly #slotWords: number;
  #reqCons: number;
  #rspProdPvt: number;
  /** What the guest was told of it. */
  #rspProd: number;

  /**
   * BACK_RING_ATTACH at the shared rsp_prod, which a front end that connects again may have left anywhere.
   * @param mfns the ring's pages, which the caller holds as long as it uses the ring
   * @param layout of sring()
   */
  constructor(memory: GuestMemory, mfns: readonly number[], layout: CStruct<object>) {
    this.#pages = mfns.map((mfn) => {
      const bytes = memory.bytes(gpa(mfn * PAGE), PAGE);
      return new Uint32Array(bytes.buffer, bytes.byteOffset, PAGE_WORDS);
    });
    const word = (member: string) => layout.offsetof(member) / 4;
    this.#at = {
      reqProd: word('req_prod'),
      reqEvent: word('req_event'),
      rspProd: word('rsp_prod'),
      rspEvent: word('rsp_event'),
      ring: word('ring'),
    };
    this.#slotWords = layout.size / 4 - this.#at.ring;
    const fitting = Math.floor((mfns.length * PAGE_WORDS - this.#at.ring) / this.#slotWords);
    this.size = 2 ** Math.floor(Math.log2(fitting));
    this.#reqCons = this.#rspProdPvt = this.#rspProd = this.#load(this.#at.rspProd);
  }

  get reqCons(): number {
    return this.#reqCons;
  }

  /** RING_REQUEST_PROD_OVERFLOW: the guest says that there are more requests than there can be. */
  get isOverrun(): boolean {
    return (this.#load(this.#at.reqProd) - this.#rspProdPvt) >>> 0 > this.size;
  }

  /** XEN_RING_NR_UNCONSUMED_REQUESTS: never more than slots that are not waiting for a response. */
  get unconsumed(): number {
    const requests = (this.#load(this.#at.reqProd) - this.#reqCons) >>> 0;
    return Math.min(requests, this.size - ((this.#reqCons - this.#rspProdPvt) >>> 0));
  }

  /** Copies the slot of a request, once: what is then checked is what is used. `into` is of a slot's size, or shorter. */
  copyRequest(index: number, into: Uint32Array): void {
    const start = this.#slot(index);
    const words = Math.min(this.#slotWords, into.length);
    for (let i = 0; i < words; i++) into[i] = this.#word(start + i);
  }

  /** So many more requests are taken. */
  consume(requests: number): void {
    this.#reqCons = (this.#reqCons + requests) >>> 0;
  }

  /** Puts a response, of at most a slot's words, behind the others. */
  respond(response: ArrayLike<number>): void {
    const start = this.#slot(this.#rspProdPvt);
    for (let i = 0; i < response.length; i++) {
      const at = start + i;
      this.#pages[Math.floor(at / PAGE_WORDS)]![at % PAGE_WORDS] = response[i]!;
    }
    this.#rspProdPvt = (this.#rspProdPvt + 1) >>> 0;
  }

  /** RING_PUSH_RESPONSES_AND_CHECK_NOTIFY: the guest sees the responses. Returns whether it is to be notified. */
  pushResponses(): boolean {
    const old = this.#rspProd;
    this.#rspProd = this.#rspProdPvt;
    Atomics.store(this.#pages[0]!, this.#at.rspProd, this.#rspProd);
    const event = this.#load(this.#at.rspEvent);
    return (this.#rspProdPvt - event) >>> 0 < (this.#rspProdPvt - old) >>> 0;
  }

  /** RING_FINAL_CHECK_FOR_REQUESTS: whether there are more; if not, the next one is to notify us. */
  finalCheck(): boolean {
    return this.unconsumed > 0 || this.awaitRequests(1);
  }

  /** Asks to be notified of the request that makes `count`. Returns whether there are so many now. */
  awaitRequests(count: number): boolean {
    Atomics.store(this.#pages[0]!, this.#at.reqEvent, (this.#reqCons + count) >>> 0);
    return this.unconsumed >= count;
  }

  #slot(index: number): number {
    return this.#at.ring + (index & (this.size - 1)) * this.#slotWords;
  }

  #word(at: number): number {
    return this.#pages[Math.floor(at / PAGE_WORDS)]![at % PAGE_WORDS]!;
  }

  #load(at: number): number {
    return Atomics.load(this.#pages[0]!, at);
  }
}
