/** What a machine's ioctls move: memory, interrupt controllers, timer, clock, events. */
import { array, bytes, cstruct, type Decoded, group, pad, u8, u32, u64, union } from '../../base/layout.js';
import { kvm_pit_channel_state } from './vcpu.js';

const ASM = 'asm/kvm.h';
const LINUX = 'linux/kvm.h';

export const KVM_MEM_LOG_DIRTY_PAGES = 1;
export const KVM_MEM_READONLY = 2;

export const kvm_enable_cap = cstruct('struct kvm_enable_cap', LINUX, 104, {
  cap: u32,
  flags: u32,
  args: array(u64, 4),
  pad: pad(64),
});

export const KVM_PIT_SPEAKER_DUMMY = 1;
export const kvm_pit_config = cstruct('struct kvm_pit_config', LINUX, 64, { flags: u32, pad: pad(60) });
export const kvm_pit_state2 = cstruct('struct kvm_pit_state2', ASM, 112, {
  channels: array(kvm_pit_channel_state, 3),
  flags: u32,
  reserved: array(u32, 9),
});
export const kvm_reinject_control = cstruct('struct kvm_reinject_control', ASM, 32, {
  pit_reinject: u8,
  reserved: bytes(31),
});

export const KVM_IRQCHIP_PIC_MASTER = 0;
export const KVM_IRQCHIP_PIC_SLAVE = 1;
export const KVM_IRQCHIP_IOAPIC = 2;
export const kvm_pic_state = cstruct('struct kvm_pic_state', ASM, 16, {
  last_irr: u8,
  irr: u8,
  imr: u8,
  isr: u8,
  priority_add: u8,
  irq_base: u8,
  read_reg_select: u8,
  poll: u8,
  special_mask: u8,
  init_state: u8,
  auto_eoi: u8,
  rotate_on_auto_eoi: u8,
  special_fully_nested_mode: u8,
  init4: u8,
  elcr: u8,
  elcr_mask: u8,
});
export const kvm_ioapic_state = cstruct('struct kvm_ioapic_state', ASM, 216, {
  base_address: u64,
  ioregsel: u32,
  id: u32,
  irr: u32,
  pad: pad(4),
  redirtbl: array(u64, 24),
});
export const kvm_irqchip = cstruct('struct kvm_irqchip', LINUX, 520, {
  chip_id: u32,
  pad: pad(4),
  chip: union({ dummy: bytes(512), pic: kvm_pic_state, ioapic: kvm_ioapic_state }),
});

export const kvm_irq_level = cstruct('struct kvm_irq_level', LINUX, 8, { irq: u32, level: u32 });

export const KVM_CLOCK_TSC_STABLE = 2;
export const KVM_CLOCK_REALTIME = 4;
export const KVM_CLOCK_HOST_TSC = 8;
export const kvm_clock_data = cstruct('struct kvm_clock_data', LINUX, 48, {
  clock: u64,
  flags: u32,
  pad0: pad(4),
  realtime: u64,
  host_tsc: u64,
  pad: pad(16),
});

export const kvm_msi = cstruct('struct kvm_msi', LINUX, 32, {
  address_lo: u32,
  address_hi: u32,
  data: u32,
  flags: u32,
  devid: u32,
  pad: pad(12),
});

export const KVM_IRQ_ROUTING_IRQCHIP = 1;
export const KVM_IRQ_ROUTING_MSI = 2;
export const kvm_irq_routing_entry = cstruct('struct kvm_irq_routing_entry', LINUX, 48, {
  gsi: u32,
  type: u32,
  flags: u32,
  pad: pad(4),
  u: union({
    irqchip: group({ irqchip: u32, pin: u32 }),
    msi: group({ address_lo: u32, address_hi: u32, data: u32, devid: u32 }),
    pad: bytes(32),
  }),
});
/** Entries follow. */
export const kvm_irq_routing = cstruct('struct kvm_irq_routing', LINUX, 8, { nr: u32, flags: u32 });

export const KVM_IRQFD_FLAG_DEASSIGN = 1;
export const KVM_IRQFD_FLAG_RESAMPLE = 2;
export const KVM_IOEVENTFD_FLAG_DATAMATCH = 1;
export const KVM_IOEVENTFD_FLAG_PIO = 2;
export const KVM_IOEVENTFD_FLAG_DEASSIGN = 4;

export const kvm_coalesced_mmio_zone = cstruct('struct kvm_coalesced_mmio_zone', LINUX, 16, {
  addr: u64,
  size: u32,
  pio: u32,
});

export const KVM_MSR_FILTER_READ = 1;
export const KVM_MSR_FILTER_WRITE = 2;
export const KVM_MSR_FILTER_DEFAULT_ALLOW = 0;
export const KVM_MSR_FILTER_DEFAULT_DENY = 1;

export type KvmPitState2 = Decoded<typeof kvm_pit_state2>;
export type KvmPicState = Decoded<typeof kvm_pic_state>;
export type KvmIoapicState = Decoded<typeof kvm_ioapic_state>;
export type KvmClockData = Decoded<typeof kvm_clock_data>;
