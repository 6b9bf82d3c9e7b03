/** Entries by machine address and by linear address: what do_mmu_update and do_update_va_mapping do to one of them. */
import { type Gpa, gpa } from '../../kvm/guest-memory.js';
import { EINVAL } from '../abi/errno.js';
import type { Vcpu } from '../domain/vcpu.js';
import {
  PENDING_CR3,
  PGT_l1_page_table,
  PGT_l4_page_table,
  PGT_none,
  PGT_writable_page,
} from '../monitor/vcpu-area.js';
import { entryMfn, PAGE_PRESENT } from './entry.js';
import { addressOk } from './guest-list.js';

const PAGE = 4096;

/**
 * MMU_NORMAL_PT_UPDATE and MMU_PT_UPDATE_PRESERVE_AD at machine address high:low; on a page of no table type it is a
 * plain write.
 */
export function updateEntry(
  vcpu: Vcpu,
  atLow: number,
  atHigh: number,
  low: number,
  high: number,
  preserveAd: boolean,
  foreign: boolean,
): number {
  const { pages } = vcpu.domain;
  const mfn = addressMfn(atLow, atHigh);
  if (!pages.isOwned(mfn)) return -EINVAL;
  const index = (atLow >>> 3) & 511;
  const type = pages.typeOf(mfn);
  if (type === PGT_none || type === PGT_writable_page) {
    pages.frames.storeEntry(mfn, index, low, high);
    vcpu.domain.codeWritten(gpa(mfn * PAGE + index * 8), 8);
    return 0;
  }
  if (type > PGT_l4_page_table) return -EINVAL;
  if (type === PGT_l1_page_table)
    return pages.modEntry(vcpu, type, mfn, index, low, high, preserveAd, foreign);
  if (foreign) return -EINVAL;
  const old = pages.frames.words(mfn)[pages.frames.base(mfn) + index * 2]!;
  const error = pages.modEntry(vcpu, type, mfn, index, low, high, preserveAd, false);
  // What linear page tables show must not be stale (flush_linear_pt of do_mmu_update).
  if (error === 0 && (old & PAGE_PRESENT) !== 0 && pages.isInUse(mfn)) vcpu.addPending(PENDING_CR3);
  return error;
}

/** MMU_MACHPHYS_UPDATE. DOMID_IO owns no frame that has an M2P entry. */
export function updateMachphys(
  vcpu: Vcpu,
  atLow: number,
  atHigh: number,
  low: number,
  high: number,
  foreign: boolean,
): number {
  const mfn = addressMfn(atLow, atHigh);
  return foreign ? -EINVAL : vcpu.domain.pages.setM2p(mfn, low, high);
}

/** The L1 entry of a linear address in the running tables (map_guest_l1e); -EINVAL where there is none. */
export function updateVaMapping(vcpu: Vcpu, va: bigint, value: bigint): number {
  const { pages } = vcpu.domain;
  const at = addressOk(va) ? vcpu.guest.l1EntryOf(va) : -1;
  const mfn = Math.floor(at / PAGE);
  if (at < 0 || mfn >= pages.nrPages || pages.typeOf(mfn) !== PGT_l1_page_table) return -EINVAL;
  const low = Number(value & 0xffffffffn);
  const high = Number(value >> 32n);
  return pages.modEntry(vcpu, PGT_l1_page_table, mfn, (at % PAGE) / 8, low, high, false, false);
}

/** MMUEXT_CLEAR_PAGE: a page that nothing but writable mappings refers to. */
export function clearPage(vcpu: Vcpu, mfn: number): number {
  const target = writablePage(vcpu, mfn);
  if (target === undefined) return -EINVAL;
  vcpu.domain.memory.fill(target, PAGE, 0);
  vcpu.domain.codeWritten(target, PAGE);
  return 0;
}

export function copyPage(vcpu: Vcpu, to: number, from: number): number {
  const target = writablePage(vcpu, to);
  if (target === undefined || !vcpu.domain.pages.isOwned(from)) return -EINVAL;
  vcpu.domain.memory.copyIn(target, vcpu.domain.memory.bytes(gpa(from * PAGE), PAGE));
  vcpu.domain.codeWritten(target, PAGE);
  return 0;
}

function writablePage(vcpu: Vcpu, mfn: number): Gpa | undefined {
  const { pages } = vcpu.domain;
  if (!pages.isOwned(mfn)) return undefined;
  const type = pages.typeOf(mfn);
  return type === PGT_none || type === PGT_writable_page ? gpa(mfn * PAGE) : undefined;
}

/** Frame of a 64-bit machine address; one that no guest has for addresses beyond the entries' 52 bits. */
function addressMfn(low: number, high: number): number {
  return high >>> 20 === 0 ? entryMfn(low, high) : Number.MAX_SAFE_INTEGER;
}
