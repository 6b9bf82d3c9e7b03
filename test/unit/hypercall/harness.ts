/**
 * A guest without a CPU: real guest memory and page tables, so that a handler's pointers are walked as in a running
 * domain. Each test adds the parts of Domain that its hypercall uses; the others are absent, and using one is an error.
 */
import type { CStruct, Encodable } from '../../../src/base/layout.js';
import { createLogger } from '../../../src/base/log.js';
import { GuestMemory, gpa } from '../../../src/kvm/guest-memory.js';
import type { Domain } from '../../../src/xenner/domain/domain-state.js';
import type { Vcpu } from '../../../src/xenner/domain/vcpu.js';
import { type Hypercall, HypercallArgs } from '../../../src/xenner/hypercall/call.js';
import { GuestAccess } from '../../../src/xenner/mm/guest-access.js';
import type { PageTypes } from '../../../src/xenner/mm/page-types.js';
import { Area, domain_area, PGT_l4_page_table, vcpu_area } from '../../../src/xenner/monitor/vcpu-area.js';
import { findProfile, LATEST } from '../../../src/xenner/profile/profiles.js';

const PAGE = 4096;
const PRESENT = 1n;
const WRITABLE = 2n;

export const DOMID = 7;
/** The guest's own frames, and those of Xen behind them. */
export const NR_PAGES = 1024;
export const TOTAL_PAGES = 1280;
/** Kernel page tables, the highest level first. */
export const L4_MFN = 8;
export const L3_MFN = 9;
export const L2_MFN = 10;
export const L1_MFN = 11;
/** Frames 0 to 511 are mapped at VA_BASE, writable but for the page tables. */
export const VA_BASE = 0xffffffff80000000n;
export const READ_ONLY_VA = VA_BASE + BigInt(L4_MFN * PAGE);
export const UNMAPPED_VA = VA_BASE + 0x300000n;
export const HOLE_VA = 0xffff800000000000n;

const XEN_MFN = NR_PAGES;
const SHARED_INFO = gpa(XEN_MFN * PAGE);
const DOMAIN_AREA = gpa((XEN_MFN + 1) * PAGE);
const PORTS = gpa((XEN_MFN + 10) * PAGE);
const M2P = gpa((XEN_MFN + 2) * PAGE);
const GDT_L1 = gpa((XEN_MFN + 8) * PAGE);
const LDT_L1 = gpa((XEN_MFN + 9) * PAGE);
const VCPU_AREAS = (XEN_MFN + 16) * PAGE;
const VCPU_AREA_BYTES = 2 * PAGE;
export const GRANT_MFN = XEN_MFN + 128;
export const PAGE_INFO = gpa((XEN_MFN + 200) * PAGE);

export type TestVcpu = { -readonly [K in keyof Vcpu]: Vcpu[K] };
export type TestDomain = { -readonly [K in keyof Domain]: Domain[K] };

/** Linear address of a byte of the guest's frames that are mapped. */
export function va(physical: number): bigint {
  return VA_BASE + BigInt(physical);
}

export class Harness {
  readonly memory = GuestMemory.create(TOTAL_PAGES * PAGE);
  readonly vcpus: TestVcpu[];
  readonly domain: TestDomain;
  /** Where put() places the next structure: frames 64 and up. */
  #scratch = 64 * PAGE;

  constructor(options: { vcpus?: number } = {}) {
    this.#buildPageTables();
    this.domain = {
      profile: findProfile(LATEST),
      domid: DOMID,
      memory: this.memory,
      nrPages: NR_PAGES,
      totalPages: TOTAL_PAGES,
      area: new Area(this.memory, DOMAIN_AREA, domain_area),
      sharedInfo: SHARED_INFO,
      ports: PORTS,
      m2p: M2P,
      pageInfo: PAGE_INFO,
      gdtL1: GDT_L1,
      ldtL1: LDT_L1,
      grantFrames: { firstMfn: GRANT_MFN, count: 4 },
      vmAssist: 0n,
      parallel: false,
      log: createLogger(),
    } as TestDomain;
    this.vcpus = Array.from({ length: options.vcpus ?? 1 }, (_, id) => this.#makeVcpu(id));
    this.domain.vcpus = this.vcpus;
  }

  close(): void {
    this.memory.close();
  }

  /** The guest makes a call: on vCPU 0 unless told otherwise. */
  call(
    hypercall: Hypercall,
    args: readonly (number | bigint)[],
    vcpu: TestVcpu = this.vcpus[0]!,
  ): number | bigint {
    const words = new HypercallArgs();
    args.forEach((value, index) => {
      words.words[index] = BigInt.asUintN(64, BigInt(value));
    });
    return hypercall.handler(vcpu, words);
  }

  /** Room in mapped guest memory, 64-aligned. */
  room(bytes: number): bigint {
    const at = this.#scratch;
    this.#scratch += Math.ceil(bytes / 64) * 64;
    return va(at);
  }

  /** A structure in mapped guest memory; returns its address. */
  put<T extends object>(layout: CStruct<T>, value: Encodable<T>): bigint {
    return this.putAll(layout, [value]);
  }

  putAll<T extends object>(layout: CStruct<T>, values: readonly Encodable<T>[]): bigint {
    const at = this.room(layout.size * values.length);
    values.forEach((value, index) => {
      this.memory.copyIn(gpa(Number(at - VA_BASE) + index * layout.size), layout.create(value));
    });
    return at;
  }

  get<T extends object>(layout: CStruct<T>, at: bigint, index = 0): T {
    return layout.decode(this.memory.copyOut(gpa(Number(at - VA_BASE) + index * layout.size), layout.size));
  }

  /** Guest-physical address of a frame. */
  frame(mfn: number): ReturnType<typeof gpa> {
    return gpa(mfn * PAGE);
  }

  #makeVcpu(id: number): TestVcpu {
    const area = new Area(this.memory, gpa(VCPU_AREAS + id * VCPU_AREA_BYTES), vcpu_area);
    area.set('cr3', BigInt(L4_MFN * PAGE));
    area.set('id', BigInt(id));
    return {
      id,
      domain: this.domain,
      area,
      guest: new GuestAccess(this.memory, area),
      vcpuInfo: gpa(SHARED_INFO + id * 64),
      vcpuInfoMoved: false,
      polling: false,
      periodNs: 0,
      timeArea: undefined,
    } as TestVcpu;
  }

  #buildPageTables(): void {
    const entry = (table: number, index: number, mfn: number, flags: bigint) =>
      this.memory.writeU64(gpa(table * PAGE + index * 8), BigInt(mfn * PAGE) | flags);
    const index = (shift: bigint) => Number((VA_BASE >> shift) & 511n);
    entry(L4_MFN, index(39n), L3_MFN, PRESENT | WRITABLE);
    entry(L3_MFN, index(30n), L2_MFN, PRESENT | WRITABLE);
    entry(L2_MFN, index(21n), L1_MFN, PRESENT | WRITABLE);
    for (let mfn = 0; mfn < 512; mfn++) {
      entry(L1_MFN, mfn, mfn, mfn >= L4_MFN && mfn <= L1_MFN ? PRESENT : PRESENT | WRITABLE);
    }
  }
}

/** Validates a guest's first L4, pins it as Xen's domain builder does, and holds it as vCPU 0's cr3 does. */
export function pinInitialTables(pages: PageTypes, l4Mfn: number): number {
  const quiet = { addPending() {} };
  const error = pages.pin(quiet, l4Mfn, PGT_l4_page_table);
  return error !== 0 ? error : pages.getPageType(quiet, l4Mfn, PGT_l4_page_table);
}
