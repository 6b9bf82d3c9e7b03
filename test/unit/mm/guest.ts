/** The harness's guest with page types: its first tables pinned, Xen's frames marked, pages of its own to build tables in. */
import { gpa } from '../../../src/kvm/guest-memory.js';
import { PageTypes } from '../../../src/xenner/mm/page-types.js';
import { DIRECT_SLOT, PGC_shared, PGC_xen, XEN_SLOT } from '../../../src/xenner/monitor/vcpu-area.js';
import { Harness, L1_MFN, L4_MFN, NR_PAGES, pinInitialTables, TOTAL_PAGES } from '../hypercall/harness.js';

export const PAGE = 4096;
const PAGE_INFO = gpa((NR_PAGES + 200) * PAGE);
export const SHARED_MFN = NR_PAGES;
export const XEN_MFN = NR_PAGES + 1;
export const HOLE_ENTRIES = { [XEN_SLOT]: 0x4f0063n, [DIRECT_SLOT]: 0x4f1063n };

export class MmGuest extends Harness {
  readonly pages: PageTypes;
  readonly pending: number[];
  /** Bytes that the hypervisor said it wrote as code. */
  readonly written: [address: number, length: number][] = [];
  /** Frames 256 to 511 are mapped, and nobody else's in these tests. */
  #next = 256;

  constructor(options: { vcpus?: number } = {}) {
    super(options);
    const { domain } = this;
    domain.area.set('xen_l4_entry', HOLE_ENTRIES[XEN_SLOT]!);
    domain.area.set('direct_l4_entry', HOLE_ENTRIES[DIRECT_SLOT]!);
    domain.area.set('flush_clock', 1n);
    this.pending = this.vcpus.map(() => 0);
    for (const vcpu of this.vcpus) {
      vcpu.addPending = (bits) => {
        this.pending[vcpu.id]! |= bits;
        vcpu.area.setLow('pending', this.pending[vcpu.id]!);
      };
    }
    domain.codeWritten = (address, length) => this.written.push([address, length]);
    this.pages = new PageTypes({ ...domain, pageInfo: PAGE_INFO });
    domain.pages = this.pages;
    for (let mfn = NR_PAGES; mfn < TOTAL_PAGES; mfn++)
      this.memory.writeU32(gpa(PAGE_INFO + mfn * 8), PGC_xen);
    this.memory.writeU32(gpa(PAGE_INFO + SHARED_MFN * 8), PGC_shared);
    const error = pinInitialTables(this.pages, L4_MFN);
    if (error !== 0) throw new Error(`the harness's tables are refused: ${error}`);
  }

  /** A zeroed frame, mapped writable unless it is to become a table. */
  page(writable = false): number {
    const mfn = this.#next++;
    if (!writable) this.setMapping(mfn, 1n);
    return mfn;
  }

  /** The guest's own mapping of a frame, changed as update_va_mapping would. */
  setMapping(mfn: number, flags: bigint): number {
    return this.pages.modEntry(
      { addPending() {} },
      1,
      L1_MFN,
      mfn,
      Number(((BigInt(mfn) << 12n) | flags) & 0xffffffffn),
      0,
      false,
      false,
    );
  }

  entry(mfn: number, index: number): bigint {
    return this.memory.readU64(gpa(mfn * PAGE + index * 8));
  }

  setEntry(mfn: number, index: number, value: bigint): void {
    this.memory.writeU64(gpa(mfn * PAGE + index * 8), value);
  }

  /** Type count of a frame. */
  count(mfn: number): number {
    return this.memory.readU32(gpa(PAGE_INFO + mfn * 8)) >>> 8;
  }

  info(mfn: number): bigint {
    return this.memory.readU64(gpa(PAGE_INFO + mfn * 8));
  }

  setInfo(mfn: number, value: bigint): void {
    this.memory.writeU64(gpa(PAGE_INFO + mfn * 8), value);
  }

  clock(): number {
    return this.domain.area.low('flush_clock');
  }
}

export function entryOf(mfn: number | bigint, flags: bigint): bigint {
  return (BigInt(mfn) << 12n) | flags;
}
