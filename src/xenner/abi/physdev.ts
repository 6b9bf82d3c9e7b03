/** xen/include/public/physdev.h: what a domU without devices calls, and the calls it must see refused. */
import { cstruct, pad, s32, u8, u16, u32, u64, union } from '../../base/layout.js';

const HEADER = 'physdev.h';

export const PHYSDEVOP_eoi = 12;
export const PHYSDEVOP_pirq_eoi_gmfn_v1 = 17;
export const PHYSDEVOP_pirq_eoi_gmfn_v2 = 28;
export const PHYSDEVOP_irq_status_query = 5;
export const PHYSDEVOP_set_iopl = 6;
export const PHYSDEVOP_set_iobitmap = 7;
export const PHYSDEVOP_apic_read = 8;
export const PHYSDEVOP_apic_write = 9;
export const PHYSDEVOP_alloc_irq_vector = 10;
export const PHYSDEVOP_free_irq_vector = 11;
export const PHYSDEVOP_map_pirq = 13;
export const PHYSDEVOP_unmap_pirq = 14;
export const PHYSDEVOP_manage_pci_add = 15;
export const PHYSDEVOP_manage_pci_remove = 16;
export const PHYSDEVOP_restore_msi = 19;
export const PHYSDEVOP_manage_pci_add_ext = 20;
export const PHYSDEVOP_setup_gsi = 21;
export const PHYSDEVOP_get_free_pirq = 23;
export const PHYSDEVOP_pci_mmcfg_reserved = 24;
export const PHYSDEVOP_pci_device_add = 25;
export const PHYSDEVOP_pci_device_remove = 26;
export const PHYSDEVOP_restore_msi_ext = 27;
export const PHYSDEVOP_prepare_msix = 30;
export const PHYSDEVOP_release_msix = 31;
export const PHYSDEVOP_IRQ_UNMASK_NOTIFY = 4;
export const MAP_PIRQ_TYPE_MSI = 0x0;
export const MAP_PIRQ_TYPE_GSI = 0x1;
export const MAP_PIRQ_TYPE_UNKNOWN = 0x2;
export const MAP_PIRQ_TYPE_MSI_SEG = 0x3;
export const MAP_PIRQ_TYPE_MULTI_MSI = 0x4;
export const XENIRQSTAT_needs_eoi = 1 << 0;
export const XENIRQSTAT_shared = 1 << 1;

export const physdev_eoi = cstruct('struct physdev_eoi', HEADER, 4, { irq: u32 });
export const physdev_pirq_eoi_gmfn = cstruct('struct physdev_pirq_eoi_gmfn', HEADER, 8, { gmfn: u64 });
export const physdev_irq_status_query = cstruct('struct physdev_irq_status_query', HEADER, 8, {
  irq: u32,
  flags: u32,
});
export const physdev_set_iopl = cstruct('struct physdev_set_iopl', HEADER, 4, { iopl: u32 });
export const physdev_set_iobitmap = cstruct('struct physdev_set_iobitmap', HEADER, 16, {
  bitmap: u64,
  nr_ports: u32,
  _pad: pad(4),
});
export const physdev_apic = cstruct('struct physdev_apic', HEADER, 16, {
  apic_physbase: u64,
  reg: u32,
  value: u32,
});
export const physdev_irq = cstruct('struct physdev_irq', HEADER, 8, { irq: u32, vector: u32 });
export const physdev_map_pirq = cstruct('struct physdev_map_pirq', HEADER, 40, {
  domid: u16,
  _pad0: pad(2),
  type: s32,
  index: s32,
  pirq: s32,
  bus: s32,
  devfn: s32,
  entry_nr: s32,
  _pad1: pad(4),
  table_base: u64,
});
export const physdev_unmap_pirq = cstruct('struct physdev_unmap_pirq', HEADER, 8, {
  domid: u16,
  _pad: pad(2),
  pirq: s32,
});
export const physdev_manage_pci = cstruct('struct physdev_manage_pci', HEADER, 2, { bus: u8, devfn: u8 });
export const physdev_setup_gsi = cstruct('struct physdev_setup_gsi', HEADER, 8, {
  gsi: s32,
  triggering: u8,
  polarity: u8,
  _pad: pad(2),
});
export const physdev_get_free_pirq = cstruct('struct physdev_get_free_pirq', HEADER, 8, {
  type: s32,
  pirq: u32,
});

/** Argument of physdev_op_compat. */
export const physdev_op = cstruct('struct physdev_op', HEADER, 24, {
  cmd: u32,
  _pad: pad(4),
  u: union({
    irq_status_query: physdev_irq_status_query,
    set_iopl: physdev_set_iopl,
    set_iobitmap: physdev_set_iobitmap,
    apic_op: physdev_apic,
    irq_op: physdev_irq,
  }),
});
