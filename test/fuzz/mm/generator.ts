/** Operations that a guest could try next: half of what a kernel does, half of what one would do to break the rules. */
import * as abi from '../../../src/xenner/abi/xen.js';
import {
  PGT_l1_page_table,
  PGT_l4_page_table,
  PGT_none,
  PGT_writable_page,
  vcpu_area,
} from '../../../src/xenner/monitor/vcpu-area.js';
import type { Random } from '../random.js';
import {
  FIRST_FREE_MFN,
  KIND,
  L1_MFN,
  L2_MFN,
  L4_MFN,
  LIST_MFN,
  NR_PAGES,
  PAGE,
  PAGE_INFO,
  SHARED_MFN,
  TOTAL_PAGES,
  type Twin,
  VA_BASE,
  VCPU_GPA,
} from './twin.js';

const ODD_FRAMES = [SHARED_MFN, SHARED_MFN + 1, TOTAL_PAGES, 0xfee00, 2 ** 28 + 6, 2 ** 39, 0xffffffffff];
const FLAGS = [0x1n, 0x3n, 0x5n, 0x7n, 0x61n, 0x63n, 0x65n, 0x67n, 0x67n, 0x63n];
const ODD_BITS = [0n, 0x8n, 0x10n, 0x80n, 0x100n, 0x200n, 1n << 52n, 1n << 58n, 1n << 63n];
const INDEXES = [0, 0, 1, 2, 3, 255, 256, 258, 260, 271, 272, 300, 511];
const LIST_VA = VA_BASE + BigInt(LIST_MFN * PAGE);
/** From here a list runs into the frame after its page, or out of what is mapped. */
const LIST_OFFSETS = [0, 0, 0, 8, 12, 4000, 4084, 4088];
const MAX_LIST = 5;

export class Generator {
  constructor(
    private readonly twin: Twin,
    private readonly random: Random,
    /** Also writes page_info and the vCPU area, as a guest can that breaks its monitor. */
    private readonly hostile: boolean,
  ) {}

  step(): void {
    if (!this.twin.listsMapped) this.twin.do(KIND.BASEPTR, BigInt(L4_MFN));
    const actions = [
      () => this.#fillTable(),
      () => this.#fillTable(),
      () => this.#vaMapping(),
      () => this.#vaMapping(),
      () => this.#vaMapping(),
      () => this.#mmuUpdate(),
      () => this.#mmuUpdate(),
      () => this.#pin(),
      () => this.#list(KIND.MMUEXT, [this.#mmuext(abi.MMUEXT_UNPIN_TABLE, this.#frame())]),
      () => this.#mmuextList(),
      () => this.#ptwr(),
      () => this.#baseptr(),
      ...(this.hostile ? [() => this.#breakMonitor()] : []),
    ];
    this.random.pick(actions)();
  }

  /** A frame, the odd one out now and then, and rarely one that does not exist. */
  #frame(): number {
    const { random } = this;
    if (random.below(24) === 0) return random.pick(ODD_FRAMES);
    return random.below(12) === 0 ? random.below(TOTAL_PAGES) : this.#freeFrame();
  }

  #freeFrame(): number {
    return FIRST_FREE_MFN + this.random.below(NR_PAGES - FIRST_FREE_MFN);
  }

