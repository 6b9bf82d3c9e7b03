/** A virtual machine of KVM: memory slots, interrupt controllers, event descriptors, vCPUs. */
import { loadAddon } from '../addon.js';
import type { GuestMemory } from '../guest-memory.js';
import {
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IOEVENTFD_FLAG_PIO,
  KVM_IRQFD_FLAG_DEASSIGN,
  KVM_IRQFD_FLAG_RESAMPLE,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  type KvmClockData,
  type KvmPitState2,
  kvm_clock_data,
  kvm_coalesced_mmio_zone,
  kvm_enable_cap,
  kvm_irq_level,
  kvm_irqchip,
  kvm_msi,
  kvm_pit_config,
  kvm_pit_state2,
  kvm_reinject_control,
} from '../uapi/vm.js';
import type { EventFd } from './event-fd.js';
import { encodeRoutes, type GsiRoute, splitAddress } from './gsi-routing.js';
import type { NativeKvmVm } from './native.js';
import { KvmVcpu } from './vcpu.js';

/** Addresses and sizes in bytes. */
export interface MemorySlot {
  slot: number;
  /** Guest-physical. */
  address: number;
  memory: GuestMemory;
  /** Where in `memory` the slot begins; 0. */
  offset?: number;
  /** Default: the rest of `memory`. */
  bytes?: number;
  /** Writes become KVM_EXIT_MMIO. */
  readonly?: boolean;
  logDirtyPages?: boolean;
}

export interface IoEvent {
  event: EventFd;
  /** A port number with `port`, else guest-physical. */
  address: number;
  /** Bytes of the write: 1, 2, 4 or 8; 0: any. */
  length: number;
  port?: boolean;
  /** Only writes of this value; the others stay exits. */
  datamatch?: bigint;
}

/** MSRs from `base` on, one bit each in `bitmap` (a multiple of 8 bytes): 1 lets the guest's access through. */
export interface MsrFilterRange {
  /** KVM_MSR_FILTER_READ, KVM_MSR_FILTER_WRITE. */
  flags: number;
  base: number;
  nmsrs: number;
  bitmap: Uint8Array;
}

/** Errors as for Kvm. Every method may be called while vCPUs run, from each thread that has a handle. */
export class KvmVm {
  readonly #native: NativeKvmVm;

  private constructor(native: NativeKvmVm) {
    this.#native = native;
  }

  /** For Kvm.createVm(). */
  static of(native: NativeKvmVm): KvmVm {
    return new KvmVm(native);
  }

  /** A handle for another thread of this process, which may make vCPUs of its own. Its close() leaves the machine open. */
  static attach(id: number): KvmVm {
    return new KvmVm(loadAddon().KvmVm.attach(id));
  }

  /** For attach(). */
  get id(): number {
    return this.#native.id;
  }

  /** KVM_CHECK_EXTENSION of this machine. */
  checkExtension(capability: number): number {
    return this.#native.checkExtension(capability);
  }

  /** KVM_ENABLE_CAP. */
  enableCap(cap: number, ...args: bigint[]): void {
    this.#native.enableCap(kvm_enable_cap.create({ cap, args: [...args, 0n, 0n, 0n, 0n].slice(0, 4) }));
  }

  /**
   * KVM_SET_USER_MEMORY_REGION: makes a slot, moves it or changes its flags. The memory stays mapped as long as the slot,
   * whoever closes its handles. EEXIST: it overlaps another slot; EINVAL: no whole pages, or no such slot number; ERANGE: it
   * ends beyond `memory`.
   */
  setMemory(slot: MemorySlot): void {
    const { memory, offset = 0 } = slot;
    const flags = (slot.logDirtyPages ? KVM_MEM_LOG_DIRTY_PAGES : 0) | (slot.readonly ? KVM_MEM_READONLY : 0);
    const bytes = slot.bytes ?? Math.max(0, memory.size - offset);
    this.#native.setMemory(slot.slot, flags, slot.address, memory.native, offset, bytes);
  }

  /** Frees the slot's number. ENOENT or EINVAL when there is none. */
  deleteMemory(slot: number): void {
    this.#native.deleteMemory(slot);
  }

  /** KVM_GET_DIRTY_LOG: bit n is page n of the slot, written to since the last call. Needs `logDirtyPages`. */
  getDirtyLog(slot: number): Uint8Array {
    return this.#native.getDirtyLog(slot);
  }

  /** KVM_CLEAR_DIRTY_LOG, with KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2. */
  clearDirtyLog(slot: number, firstPage: number, pages: number, bitmap: Uint8Array): void {
    this.#native.clearDirtyLog(slot, firstPage, pages, bitmap);
  }

  /** KVM_CREATE_IRQCHIP: PICs, I/O APIC and LAPICs in the kernel. Before any vCPU. */
  createIrqchip(): void {
    this.#native.createIrqchip();
  }

  /** KVM_CREATE_PIT2: an i8254 in the kernel, ports 0x40-0x43; 0x61 with `speaker`. After createIrqchip(). */
  createPit2(flags = 0): void {
    this.#native.createPit2(kvm_pit_config.create({ flags }));
  }

  /** KVM_IRQ_LINE. */
  irqLine(irq: number, level: boolean): void {
    this.#native.irqLine(kvm_irq_level.create({ irq, level: level ? 1 : 0 }));
  }

