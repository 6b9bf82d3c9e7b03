/** The harness with every part of a domain that hypercalls use, and what they did to it written down. */
import { createLogger } from '../../../src/base/log.js';
import { gpa } from '../../../src/kvm/guest-memory.js';
import { RUNSTATE_offline, RUNSTATE_running } from '../../../src/xenner/abi/vcpu.js';
import { vcpu_info } from '../../../src/xenner/abi/xen.js';
import { FreeFrames } from '../../../src/xenner/domain/free-frames.js';
import { Runstate } from '../../../src/xenner/domain/runstate.js';
import { Watchdogs } from '../../../src/xenner/domain/watchdogs.js';
import { EventChannels } from '../../../src/xenner/event-channels.js';
import { GrantTable } from '../../../src/xenner/grant-table.js';
import type { Hypercall } from '../../../src/xenner/hypercall/call.js';
import { PageTypes } from '../../../src/xenner/mm/page-types.js';
import { PGC_xen } from '../../../src/xenner/monitor/vcpu-area.js';
import {
  Harness,
  L4_MFN,
  NR_PAGES,
  PAGE_INFO,
  pinInitialTables,
  type TestVcpu,
  TOTAL_PAGES,
} from './harness.js';

export { HOLE_VA, READ_ONLY_VA, UNMAPPED_VA } from './harness.js';

/** Addresses that nothing can be read from or written to. */
export const BAD_POINTERS = [
  0x300000n,
  0xffffffff80300000n,
  0xffff800000000000n,
  0xffff87fffffffff0n,
  0x8000_0000_0000_0000n,
  0n,
  2n ** 64n - 1n,
];
export const NON_CANONICAL = 0x0000800000000000n;
/** System time of every guest here, ns. */
export const NOW = 5_000_000_000;
/** Frames that nothing maps: those above it are the guest's too. */
export const FIRST_UNMAPPED_MFN = 512;

export class Guest extends Harness {
  readonly shutdowns: number[] = [];
  readonly console: string[] = [];
  /** Deadlines given to setTimer, by vCPU. */
  readonly timers: Array<[vcpu: number, deadlineNs: number]> = [];
  readonly blocked: number[] = [];
  readonly polls: Array<{ timeoutNs: number; ports: readonly number[] }> = [];

  constructor(options: { vcpus?: number } = {}) {
    super(options);
    const { domain, memory } = this;
    domain.log = createLogger([], { write: () => {} });
    domain.handle = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
    domain.systemTime = () => NOW;
    domain.consoleWrite = (text) => this.console.push(Buffer.from(text).toString('latin1'));
    domain.shutdown = (reason) => this.shutdowns.push(reason);
    domain.wake = () => {};
    domain.timerPort = (vcpu, port) => this.vcpus[vcpu]!.area.setLow('timer_port', port);
    domain.codeWritten = () => {};
    for (let mfn = NR_PAGES; mfn < TOTAL_PAGES; mfn++) memory.writeU32(gpa(PAGE_INFO + mfn * 8), PGC_xen);
    domain.pages = new PageTypes(domain);
    pinInitialTables(domain.pages, L4_MFN);
    domain.events = new EventChannels(domain);
    domain.grants = new GrantTable(domain);
    domain.freeFrames = new FreeFrames(domain);
    domain.watchdogs = new Watchdogs(() => {});
    for (const vcpu of this.vcpus) this.#complete(vcpu);
  }

  /** The result as a C `long`. */
  result(hypercall: Hypercall, args: readonly (number | bigint)[], vcpu?: TestVcpu): number {
    return Number(BigInt.asIntN(64, BigInt(this.call(hypercall, args, vcpu))));
  }

  pending(vcpu = 0): number {
    return this.vcpus[vcpu]!.area.low('pending');
  }

  upcall(member: 'evtchn_upcall_pending' | 'evtchn_upcall_mask', value?: number): number {
    const at = gpa(this.vcpus[0]!.vcpuInfo + vcpu_info.offsetof(member));
    if (value !== undefined) this.memory.writeU8(at, value);
    return this.memory.readU8(at);
  }

  #complete(vcpu: TestVcpu): void {
    vcpu.initialised = vcpu.id === 0;
    vcpu.online = vcpu.id === 0;
    vcpu.runstate = new Runstate(vcpu.area);
    vcpu.runstate.change(RUNSTATE_offline, 0);
    if (vcpu.online) vcpu.runstate.change(RUNSTATE_running, 0);
    vcpu.nmi = { pending: false, inHandler: false, fastPaths: 0 };
    vcpu.stopForNmi = () => vcpu.area.setLow('nmi', 1);
    vcpu.addPending = (bits) => vcpu.area.setLow('pending', (vcpu.area.low('pending') | bits) >>> 0);
    vcpu.setTimer = (deadlineNs) => this.timers.push([vcpu.id, deadlineNs]);
    vcpu.block = () => this.blocked.push(vcpu.id);
    vcpu.poll = (ports, timeoutNs) => this.polls.push({ ports, timeoutNs });
  }
}

/** Closes what a test file opened: to be called in afterEach. */
export function guests(): { open(options?: { vcpus?: number }): Guest; closeAll(): void } {
  const all: Guest[] = [];
  return {
    open(options) {
      const guest = new Guest(options);
      all.push(guest);
      return guest;
    },
    closeAll() {
      for (const guest of all.splice(0)) guest.close();
    },
  };
}
