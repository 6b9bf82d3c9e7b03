/** do_mmuext_op (xen/arch/x86/mm.c). */
import { EACCES, EINVAL, ENOSYS, EOPNOTSUPP, EPERM } from '../abi/errno.js';
import * as abi from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { newBaseptr, newUserBaseptr } from '../mm/base-pointer.js';
import { pageOwner } from '../mm/foreign.js';
import { setLdt } from '../mm/ldt.js';
import { flushAddress, flushTlb, vcpusOfMask } from '../mm/tlb.js';
import { clearPage, copyPage } from '../mm/update.js';
import { PGT_l1_page_table } from '../monitor/vcpu-area.js';
import type { Hypercall, HypercallArgs } from './call.js';
import { openBatch, runBatch } from './mmu-batch.js';

/** struct mmuext_op, decoded from a private copy: arg1 and arg2 are frame numbers or addresses. */
interface Operation {
  readonly cmd: number;
  readonly arg1: bigint;
  readonly arg2: bigint;
}

function decode(words: Uint32Array): Operation {
  const wide = (at: number) => (BigInt(words[at + 1]!) << 32n) | BigInt(words[at]!);
  return { cmd: words[0]!, arg1: wide(2), arg2: wide(4) };
}

function flushMany(vcpu: Vcpu, op: Operation): number {
  const whom = vcpusOfMask(vcpu, op.arg2);
  if (typeof whom === 'number') return -EINVAL;
  if (op.cmd === abi.MMUEXT_TLB_FLUSH_MULTI) flushTlb(vcpu, whom);
  else flushAddress(vcpu, whom, op.arg1);
  return 0;
}

function operate(vcpu: Vcpu, op: Operation): number {
  const { domain } = vcpu;
  // No guest has a frame whose number is not exact here.
  const mfn = Number(op.arg1);
  switch (op.cmd) {
    case abi.MMUEXT_PIN_L1_TABLE:
    case abi.MMUEXT_PIN_L2_TABLE:
    case abi.MMUEXT_PIN_L3_TABLE:
    case abi.MMUEXT_PIN_L4_TABLE:
      return domain.pages.pin(vcpu, mfn, PGT_l1_page_table + op.cmd - abi.MMUEXT_PIN_L1_TABLE);
    case abi.MMUEXT_UNPIN_TABLE:
      return domain.pages.unpin(vcpu, mfn);
    case abi.MMUEXT_NEW_BASEPTR:
      return newBaseptr(vcpu, mfn);
    case abi.MMUEXT_NEW_USER_BASEPTR:
      return newUserBaseptr(vcpu, mfn);
    case abi.MMUEXT_TLB_FLUSH_LOCAL:
      flushTlb(vcpu, [vcpu]);
      return 0;
    case abi.MMUEXT_TLB_FLUSH_ALL:
      flushTlb(vcpu, domain.vcpus);
      return 0;
    case abi.MMUEXT_INVLPG_LOCAL:
      flushAddress(vcpu, [vcpu], op.arg1);
      return 0;
    case abi.MMUEXT_INVLPG_ALL:
      flushAddress(vcpu, domain.vcpus, op.arg1);
      return 0;
    case abi.MMUEXT_TLB_FLUSH_MULTI:
    case abi.MMUEXT_INVLPG_MULTI:
      return flushMany(vcpu, op);
    case abi.MMUEXT_FLUSH_CACHE:
    case abi.MMUEXT_FLUSH_CACHE_GLOBAL:
      // cache_flush_permitted: for domains with hardware.
      return -EACCES;
    case abi.MMUEXT_SET_LDT:
      return setLdt(vcpu, op.arg1, op.arg2 & 0xffffffffn);
    case abi.MMUEXT_CLEAR_PAGE:
      return clearPage(vcpu, mfn);
    case abi.MMUEXT_COPY_PAGE:
      return copyPage(vcpu, mfn, Number(op.arg2));
    case abi.MMUEXT_MARK_SUPER:
    case abi.MMUEXT_UNMARK_SUPER:
      return -EOPNOTSUPP;
    default:
      return -ENOSYS;
  }
}

function mmuextOp(vcpu: Vcpu, args: HypercallArgs): number {
  const batch = openBatch(vcpu, args, abi.mmuext_op.size);
  if (typeof batch === 'number') return batch;
  const owner = pageOwner(vcpu.domain.domid, args.u32(3));
  if (owner !== 'self') return owner === 'io' ? -EPERM : owner;
  const result = runBatch(vcpu, batch, (words) => operate(vcpu, decode(words)));
  const { log } = vcpu.domain;
  if (log.traces('mmu')) log.trace('mmu', 'mmuext_op', { vcpu: vcpu.id, count: batch.count, result });
  return result;
}

export const mmuext_op: Hypercall = {
  number: abi.__HYPERVISOR_mmuext_op,
  name: 'mmuext_op',
  handler: mmuextOp,
};