  /** KVM_SIGNAL_MSI. False: the guest's LAPIC has it blocked. */
  signalMsi(address: bigint, data: number): boolean {
    return this.#native.signalMsi(kvm_msi.create({ ...splitAddress(address), data })) > 0;
  }

  /** KVM_SET_GSI_ROUTING: replaces the whole table. */
  setGsiRouting(routes: readonly GsiRoute[]): void {
    this.#native.setGsiRouting(encodeRoutes(routes));
  }

  /** KVM_IRQFD: each signal of `event` raises the gsi. `resample` is signalled at the guest's EOI, for level interrupts. */
  irqfd(event: EventFd, gsi: number, resample?: EventFd): void {
    const flags = resample === undefined ? 0 : KVM_IRQFD_FLAG_RESAMPLE;
    this.#native.irqfd(event.native, gsi, flags, resample?.native);
  }

  removeIrqfd(event: EventFd, gsi: number): void {
    this.#native.irqfd(event.native, gsi, KVM_IRQFD_FLAG_DEASSIGN);
  }

  /** KVM_IOEVENTFD: the guest's writes there signal the event and are no exits. */
  ioeventfd(io: IoEvent): void {
    this.#ioeventfd(io, 0);
  }

  /** The same members as were given to ioeventfd(). */
  removeIoeventfd(io: IoEvent): void {
    this.#ioeventfd(io, KVM_IOEVENTFD_FLAG_DEASSIGN);
  }

  /** KVM_GET_IRQCHIP, as bytes of struct kvm_irqchip; chip: KVM_IRQCHIP_*. */
  getIrqchip(chip: number): Uint8Array {
    const bytes = kvm_irqchip.create({ chip_id: chip });
    this.#native.getIrqchip(bytes);
    return bytes;
  }

  setIrqchip(bytes: Uint8Array): void {
    this.#native.setIrqchip(bytes);
  }

  getPit2(): KvmPitState2 {
    const bytes = kvm_pit_state2.create({});
    this.#native.getPit2(bytes);
    return kvm_pit_state2.decode(bytes);
  }

  setPit2(state: KvmPitState2): void {
    this.#native.setPit2(kvm_pit_state2.create(state));
  }

  /** KVM_REINJECT_CONTROL: whether missed ticks of the PIT are made up for. */
  reinjectControl(reinject: boolean): void {
    this.#native.reinjectControl(kvm_reinject_control.create({ pit_reinject: reinject ? 1 : 0 }));
  }

  /** KVM_GET_CLOCK: kvmclock, in ns. */
  getClock(): KvmClockData {
    const bytes = kvm_clock_data.create({});
    this.#native.getClock(bytes);
    return kvm_clock_data.decode(bytes);
  }

  setClock(clock: Partial<KvmClockData>): void {
    this.#native.setClock(kvm_clock_data.create(clock));
  }

  /** KVM_SET_TSS_ADDR: three pages of the first 4 GiB that Intel's VMX needs, in no slot. Before any vCPU. */
  setTssAddr(address: number): void {
    this.#native.setTssAddr(address);
  }

  /** KVM_SET_IDENTITY_MAP_ADDR: one page, likewise. */
  setIdentityMapAddr(address: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(address));
    this.#native.setIdentityMapAddr(bytes);
  }

  setBootCpuId(id: number): void {
    this.#native.setBootCpuId(id);
  }

  /** KVM_X86_SET_MSR_FILTER; flags: KVM_MSR_FILTER_DEFAULT_*. What it denies is #GP, or an exit with KVM_CAP_X86_USER_SPACE_MSR. */
  setMsrFilter(flags: number, ranges: readonly MsrFilterRange[]): void {
    this.#native.setMsrFilter(
      flags,
      ranges.map((range) => [range.flags, range.base, range.nmsrs, range.bitmap]),
    );
  }

  /** Writes there are gathered in a ring (the third page of each vCPU's `page`) instead of being exits. */
  registerCoalescedMmio(address: bigint, size: number, port = false): void {
    const zone = kvm_coalesced_mmio_zone.create({ addr: address, size, pio: port ? 1 : 0 });
    this.#native.registerCoalescedMmio(zone);
  }

  unregisterCoalescedMmio(address: bigint, size: number, port = false): void {
    const zone = kvm_coalesced_mmio_zone.create({ addr: address, size, pio: port ? 1 : 0 });
    this.#native.unregisterCoalescedMmio(zone);
  }

  /** KVM_CREATE_VCPU. The vCPU belongs to the calling thread. EEXIST: this machine has that one already. */
  createVcpu(index: number): KvmVcpu {
    return KvmVcpu.of(this.#native.createVcpu(index));
  }

  /**
   * Idempotent. By the one who created the machine: pulls every vCPU out of the guest, whichever thread runs it, closes them
   * all, then the machine. By one who attached to it: gives up this handle.
   */
  close(): void {
    this.#native.close();
  }

  #ioeventfd(io: IoEvent, flags: number): void {
    const all =
      flags |
      (io.port ? KVM_IOEVENTFD_FLAG_PIO : 0) |
      (io.datamatch === undefined ? 0 : KVM_IOEVENTFD_FLAG_DATAMATCH);
    this.#native.ioeventfd(io.event.native, io.address, io.length, all, io.datamatch ?? 0n);
  }
}
