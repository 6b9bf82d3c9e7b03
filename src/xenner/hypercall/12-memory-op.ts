/** do_memory_op (xen/common/memory.c) and arch_memory_op (xen/arch/x86/mm.c), as a PV domU is answered. */
import type { CStruct } from '../../base/layout.js';
import { EACCES, EDOM, EFAULT, EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from '../abi/errno.js';
import * as abi from '../abi/memory.js';
import { __HYPERVISOR_memory_op } from '../abi/xen.js';
import type { Domain } from '../domain/domain-state.js';
import type { Vcpu } from '../domain/vcpu.js';
import { HOST_DOMID } from '../event-channels.js';
import type { Hypercall } from './call.js';
import { checkTarget, isSelf } from './memory/domain-of.js';
import { exchangeMemory } from './memory/exchange.js';
import { machphysMapping, machphysMfnList, maximumGpfn, memoryMap } from './memory/maps.js';
import { changeReservation } from './memory/reservation.js';

const MEMOP_EXTENT_SHIFT = 6n;
const MEMOP_CMD_MASK = 0x3fn;
const MAX_U16 = 0xffff;

type Operation = (vcpu: Vcpu, arg: bigint) => number | bigint;

/** An operation on the domain that its argument names. */
function onDomain<T extends { domid: number }>(
  layout: CStruct<T>,
  act: (domain: Domain, op: T) => number,
): Operation {
  return (vcpu, arg) => {
    const op = vcpu.guest.readStruct(layout, arg);
    if (op === undefined) return -EFAULT;
    return checkTarget(vcpu.domain, op.domid) || act(vcpu.domain, op);
  };
}

/** A PV domain has no physmap of Xen's keeping; xatp_permission_check comes before any privilege. */
function noPhysmap<T extends { domid: number }>(layout: CStruct<T>, refuses: (op: T) => number): Operation {
  return (vcpu, arg) => {
    const op = vcpu.guest.readStruct(layout, arg);
    if (op === undefined) return -EFAULT;
    const known = isSelf(vcpu.domain, op.domid) || op.domid === HOST_DOMID;
    return refuses(op) || (known ? -EACCES : -ESRCH);
  };
}

function getMaximumGpfn(vcpu: Vcpu, arg: bigint): number | bigint {
  const op = vcpu.guest.readStruct(abi.xen_memory_domain, arg);
  if (op === undefined) return -EFAULT;
  return checkTarget(vcpu.domain, op.domid) || maximumGpfn(vcpu);
}

/** For domains that control another one. */
function acquireResource(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.xen_mem_acquire_resource, arg);
  if (op === undefined) return -EFAULT;
  if (op.pad !== 0 || (op.frame + BigInt(op.nr_frames)) >> 32n !== 0n) return -EINVAL;
  return isSelf(vcpu.domain, op.domid) || op.domid === HOST_DOMID ? -EPERM : -ESRCH;
}

function podTarget(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.xen_pod_target, arg);
  if (op === undefined) return -EFAULT;
  return isSelf(vcpu.domain, op.domid) || op.domid === HOST_DOMID ? -EPERM : -ESRCH;
}

/** Those that cannot be interrupted half-way. */
const operations = new Map<number, Operation>([
  [abi.XENMEM_maximum_ram_page, (vcpu) => vcpu.domain.totalPages],
  [
    abi.XENMEM_current_reservation,
    onDomain(abi.xen_memory_domain, (domain) => domain.nrPages - domain.freeFrames.count),
  ],
  [abi.XENMEM_maximum_reservation, onDomain(abi.xen_memory_domain, (domain) => domain.nrPages)],
  [abi.XENMEM_maximum_gpfn, getMaximumGpfn],
  [abi.XENMEM_exchange, exchangeMemory],
  [abi.XENMEM_memory_map, memoryMap],
  [abi.XENMEM_machine_memory_map, () => -EPERM],
  [abi.XENMEM_machphys_mapping, machphysMapping],
  [abi.XENMEM_machphys_mfn_list, machphysMfnList],
  [abi.XENMEM_remove_from_physmap, noPhysmap(abi.xen_remove_from_physmap, () => 0)],
  [abi.XENMEM_set_pod_target, podTarget],
  [abi.XENMEM_get_pod_target, podTarget],
  [abi.XENMEM_get_vnumainfo, onDomain(abi.xen_vnuma_topology_info, () => -EOPNOTSUPP)],
  [abi.XENMEM_acquire_resource, acquireResource],
]);

const addToPhysmap = noPhysmap(abi.xen_add_to_physmap, ({ space }) =>
  space === abi.XENMAPSPACE_gmfn_foreign ? -ENOSYS : 0,
);
const addToPhysmapBatch = noPhysmap(abi.xen_add_to_physmap_batch, ({ space }) =>
  space === abi.XENMAPSPACE_gmfn_range ? -EOPNOTSUPP : 0,
);

function memory(vcpu: Vcpu, cmd: bigint, arg: bigint): number | bigint {
  const op = Number(cmd & MEMOP_CMD_MASK);
  // Where a call that was interrupted goes on: Xen puts it there itself, so the guest can.
  const start = Number(cmd >> MEMOP_EXTENT_SHIFT);
  switch (op) {
    case abi.XENMEM_increase_reservation:
    case abi.XENMEM_decrease_reservation:
    case abi.XENMEM_populate_physmap:
      return Number.isSafeInteger(start)
        ? changeReservation(vcpu, op, start, arg)
        : cmd >> MEMOP_EXTENT_SHIFT;
    case abi.XENMEM_add_to_physmap:
      return start > MAX_U16 ? -EDOM : addToPhysmap(vcpu, arg);
    case abi.XENMEM_add_to_physmap_batch:
      return start > MAX_U16 ? -EDOM : addToPhysmapBatch(vcpu, arg);
    default: {
      const operation = operations.get(op);
      if (operation === undefined) return -ENOSYS;
      return start === 0 ? operation(vcpu, arg) : -EINVAL;
    }
  }
}

export const memory_op: Hypercall = {
  number: __HYPERVISOR_memory_op,
  name: 'memory_op',
  handler: (vcpu, args) => memory(vcpu, args.u64(0), args.u64(1)),
};
