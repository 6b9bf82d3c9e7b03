/** A guest that grants pages to itself, and its calls of grant_table_op one by one. */
import { expect } from 'vitest';
import { gpa } from '../../../src/kvm/guest-memory.js';
import * as abi from '../../../src/xenner/abi/grant-table.js';
import { DOMID_SELF } from '../../../src/xenner/abi/xen.js';
import { GrantTable } from '../../../src/xenner/grant-table.js';
import { grant_table_op } from '../../../src/xenner/hypercall/20-grant-table-op.js';
import { PGC_shared } from '../../../src/xenner/monitor/vcpu-area.js';
import { MmGuest, PAGE } from '../mm/guest.js';
import { DOMID, GRANT_MFN, L1_MFN, PAGE_INFO, va } from './harness.js';

export const okay = abi.GNTST_okay;
export const NON_CANONICAL = 1n << 47n;
export const BEYOND = 0xffffffff;
/** Linear address that the tests map over, and its entry. */
export const WINDOW_MFN = 200;
export const WINDOW = va(WINDOW_MFN * PAGE);
export const WINDOW_PTE = BigInt(L1_MFN * PAGE + WINDOW_MFN * 8);
export const SECOND = va((WINDOW_MFN + 1) * PAGE);
export const NX = 1n << 63n;

export class Guest extends MmGuest {
  readonly grants: GrantTable;

  constructor() {
    super({ vcpus: 2 });
    for (let i = 0; i < 4; i++) this.memory.writeU32(gpa(PAGE_INFO + (GRANT_MFN + i) * 8), PGC_shared);
    this.grants = new GrantTable(this.domain);
    this.domain.grants = this.grants;
    this.setEntryMapping(WINDOW_MFN, 0n);
    this.setEntryMapping(WINDOW_MFN + 1, 0n);
  }

  setEntryMapping(index: number, value: bigint): void {
    this.pages.modEntry({ addPending() {} }, 1, L1_MFN, index, Number(value), 0, false, false);
  }

  op(cmd: number, list: bigint, count: number | bigint = 1): number {
    return Number(this.call(grant_table_op, [cmd, list, count]));
  }

  /** The guest writes an entry. */
  grant(ref: number, mfn: number, flags = abi.GTF_permit_access, domid = DOMID): number {
    const at = GRANT_MFN * PAGE + ref * 8;
    this.memory.writeU16(gpa(at), flags);
    this.memory.writeU16(gpa(at + 2), domid);
    this.memory.writeU32(gpa(at + 4), mfn);
    return ref;
  }
  flags(ref: number): number {
    return this.memory.readU16(gpa(GRANT_MFN * PAGE + ref * 8));
  }

  map(ref: number, flags: number, host_addr = WINDOW, dom = DOMID) {
    const at = this.put(abi.gnttab_map_grant_ref, { host_addr, flags, ref, dom, status: 77, handle: 88 });
    expect(this.op(abi.GNTTABOP_map_grant_ref, at)).toBe(0);
    return this.get(abi.gnttab_map_grant_ref, at);
  }
  unmap(handle: number, host_addr = WINDOW, dev_bus_addr = 0n): number {
    const at = this.put(abi.gnttab_unmap_grant_ref, { host_addr, dev_bus_addr, handle, status: 77 });
    expect(this.op(abi.GNTTABOP_unmap_grant_ref, at)).toBe(0);
    return this.get(abi.gnttab_unmap_grant_ref, at).status;
  }
  replace(handle: number, new_addr: bigint, host_addr = WINDOW): number {
    const at = this.put(abi.gnttab_unmap_and_replace, { host_addr, new_addr, handle, status: 77 });
    expect(this.op(abi.GNTTABOP_unmap_and_replace, at)).toBe(0);
    return this.get(abi.gnttab_unmap_and_replace, at).status;
  }
  copy(source: CopyEnd, dest: CopyEnd, len = 8): number {
    const flags =
      ('ref' in source ? abi.GNTCOPY_source_gref : 0) | ('ref' in dest ? abi.GNTCOPY_dest_gref : 0);
    const at = this.put(abi.gnttab_copy, {
      source: copyPointer(source),
      dest: copyPointer(dest),
      len,
      flags,
    });
    expect(this.op(abi.GNTTABOP_copy, at)).toBe(0);
    return this.get(abi.gnttab_copy, at).status;
  }
  swap(ref_a: number, ref_b: number): number {
    const at = this.put(abi.gnttab_swap_grant_ref, { ref_a, ref_b, status: 77 });
    expect(this.op(abi.GNTTABOP_swap_grant_ref, at)).toBe(0);
    return this.get(abi.gnttab_swap_grant_ref, at).status;
  }
  get window(): bigint {
    return this.entry(L1_MFN, WINDOW_MFN);
  }
}

export type CopyEnd = ({ ref: number } | { gmfn: number | bigint }) & { offset?: number; domid?: number };

export function copyPointer(end: CopyEnd) {
  const { offset = 0, domid = DOMID_SELF } = end;
  return { u: 'ref' in end ? { ref: end.ref } : { gmfn: BigInt(end.gmfn) }, offset, domid };
}

export const READ = abi.GNTMAP_host_map | abi.GNTMAP_readonly;
export const WRITE = abi.GNTMAP_host_map;
export const DEVICE = abi.GNTMAP_device_map;
export const BY_ENTRY = abi.GNTMAP_host_map | abi.GNTMAP_contains_pte;
export const USED = abi.GTF_permit_access | abi.GTF_reading;
export const WRITTEN = USED | abi.GTF_writing;
