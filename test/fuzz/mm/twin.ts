/** The TypeScript side of the pair: a small guest, the operations that were tried on it, and what each left. */
import { createLogger } from '../../../src/base/log.js';
import { GuestMemory, gpa } from '../../../src/kvm/guest-memory.js';
import type { Domain } from '../../../src/xenner/domain/domain-state.js';
import type { Vcpu } from '../../../src/xenner/domain/vcpu.js';
import { mmu_update } from '../../../src/xenner/hypercall/01-mmu-update.js';
import { update_va_mapping } from '../../../src/xenner/hypercall/14-update-va-mapping.js';
import { mmuext_op } from '../../../src/xenner/hypercall/26-mmuext-op.js';
import { type Hypercall, HypercallArgs } from '../../../src/xenner/hypercall/call.js';
import { newBaseptr } from '../../../src/xenner/mm/base-pointer.js';
import { GuestAccess } from '../../../src/xenner/mm/guest-access.js';
import { PageTypes } from '../../../src/xenner/mm/page-types.js';
import { commitL1Write } from '../../../src/xenner/mm/ptwr.js';
import {
  Area,
  domain_area,
  PENDING_CR3,
  PENDING_INVLPG,
  PGC_shared,
  PGC_xen,
  PGT_type_mask,
  PGT_writable_page,
  vcpu_area,
} from '../../../src/xenner/monitor/vcpu-area.js';
import { pinInitialTables } from '../../unit/hypercall/harness.js';

export const PAGE = 4096;
export const NR_PAGES = 40;
export const SHARED_MFN = NR_PAGES;
export const TOTAL_PAGES = 48;
const DOMAIN_GPA = gpa(41 * PAGE);
export const VCPU_GPA = gpa(42 * PAGE);
export const PAGE_INFO = gpa(44 * PAGE);
const M2P = gpa(45 * PAGE);
const HOLE_ENTRIES = [0x2e063n, 0x2f063n] as const;
/** The kernel's own tables, and the two pages that its lists lie in. */
export const [L4_MFN, L3_MFN, L2_MFN, L1_MFN, LIST_MFN] = [0, 1, 2, 3, 4];
export const FIRST_FREE_MFN = 6;
export const VA_BASE = 0xffffffff80000000n;
const CLOCK_START = 1;

