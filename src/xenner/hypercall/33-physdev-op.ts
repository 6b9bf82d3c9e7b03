/** do_physdev_op (xen/arch/x86/physdev.c), for a domain that was given no device. */
import type { CStruct } from '../../base/layout.js';
import { EBUSY, EFAULT, EINVAL, ENOSPC, ENOSYS, EPERM, ESRCH } from '../abi/errno.js';
import * as abi from '../abi/physdev.js';
import { __HYPERVISOR_physdev_op, DOMID_SELF } from '../abi/xen.js';
import type { Vcpu } from '../domain/vcpu.js';
import { HOST_DOMID } from '../event-channels.js';
import { addressOk } from '../mm/guest-list.js';
import { PGT_writable_page } from '../monitor/vcpu-area.js';
import type { Hypercall } from './call.js';
import { holdWritable } from './vcpu-areas.js';

type Operation = (vcpu: Vcpu, arg: bigint) => number;

/** As EVTCHNOP_bind_pirq has it: 24 pins and extra_domU_irqs. */
const NR_PIRQS = 24 + 32;
const MAX_IOPL = 3;
const NR_PORTS = 65_536;

function operation<T extends object>(layout: CStruct<T>, act: (vcpu: Vcpu, op: T) => number): Operation {
  return (vcpu, arg) => {
    const op = vcpu.guest.readStruct(layout, arg);
    return op === undefined ? -EFAULT : act(vcpu, op);
  };
}

/** The argument is read first, so a bad pointer is told even to a caller without privilege. */
function refused<T extends object>(layout: CStruct<T>): Operation {
  return operation(layout, () => -EPERM);
}

function setIopl(vcpu: Vcpu, { iopl }: { iopl: number }): number {
  if (iopl > MAX_IOPL) return -EINVAL;
  vcpu.area.setLow('iopl', iopl);
  return 0;
}

/** Programs may use the ports of the bitmap, though none of them belongs to a domU: the monitor's part. */
function setIobitmap(vcpu: Vcpu, op: { bitmap: bigint; nr_ports: number }): number {
  if (!addressOk(op.bitmap) || op.nr_ports > NR_PORTS) return -EINVAL;
  vcpu.area.set('iobitmap', op.bitmap);
  vcpu.area.setLow('iobitmap_ports', op.nr_ports);
  return 0;
}

function irqStatusQuery(vcpu: Vcpu, arg: bigint): number {
  const op = vcpu.guest.readStruct(abi.physdev_irq_status_query, arg);
  if (op === undefined) return -EFAULT;
  if (op.irq >= NR_PIRQS) return -EINVAL;
  const flags = abi.XENIRQSTAT_needs_eoi;
  return vcpu.guest.writeStruct(abi.physdev_irq_status_query, arg, { flags }) ? 0 : -EFAULT;
}

/** A page with a bit for each interrupt that needs PHYSDEVOP_eoi: none does. */
function eoiMap(vcpu: Vcpu, { gmfn }: { gmfn: bigint }): number {
  const { domain } = vcpu;
  const mfn = Number(gmfn);
  if (!holdWritable(vcpu, mfn)) return -EINVAL;
  if (domain.pirqEoiMfn !== undefined) {
    domain.pages.putPageType(vcpu, mfn, PGT_writable_page);
    return -EBUSY;
  }
  domain.pirqEoiMfn = mfn;
  return 0;
}

/** Who may map an interrupt for this domain: not the domain itself. */
function mapPirq(vcpu: Vcpu, { domid }: { domid: number }): number {
  const known = domid === DOMID_SELF || domid === vcpu.domain.domid || domid === HOST_DOMID;
  return known ? -EPERM : -ESRCH;
}

const operations = new Map<number, Operation>([
  [abi.PHYSDEVOP_IRQ_UNMASK_NOTIFY, () => 0],
  // No interrupt was bound, so there is none to end.
  [abi.PHYSDEVOP_eoi, operation(abi.physdev_eoi, () => -EINVAL)],
  [abi.PHYSDEVOP_pirq_eoi_gmfn_v1, operation(abi.physdev_pirq_eoi_gmfn, eoiMap)],
  [abi.PHYSDEVOP_pirq_eoi_gmfn_v2, operation(abi.physdev_pirq_eoi_gmfn, eoiMap)],
  [abi.PHYSDEVOP_irq_status_query, irqStatusQuery],
  [abi.PHYSDEVOP_set_iopl, operation(abi.physdev_set_iopl, setIopl)],
  [abi.PHYSDEVOP_set_iobitmap, operation(abi.physdev_set_iobitmap, setIobitmap)],
  [abi.PHYSDEVOP_apic_read, refused(abi.physdev_apic)],
  [abi.PHYSDEVOP_apic_write, refused(abi.physdev_apic)],
  [abi.PHYSDEVOP_alloc_irq_vector, refused(abi.physdev_irq)],
  [abi.PHYSDEVOP_map_pirq, operation(abi.physdev_map_pirq, mapPirq)],
  [abi.PHYSDEVOP_unmap_pirq, operation(abi.physdev_unmap_pirq, mapPirq)],
  [abi.PHYSDEVOP_manage_pci_add, refused(abi.physdev_manage_pci)],
  [abi.PHYSDEVOP_manage_pci_remove, refused(abi.physdev_manage_pci)],
  [abi.PHYSDEVOP_restore_msi, refused(abi.physdev_manage_pci)],
  [abi.PHYSDEVOP_setup_gsi, refused(abi.physdev_setup_gsi)],
  // All interrupts above the I/O APIC's pins are for devices that a toolstack assigns.
  [abi.PHYSDEVOP_get_free_pirq, operation(abi.physdev_get_free_pirq, () => -ENOSPC)],
  [abi.PHYSDEVOP_manage_pci_add_ext, () => -EPERM],
  [abi.PHYSDEVOP_pci_mmcfg_reserved, () => -EPERM],
  [abi.PHYSDEVOP_pci_device_add, () => -EPERM],
  [abi.PHYSDEVOP_pci_device_remove, () => -EPERM],
  [abi.PHYSDEVOP_restore_msi_ext, () => -EPERM],
  [abi.PHYSDEVOP_prepare_msix, () => -EPERM],
  [abi.PHYSDEVOP_release_msix, () => -EPERM],
]);

/** @param arg guest linear address of the operation's structure */
export function callPhysdevOp(vcpu: Vcpu, cmd: number, arg: bigint): number {
  return operations.get(cmd)?.(vcpu, arg) ?? -ENOSYS;
}

export const physdev_op: Hypercall = {
  number: __HYPERVISOR_physdev_op,
  name: 'physdev_op',
  handler: (vcpu, args) => callPhysdevOp(vcpu, args.s32(0), args.u64(1)),
};