  /** A frame of this type, if a few tries find one. */
  #frameOf(type: number): number {
    for (let i = 0; i < 20; i++) {
      const mfn = this.#freeFrame();
      if (this.twin.pages.typeOf(mfn) === type) return mfn;
    }
    return this.#frame();
  }

  #entry(below = this.#frame()): bigint {
    const { random } = this;
    if (random.below(8) === 0) return random.pick([0n, 0n, 0xfffffffffffffffen, 0x2n]);
    const odd = random.below(10) === 0 ? random.pick(ODD_BITS) : 0n;
    return (BigInt(below) << 12n) | random.pick(FLAGS) | odd;
  }

  /** What a kernel does before it pins a table: writes its entries, and maps it read-only. */
  #fillTable(): void {
    const mfn = this.random.below(3) === 0 ? this.#frameOf(PGT_writable_page) : this.#frameOf(PGT_none);
    const type = this.twin.pages.typeOf(mfn);
    if (mfn >= NR_PAGES || (type !== PGT_none && type !== PGT_writable_page)) return;
    const level = 1 + this.random.below(4);
    for (let n = this.random.below(4); n > 0; n--) {
      const below =
        level === PGT_l1_page_table
          ? this.#frame()
          : this.#frameOf(this.random.below(4) === 0 ? level : level - 1);
      this.twin.do(KIND.POKE, this.#at(mfn, this.random.pick(INDEXES)), this.#entry(below));
    }
    this.twin.do(KIND.VA_MAPPING, this.#va(mfn), (BigInt(mfn) << 12n) | 0x61n, 0n);
    if (this.random.below(2) === 0)
      this.#list(KIND.MMUEXT, [this.#mmuext(abi.MMUEXT_PIN_L1_TABLE + level - 1, mfn)]);
  }

  #vaMapping(): void {
    const { random } = this;
    const mfn = this.#freeFrame();
    const own = random.below(3) !== 0;
    const value = own ? (BigInt(mfn) << 12n) | random.pick([0x61n, 0x63n]) : this.#entry();
    const va =
      random.below(20) === 0
        ? random.pick([0n, 1n << 47n, 0xffff800000000000n, VA_BASE + (1n << 30n)])
        : this.#va(mfn);
    this.twin.do(KIND.VA_MAPPING, va, value, BigInt(random.below(8)));
  }

  #mmuUpdate(): void {
    const { random } = this;
    const words: bigint[][] = [];
    for (let n = random.below(MAX_LIST + 1); n > 0; n--) {
      const target = this.#frameOf(random.below(6));
      const mfn = random.below(4) === 0 ? random.pick([L4_MFN, L1_MFN, this.#frame()]) : target;
      const command = random.below(3) === 0 ? random.below(8) : random.pick([0, 0, 0, 2]);
      words.push([this.#at(mfn, this.#index(mfn)) | BigInt(command), this.#entry()]);
    }
    this.#list(KIND.MMU_UPDATE, words);
  }

  /** Not the entries that map the lists themselves. */
  #index(mfn: number): number {
    if (mfn === L1_MFN) return this.#freeFrame();
    return mfn <= L2_MFN ? this.random.pick([1, 2, 255, 256, 300]) : this.random.pick(INDEXES);
  }

  #pin(): void {
    const command = abi.MMUEXT_PIN_L1_TABLE + this.random.below(4);
    this.#list(KIND.MMUEXT, [
      this.#mmuext(command, this.random.below(3) === 0 ? this.#frame() : this.#frameOf(PGT_none)),
    ]);
  }

  /** Flushes stand alone: TypeScript leaves them to the monitor, for after the call. */
  #mmuextList(): void {
    const { random } = this;
    if (random.below(4) === 0) {
      const command = random.pick([
        abi.MMUEXT_TLB_FLUSH_LOCAL,
        abi.MMUEXT_TLB_FLUSH_ALL,
        abi.MMUEXT_INVLPG_LOCAL,
        abi.MMUEXT_INVLPG_ALL,
      ]);
      this.#list(KIND.MMUEXT, [[BigInt(command), random.pick([VA_BASE, 0xffff800000000000n]), 0n]]);
      return;
    }
    const words: bigint[][] = [];
    for (let n = random.below(MAX_LIST + 1); n > 0; n--) {
      const command = random.pick([0, 1, 2, 3, 4, 4, abi.MMUEXT_NEW_USER_BASEPTR, 12, 16, 17, 19, 20, 99]);
      words.push([BigInt(command), BigInt(this.#frame()), BigInt(this.#frame())]);
    }
    this.#list(KIND.MMUEXT, words);
  }

  /** The guest's write is there first, as the monitor lets it; a refused one is taken back. */
  #ptwr(): void {
    const mfn = this.random.below(3) === 0 ? L1_MFN : this.#frameOf(PGT_l1_page_table);
    if (mfn >= NR_PAGES) return;
    const index = mfn === L1_MFN ? this.#freeFrame() : this.random.pick(INDEXES);
    const old = this.twin.entry(mfn, index);
    const value = this.#entry();
    this.twin.do(KIND.POKE, this.#at(mfn, index), value);
    if (this.twin.do(KIND.PTWR, this.#at(mfn, index), old, value) !== 0)
      this.twin.do(KIND.POKE, this.#at(mfn, index), old);
  }

  #baseptr(): void {
    const next = this.random.below(4) === 0 ? L4_MFN : this.#frameOf(PGT_l4_page_table);
    this.#list(KIND.MMUEXT, [this.#mmuext(abi.MMUEXT_NEW_BASEPTR, next)]);
    if (!this.twin.listsMapped) return;
    const mfn = this.random.below(4) === 0 ? L4_MFN : this.#frameOf(PGT_l4_page_table);
    this.#list(KIND.MMUEXT, [
      this.#mmuext(abi.MMUEXT_NEW_USER_BASEPTR, this.random.below(4) === 0 ? 0 : mfn),
    ]);
  }

  #breakMonitor(): void {
    const { random } = this;
    if (random.below(8) === 0) {
      const member = random.pick(['cr3', 'user_cr3'] as const);
      this.twin.do(KIND.POKE, BigInt(VCPU_GPA + vcpu_area.offsetof(member)), BigInt(this.#frame() * PAGE));
      return;
    }
    const count = random.pick([0, 0, 1, 1, 2, 0xffffff]);
    const upper = random.pick([0, 0, 1, 0xffffffff, 0x7fffffff]);
    const info = BigInt(random.below(8)) | (BigInt(random.below(2)) << 3n) | (BigInt(count) << 8n);
    const odd = random.below(16) === 0 ? BigInt(random.pick([0x10, 0x20])) : 0n;
    this.twin.do(KIND.POKE, BigInt(PAGE_INFO + this.#freeFrame() * 8), info | odd | (BigInt(upper) << 32n));
  }

  #mmuext(command: number, mfn: number): bigint[] {
    return [BigInt(command), BigInt(mfn), 0n];
  }

  /** Puts the elements into the guest's list page and makes the call. */
  #list(kind: typeof KIND.MMU_UPDATE | typeof KIND.MMUEXT, elements: bigint[][]): void {
    const { random } = this;
    const at = LIST_MFN * PAGE + random.pick(LIST_OFFSETS);
    const start = at & ~7;
    const words = elements.flat();
    if (start === at)
      for (const [i, word] of words.entries()) this.twin.do(KIND.POKE, BigInt(at + i * 8), word);
    const done = random.pick([0n, LIST_VA + 0xf00n, LIST_VA + 0xf00n, 0x123456000n]);
    const list =
      random.below(40) === 0
        ? random.pick([0x1000n, 0xffff810000000000n, 1n << 47n])
        : LIST_VA + BigInt(at % PAGE);
    this.twin.do(kind, list, BigInt(elements.length), done, BigInt(abi.DOMID_SELF));
  }

  #va(mfn: number): bigint {
    return VA_BASE + BigInt((mfn % 512) * PAGE) + BigInt(this.random.below(2) * 0x123);
  }

  #at(mfn: number, index: number): bigint {
    return (BigInt(mfn) << 12n) | BigInt(index * 8);
  }
}