export const KIND = {
  POKE: 0,
  PIN_INITIAL: 1,
  MMU_UPDATE: 2,
  VA_MAPPING: 3,
  MMUEXT: 4,
  PTWR: 5,
  BASEPTR: 6,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export interface Step {
  readonly kind: Kind;
  readonly args: readonly bigint[];
  readonly result: bigint;
  readonly digest: number;
}

const HYPERCALLS: Partial<Record<Kind, Hypercall>> = {
  [KIND.MMU_UPDATE]: mmu_update,
  [KIND.VA_MAPPING]: update_va_mapping,
  [KIND.MMUEXT]: mmuext_op,
};
const RECORD_WORDS = 8;

export class Twin {
  readonly memory = GuestMemory.create(TOTAL_PAGES * PAGE);
  readonly pages: PageTypes;
  readonly steps: Step[] = [];
  readonly #image: Uint8Array;
  readonly #words: Uint32Array;
  readonly #domain: Domain;
  readonly #vcpu: Vcpu;
  readonly #args = new HypercallArgs();
  #pending = 0;

  constructor() {
    this.#buildTables();
    const { memory } = this;
    for (let mfn = NR_PAGES; mfn < TOTAL_PAGES; mfn++)
      memory.writeU32(gpa(PAGE_INFO + mfn * 8), mfn === SHARED_MFN ? PGC_shared : PGC_xen);
    this.#image = memory.copyOut(gpa(0), TOTAL_PAGES * PAGE);
    const bytes = memory.bytes(gpa(0), TOTAL_PAGES * PAGE);
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const area = new Area(memory, DOMAIN_GPA, domain_area);
    area.set('xen_l4_entry', HOLE_ENTRIES[0]);
    area.set('direct_l4_entry', HOLE_ENTRIES[1]);
    area.setLow('flush_clock', CLOCK_START);
    const layout = { memory, area, m2p: M2P, nrPages: NR_PAGES, totalPages: TOTAL_PAGES };
    this.pages = new PageTypes({ ...layout, pageInfo: PAGE_INFO });
    const vcpus: Vcpu[] = [];
    this.#domain = {
      ...layout,
      domid: 7,
      pages: this.pages,
      vcpus,
      log: createLogger(),
    } as unknown as Domain;
    this.#domain.codeWritten = () => {};
    const vcpuArea = new Area(memory, VCPU_GPA, vcpu_area);
    this.#vcpu = {
      id: 0,
      domain: this.#domain,
      area: vcpuArea,
      guest: new GuestAccess(memory, vcpuArea),
      addPending: (bits: number) => {
        this.#pending |= bits;
      },
    } as unknown as Vcpu;
    vcpus.push(this.#vcpu);
    this.do(KIND.PIN_INITIAL, BigInt(L4_MFN));
  }

  close(): void {
    this.memory.close();
  }

  get cr3(): number {
    return Number(this.#vcpu.area.get('cr3')) / PAGE;
  }

  /** Whether the guest's list page can still be read: it may have lost its own tables. */
  get listsMapped(): boolean {
    return this.#vcpu.guest.translate(VA_BASE + BigInt(LIST_MFN * PAGE), true) >= 0;
  }

  entry(mfn: number, index: number): bigint {
    return this.memory.readU64(gpa(mfn * PAGE + index * 8));
  }

  do(kind: Kind, ...args: bigint[]): number {
    this.#pending = 0;
    const result = this.#perform(kind, args);
    // apply_pending of the monitor.
    const { area } = this.#domain;
    const flushed = (this.#pending & PENDING_CR3) !== 0;
    if (flushed) area.setLow('flush_clock', area.low('flush_clock') + 1);
    const digest = this.#digest(flushed);
    this.steps.push({ kind, args, result: BigInt(result), digest });
    return result;
  }

  /** What twin.c reads: its header, the memory as it was at first, and the operations. */
  script(): Uint8Array {
    const header = [NR_PAGES, TOTAL_PAGES, DOMAIN_GPA, VCPU_GPA, PAGE_INFO, M2P].map(BigInt);
    const words = [...header, ...HOLE_ENTRIES, BigInt(L4_MFN * PAGE)];
    const records = new BigUint64Array(this.steps.length * RECORD_WORDS);
    this.steps.forEach(({ kind, args }, i) => {
      records[i * RECORD_WORDS] = BigInt(kind);
      for (const [j, arg] of args.entries()) records[i * RECORD_WORDS + 1 + j] = arg;
    });
    return Buffer.concat([
      new Uint8Array(new BigUint64Array(words).buffer),
      this.#image,
      new Uint8Array(records.buffer),
    ]);
  }

  #perform(kind: Kind, args: readonly bigint[]): number {
    const hypercall = HYPERCALLS[kind];
    if (hypercall !== undefined) {
      this.#args.words.fill(0n);
      for (const [i, arg] of args.entries()) this.#args.words[i] = arg;
      return Number(hypercall.handler(this.#vcpu, this.#args));
    }
    switch (kind) {
      case KIND.POKE:
        this.memory.writeU64(gpa(Number(args[0])), args[1]!);
        return 0;
      case KIND.PIN_INITIAL:
        return pinInitialTables(this.pages, Number(args[0]));
      case KIND.PTWR:
        return commitL1Write(this.#domain, args[0]!, args[1]!, args[2]!);
      default:
        return newBaseptr(this.#vcpu, Number(args[0]));
    }
  }

  /** digest() of twin.c. */
  #digest(flushed: boolean): number {
    const words = this.#words;
    let hash = 0x811c9dc5;
    const add = (word: number) => {
      hash = Math.imul(hash ^ word, 0x01000193);
    };
    const addAll = (from: number, count: number) => {
      for (let i = from; i < from + count; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193);
    };
    addAll(0, NR_PAGES * 1024);
    addAll(M2P / 4, TOTAL_PAGES * 2);
    const clock = this.#domain.area.low('flush_clock');
    for (let mfn = 0; mfn < TOTAL_PAGES; mfn++) {
      const [low, high] = [words[PAGE_INFO / 4 + mfn * 2]!, words[PAGE_INFO / 4 + mfn * 2 + 1]!];
      add(low);
      const writable = (low & PGT_type_mask) === PGT_writable_page;
      add(low >>> 8 === 0 ? Number(high === clock) : writable ? 0 : high);
    }
    const { area } = this.#vcpu;
    const invalidated = (this.#pending & PENDING_INVLPG) !== 0 ? area.get('invlpg_address') : 0n;
    for (const word of [area.get('cr3'), area.get('user_cr3'), BigInt(flushed), invalidated]) {
      add(Number(word & 0xffffffffn));
      add(Number(word >> 32n));
    }
    return hash >>> 0;
  }

  #buildTables(): void {
    const put = (table: number, index: number, mfn: number, flags: bigint) =>
      this.memory.writeU64(gpa(table * PAGE + index * 8), BigInt(mfn * PAGE) | flags);
    put(L4_MFN, 511, L3_MFN, 0x67n);
    put(L3_MFN, 510, L2_MFN, 0x67n);
    put(L2_MFN, 0, L1_MFN, 0x67n);
    for (let mfn = 0; mfn < NR_PAGES; mfn++) put(L1_MFN, mfn, mfn, mfn < LIST_MFN ? 0x61n : 0x63n);
    this.#vcpuArea();
  }

  #vcpuArea(): void {
    new Area(this.memory, VCPU_GPA, vcpu_area).set('cr3', BigInt(L4_MFN * PAGE));
  }
}
