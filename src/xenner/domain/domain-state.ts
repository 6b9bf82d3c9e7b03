/** A running domain as the hypercalls see it: everything lives on its vCPU thread. */
import type { Logger } from '../../base/log.js';
import type { Gpa, GuestMemory } from '../../kvm/guest-memory.js';
import type { EventChannels } from '../event-channels.js';
import type { GrantTable } from '../grant-table.js';
import type { PageTypes } from '../mm/page-types.js';
import type { DomainArea } from '../monitor/vcpu-area.js';
import type { AbiProfile } from '../profile/abi-profile.js';
import type { FreeFrames } from './free-frames.js';
import type { Vcpu } from './vcpu.js';
import type { Watchdogs } from './watchdogs.js';

/** How a guest ends: SHUTDOWN_* of sched.h. */
export interface Shutdown {
  readonly reason: number;
}

export interface Domain {
  /** What it is told about the machine that it is on. */
  readonly profile: AbiProfile;
  readonly domid: number;
  /** 16 bytes, as XENVER_guest_handle gives it. */
  readonly handle: Uint8Array;
  readonly memory: GuestMemory;
  /** The guest's own frames are 0 .. nrPages - 1; Xen's follow up to totalPages - 1. MFN == guest frame. */
  readonly nrPages: number;
  readonly totalPages: number;
  readonly area: DomainArea;
  readonly sharedInfo: Gpa;
  /** A byte an event channel, for the monitor: vcpu_area.h. */
  readonly ports: Gpa;
  /** The machine-to-phys table, 8 bytes a frame. */
  readonly m2p: Gpa;
  /** Page types, 8 bytes a frame: vcpu_area.h. */
  readonly pageInfo: Gpa;
  /** GDT page tables: 16 L1 entries a vCPU, 8 bytes each, for the guest's GDT frames (14) and Xen's own page. */
  readonly gdtL1: Gpa;
  /** LDT page tables: 16 L1 entries a vCPU. */
  readonly ldtL1: Gpa;
  /** Frames for grant entries, shared with the guest: see GrantTable. */
  readonly grantFrames: { readonly firstMfn: number; readonly count: number };
  readonly pages: PageTypes;
  readonly events: EventChannels;
  readonly grants: GrantTable;
  readonly vcpus: readonly Vcpu[];
  /** They run at the same time: what one of them makes the hypervisor do, the others may be in the middle of. */
  readonly parallel: boolean;
  /** Enabled VMASST_TYPE_*: a bit each. */
  vmAssist: bigint;
  /** Frames that the guest gave up with memory_op. */
  readonly freeFrames: FreeFrames;
  /** SCHEDOP_shutdown_code: what the next shutdown reports whatever its own reason. */
  shutdownCode: number | undefined;
  /** The vCPU thread ends the domain with SHUTDOWN_watchdog when the earliest comes. */
  readonly watchdogs: Watchdogs;
  /** The frame of PHYSDEVOP_pirq_eoi_gmfn, held as a writable page. */
  pirqEoiMfn: number | undefined;

  /** System time, ns since the domain started; monotonic. */
  systemTime(): number;
  /** console_io output. */
  consoleWrite(text: Uint8Array): void;
  /** A vCPU has an event to look at, or may: it leaves SCHEDOP_block or _poll, or is kicked out of the guest. */
  wake(vcpuId: number): void;
  /** VIRQ_TIMER of this vCPU is bound to another port; 0 is none. */
  timerPort(vcpuId: number, port: number): void;
  /** Ends the domain once the current hypercall has returned. */
  shutdown(reason: number): void;
  /** To be called after the hypervisor wrote guest memory that may hold code (page copies, grant copies). */
  codeWritten(gpa: Gpa, length: number): void;
  readonly log: Logger;
}
