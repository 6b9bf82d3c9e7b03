/** A virtual CPU as the hypercalls see it. */
import type { Gpa } from '../../kvm/guest-memory.js';
import type { GuestAccess } from '../mm/guest-access.js';
import type { EntryRegisters } from '../monitor/initial-state.js';
import type { VcpuArea } from '../monitor/vcpu-area.js';
import type { Domain } from './domain-state.js';
import type { Runstate } from './runstate.js';

export interface Vcpu {
  readonly id: number;
  readonly domain: Domain;
  /** Shared with the monitor; hostile. */
  readonly area: VcpuArea;
  /** Guest linear addresses through this vCPU's current page tables. */
  readonly guest: GuestAccess;
  /** Where this vCPU's vcpu_info is; kept here, out of the guest's reach. */
  vcpuInfo: Gpa;
  /** Waits in SCHEDOP_poll. */
  readonly polling: boolean;
  /** Set once VCPUOP_register_vcpu_info moved it: it can be moved only once. */
  vcpuInfoMoved: boolean;
  /** Periodic timer (VCPUOP_set_periodic_timer), ns; 0 is off. Setting it starts a new period. */
  periodNs: number;
  readonly runstate: Runstate;
  /** NMIs: one waits, one runs; `fastPaths` is what the area's fast_paths was before the handler. */
  readonly nmi: { pending: boolean; inHandler: boolean; fastPaths: number };
  /** VCPUOP_register_vcpu_time_memory_area: kept like vcpu_info's time, in a page that is held as a writable one. */
  timeArea: Gpa | undefined;

  /** Has registers to start with: the first vCPU, or after VCPUOP_initialise. */
  initialised: boolean;
  /** What it starts with when `online` is first set. */
  startRegisters: EntryRegisters | undefined;
  /** Not VPF_down: runs, or waits to. A vCPU that goes down finishes the hypercall that it is in. */
  online: boolean;

  /** Adds PENDING_* work for the monitor to do before the guest goes on. */
  addPending(bits: number): void;
  /** Takes its NMI on its way back to the guest; it is woken up for that (vcpu_kick, xen/arch/x86/domain.c). */
  stopForNmi(): void;
  /** SCHEDOP_block: sleeps until an event is pending for this vCPU. */
  block(): void;
  /** SCHEDOP_poll: sleeps until one of at most MAX_POLL_PORTS ports is pending, an upcall is due, or at timeoutNs (0: never). */
  poll(ports: readonly number[], timeoutNs: number): void;
  /** One-shot timer at a system time in ns; 0 stops it. */
  setTimer(deadlineNs: number): void;
}
