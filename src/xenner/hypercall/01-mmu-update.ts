/** do_mmu_update (xen/arch/x86/mm.c). */
import { ENOSYS, EPERM, ESRCH } from '../abi/errno.js';
import {
  __HYPERVISOR_mmu_update,
  MMU_MACHPHYS_UPDATE,
  MMU_NORMAL_PT_UPDATE,
  MMU_PT_UPDATE_NO_TRANSLATE,
  MMU_PT_UPDATE_PRESERVE_AD,
  mmu_update as request,
} from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { pageOwner } from '../mm/foreign.js';
import { updateEntry, updateMachphys } from '../mm/update.js';
import type { Hypercall, HypercallArgs } from './call.js';
import { openBatch, reportDone, runBatch } from './mmu-batch.js';

/** The command stands in the low bits of the machine address. */
const COMMAND_MASK = 7;
/** The upper half of the last argument: the page tables' domain plus one, 0 for the caller's. */
const PT_DOMAIN_SHIFT = 16;
/** The host's domain: it exists, and its page tables are not for a guest. */
const HOST_DOMID = 0;

/** 0 for the caller's own tables. -EPERM comes with the first request only, as from the XSM check. */
function tableOwner(vcpu: Vcpu, foreigndom: number): number {
  const domain = foreigndom >>> PT_DOMAIN_SHIFT;
  if (domain === 0 || domain - 1 === vcpu.domain.domid) return 0;
  return domain - 1 === HOST_DOMID ? -EPERM : -ESRCH;
}

function update(vcpu: Vcpu, words: Uint32Array, foreign: boolean): number {
  const [atLow, atHigh, low, high] = words as unknown as [number, number, number, number];
  switch (atLow & COMMAND_MASK) {
    case MMU_NORMAL_PT_UPDATE:
    case MMU_PT_UPDATE_NO_TRANSLATE:
      return updateEntry(vcpu, atLow, atHigh, low, high, false, foreign);
    case MMU_PT_UPDATE_PRESERVE_AD:
      return updateEntry(vcpu, atLow, atHigh, low, high, true, foreign);
    case MMU_MACHPHYS_UPDATE:
      return updateMachphys(vcpu, atLow, atHigh, low, high, foreign);
    default:
      return -ENOSYS;
  }
}

function mmuUpdate(vcpu: Vcpu, args: HypercallArgs): number {
  const batch = openBatch(vcpu, args, request.size);
  if (typeof batch === 'number') return batch;
  const foreigndom = args.u32(3);
  const tables = tableOwner(vcpu, foreigndom);
  if (tables === -ESRCH) return -ESRCH;
  const owner = pageOwner(vcpu.domain.domid, foreigndom);
  if (owner === -ESRCH) {
    reportDone(vcpu, batch, 0);
    return -ESRCH;
  }
  const refused = tables !== 0 ? tables : typeof owner === 'number' ? owner : 0;
  const result = runBatch(vcpu, batch, (words) =>
    refused !== 0 && (words[0]! & COMMAND_MASK) <= MMU_PT_UPDATE_NO_TRANSLATE
      ? refused
      : update(vcpu, words, owner === 'io'),
  );
  const { log } = vcpu.domain;
  if (log.traces('mmu')) log.trace('mmu', 'mmu_update', { vcpu: vcpu.id, count: batch.count, result });
  return result;
}

export const mmu_update: Hypercall = {
  number: __HYPERVISOR_mmu_update,
  name: 'mmu_update',
  handler: mmuUpdate,
};
