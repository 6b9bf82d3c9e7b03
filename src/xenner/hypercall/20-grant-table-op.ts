/**
 * do_grant_table_op (xen/common/grant_table.c). Each operation of a batch has its own status; the hypercall itself fails
 * only for what it cannot read or write, and then with the operations before it done.
 */

import type { CStruct, Decoded } from '../../base/layout.js';
import { MAX_GRANT_OPERATIONS } from '../../base/limits.js';
import { E2BIG, EFAULT, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from '../abi/errno.js';
import * as abi from '../abi/grant-table.js';
import { __HYPERVISOR_grant_table_op } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import type { GrantTable } from '../grant-table.js';
import { addressOk } from '../mm/guest-list.js';
import { flushTlb } from '../mm/tlb.js';
import type { Hypercall } from './call.js';

const PAGE = 4096;
/** The upper bits of the command carry the state of a cache_flush that Xen interrupted, which here never is. */
const GNTTABOP_CMD_MASK = 0xfff;

type Operation = (vcpu: Vcpu, list: bigint, count: number) => number;

/**
 * Operations one after the other, each with a status: it alone is written, as in Xen, so that the rest stays as the guest
 * has it. `act` returns the status, or false where Xen answers -EFAULT.
 */
function batch<T extends object>(
  layout: CStruct<T>,
  act: (vcpu: Vcpu, op: T, at: bigint) => number | false,
): Operation {
  const statusAt = BigInt(layout.offsetof('status'));
  return each(layout, (vcpu, op, at) => {
    const status = act(vcpu, op, at);
    if (status === false) return -EFAULT;
    const bytes = new Uint8Array(2);
    new DataView(bytes.buffer).setInt16(0, status, true);
    return vcpu.guest.write(at + statusAt, bytes) ? 0 : -EFAULT;
  });
}

/** Stops at the first operation that is an error of the hypercall itself. */
function each<T extends object>(
  layout: CStruct<T>,
  act: (vcpu: Vcpu, op: T, at: bigint) => number,
): Operation {
  return (vcpu, list, count) => {
    if (!addressOk(list)) return -EFAULT;
    let result = 0;
    for (let i = 0; i < count && result === 0; i++) {
      const at = BigInt.asUintN(64, list + BigInt(i * layout.size));
      const op = vcpu.guest.readStruct(layout, at);
      result = op === undefined ? -EFAULT : act(vcpu, op, at);
    }
    return result;
  };
}

/** Mappings go away: no CPU may still have them, however far the batch came. */
function thenFlush(operation: Operation): Operation {
  return (vcpu, list, count) => {
    const result = operation(vcpu, list, count);
    if (count !== 0) flushTlb(vcpu, vcpu.domain.vcpus);
    return result;
  };
}

/** One operation on a whole table, which answers with a status too. */
function single<T extends object>(
  layout: CStruct<T>,
  act: (vcpu: Vcpu, op: T, at: bigint) => number | false,
): Operation {
  const operation = batch(layout, act);
  return (vcpu, list, count) => (count === 1 ? operation(vcpu, list, 1) : -EINVAL);
}

function map(vcpu: Vcpu, op: Parameters<GrantTable['map']>[1], at: bigint): number | false {
  const answer = vcpu.domain.grants.map(vcpu, op);
  if (typeof answer === 'number') return answer;
  return vcpu.guest.writeStruct(abi.gnttab_map_grant_ref, at, answer) && abi.GNTST_okay;
}

function copyFrames(vcpu: Vcpu, frameList: bigint, count: number, frame: (index: number) => number): number {
  for (let i = 0; i < count; i++) {
    const at = BigInt.asUintN(64, frameList + BigInt(i * 8));
    if (!vcpu.guest.writeU64(at, BigInt(frame(i)))) return abi.GNTST_bad_virt_addr;
  }
  return abi.GNTST_okay;
}

const setupTable = single(abi.gnttab_setup_table, (vcpu, op) => {
  const { grants } = vcpu.domain;
  if (!addressOk(op.frame_list)) return false;
  const status = grants.checkTarget(op.dom) || grants.grow(op.nr_frames);
  if (status !== abi.GNTST_okay) return status;
  return copyFrames(vcpu, op.frame_list, op.nr_frames, (index) => grants.frameMfn(index));
});

/** Version 1 has none. */
const getStatusFrames = single(abi.gnttab_get_status_frames, (vcpu, op) => {
  if (!addressOk(op.frame_list)) return false;
  const status = vcpu.domain.grants.checkTarget(op.dom);
  return status === abi.GNTST_okay && op.nr_frames !== 0 ? abi.GNTST_general_error : status;
});

const querySize = single(abi.gnttab_query_size, (vcpu, op, at) => {
  const { grants } = vcpu.domain;
  const status = grants.checkTarget(op.dom);
  if (status !== abi.GNTST_okay) return status;
  const answer = { nr_frames: grants.nrFrames, max_nr_frames: grants.maxFrames };
  return vcpu.guest.writeStruct(abi.gnttab_query_size, at, answer) && abi.GNTST_okay;
});

/** As for a domain whose max_grant_version is 1: as before set_version was introduced. */
function setVersion(vcpu: Vcpu, at: bigint): number {
  const op = vcpu.guest.readStruct(abi.gnttab_set_version, at);
  if (op === undefined) return -EFAULT;
  if (!vcpu.guest.writeStruct(abi.gnttab_set_version, at, { version: 1 })) return -EFAULT;
  if (op.version === 1) return 0;
  return op.version === 2 ? -ENOSYS : -EINVAL;
}

function getVersion(vcpu: Vcpu, at: bigint): number {
  const op = vcpu.guest.readStruct(abi.gnttab_get_version, at);
  if (op === undefined) return -EFAULT;
  const status = vcpu.domain.grants.checkTarget(op.dom);
  if (status !== abi.GNTST_okay) return status === abi.GNTST_bad_domain ? -ESRCH : -EPERM;
  return vcpu.guest.writeStruct(abi.gnttab_get_version, at, { version: 1 }) ? 0 : -EFAULT;
}

type CacheFlush = Decoded<typeof abi.gnttab_cache_flush>;

/** _cache_flush, for a CPU whose caches are coherent: the checks are what is left of it. */
function cacheFlush(vcpu: Vcpu, { a, offset, length, op }: CacheFlush): number {
  if (offset >= PAGE || offset + length > PAGE) return -EINVAL;
  if ((op & ~(abi.GNTTAB_CACHE_CLEAN | abi.GNTTAB_CACHE_INVAL)) !== 0) return -EINVAL;
  if (length === 0 || op === 0) return 0;
  const mfn = Number(a.dev_bus_addr >> 12n);
  const { pages } = vcpu.domain;
  if (mfn >= pages.totalPages) return -EINVAL;
  if (!pages.isOwned(mfn)) return -EPERM;
  return op === abi.GNTTAB_CACHE_INVAL ? -EOPNOTSUPP : 0;
}

const operations = new Map<number, Operation>([
  [abi.GNTTABOP_map_grant_ref, batch(abi.gnttab_map_grant_ref, map)],
  [
    abi.GNTTABOP_unmap_grant_ref,
    thenFlush(
      batch(abi.gnttab_unmap_grant_ref, (vcpu, op) =>
        vcpu.domain.grants.unmap(vcpu, { ...op, new_addr: 0n }),
      ),
    ),
  ],
  [
    abi.GNTTABOP_unmap_and_replace,
    thenFlush(
      batch(abi.gnttab_unmap_and_replace, (vcpu, op) =>
        vcpu.domain.grants.unmap(vcpu, { ...op, dev_bus_addr: 0n }),
      ),
    ),
  ],
  [abi.GNTTABOP_setup_table, setupTable],
  // No domain's pages can go to another: as Xen with gnttab=no-transfer.
  [abi.GNTTABOP_transfer, (_vcpu, list) => (addressOk(list) ? -EOPNOTSUPP : -EFAULT)],
  [abi.GNTTABOP_copy, batch(abi.gnttab_copy, (vcpu, op) => vcpu.domain.grants.copy(op))],
  [abi.GNTTABOP_query_size, querySize],
  [abi.GNTTABOP_set_version, setVersion],
  [abi.GNTTABOP_get_status_frames, getStatusFrames],
  [abi.GNTTABOP_get_version, getVersion],
  [
    abi.GNTTABOP_swap_grant_ref,
    batch(abi.gnttab_swap_grant_ref, (vcpu, op) => vcpu.domain.grants.swap(op.ref_a, op.ref_b)),
  ],
  [abi.GNTTABOP_cache_flush, each(abi.gnttab_cache_flush, cacheFlush)],
]);

function grantTableOp(vcpu: Vcpu, command: number, list: bigint, count: number): number {
  if (count >= 2 ** 31) return -EINVAL;
  if (command > GNTTABOP_CMD_MASK) return -EINVAL;
  const operation = operations.get(command);
  if (operation === undefined) return -ENOSYS;
  return count > MAX_GRANT_OPERATIONS ? -E2BIG : operation(vcpu, list, count);
}

export const grant_table_op: Hypercall = {
  number: __HYPERVISOR_grant_table_op,
  name: 'grant_table_op',
  handler: (vcpu, args) => {
    const command = args.u32(0);
    const count = args.u32(2);
    const result = grantTableOp(vcpu, command, args.u64(1), count);
    const { log } = vcpu.domain;
    if (log.traces('gnttab'))
      log.trace('gnttab', 'grant_table_op', { vcpu: vcpu.id, command, count, result });
    return result;
  },
};
