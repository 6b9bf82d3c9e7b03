/** A domain on its vCPU thread: builds it and holds its hypervisor state. */
import { randomBytes } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';
import { createLogger, type Logger } from '../../base/log.js';
import {
  type CpuidEntry,
  chooseEngine,
  decompress,
  type EngineChoice,
  type Machine as EngineMachine,
  type Gpa,
  GuestMemory,
  gpa,
} from '../../kvm/index.js';
import { GNTTAB_RESERVED_CONSOLE } from '../abi/grant-table.js';
import { SHUTDOWN_watchdog } from '../abi/sched.js';
import { RUNSTATE_offline } from '../abi/vcpu.js';
import { shared_info, vcpu_info } from '../abi/xen.js';
import { buildGuest, type StartOfDay } from '../builder/build.js';
import { checkCmdline, checkMemoryMiB, checkVcpus } from '../builder/guest-options.js';
import { openFile } from '../builder/image-source.js';
import { KernelCache, kernelCacheDirectory } from '../builder/kernel-cache.js';
import { openKernel } from '../builder/kernel-image.js';
import { guestCpuid } from '../cpuid.js';
import { EventChannels } from '../event-channels.js';
import type { EventInbox } from '../event-inbox.js';
import { Debugger } from '../gdb/debugger.js';
import { GrantTable } from '../grant-table.js';
import { PageTypes } from '../mm/page-types.js';
import { flushTlb } from '../mm/tlb.js';
import { layoutXenFrames, PAGE, type XenFrames } from '../monitor/frames.js';
import { loadMonitorImage, type MonitorImage } from '../monitor/image.js';
import { entryRegisters } from '../monitor/initial-state.js';
import { type HoleEntries, installMonitor, mapHole } from '../monitor/install.js';
import * as monitor from '../monitor/vcpu-area.js';
import type { AbiProfile } from '../profile/abi-profile.js';
import { xenVersionWord } from '../profile/profiles.js';
import { SystemClock } from './clock.js';
import type { CompleteConfig } from './config.js';
import type { Domain } from './domain-state.js';
import type { ExitCounts } from './exit-counts.js';
import { FreeFrames } from './free-frames.js';
import { VirtualCpu } from './virtual-cpu.js';
import { Watchdogs } from './watchdogs.js';
import { fillM2p, markXenFrames } from './xen-tables.js';

/** Domain 0 is the host's back ends. */
const DOMID = 1;
const FRAMES_PER_MIB = 256;
const UPCALL_MASK = vcpu_info.offsetof('evtchn_upcall_mask');
const TIME_OFFSET = vcpu_info.offsetof('time');

/** Why a domain stopped for good. */
export type DomainEnd =
  | { readonly kind: 'shutdown'; readonly reason: number }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'crash'; readonly why: string; readonly vcpu: VirtualCpu };

/** What the machine needs of the domain's main thread. */
export interface MachineHost {
  readonly inbox: EventInbox;
  readonly stop: Int32Array;
  readonly exits: ExitCounts;
  /** The guest notified its console's port. */
  consoleNotified(): void;
  consoleIo(text: Uint8Array): void;
  /** Where a debugger's requests come from: src/xenner/gdb/messages.ts. */
  readonly debugPort: MessagePort | undefined;
}

export class Machine implements Domain {
  readonly domid = DOMID;
  readonly profile: AbiProfile;
  readonly handle = new Uint8Array(randomBytes(16));
  readonly clock = new SystemClock();
  readonly log: Logger;
  readonly choice: EngineChoice;
  readonly frames: XenFrames;
  readonly monitor: MonitorImage;
  readonly memory: GuestMemory;
  readonly area: monitor.DomainArea;
  readonly events: EventChannels;
  readonly grants: GrantTable;
  readonly pages: PageTypes;
  readonly vcpus: readonly VirtualCpu[];
  readonly consolePort: number;
  readonly start: StartOfDay;
  readonly exits: ExitCounts;
  vmAssist = 0n;
  readonly freeFrames: FreeFrames;
  readonly watchdogs = new Watchdogs(() => this.arm(this.watchdogs.deadline));
  shutdownCode: number | undefined;
  pirqEoiMfn: number | undefined;

  readonly debugger: Debugger | undefined;
  readonly #engineMachine: EngineMachine;
  #end: DomainEnd | undefined;
  /** Found stopped when they were to be paused. */
  readonly #stopped: VirtualCpu[] = [];
  /** System time at which the engine's timer comes. */
  #armed = Infinity;

  /** @throws XennerError for everything that can be wrong with the configuration, its files or the host */
  constructor(
    config: CompleteConfig,
    private readonly host: MachineHost,
  ) {
    checkMemoryMiB(config.memoryMiB);
    checkVcpus(config.vcpus);
    checkCmdline(config.cmdline);
    this.profile = config.profile;
    this.exits = host.exits;
    this.log = createLogger(config.trace);
    this.choice = chooseEngine(config.engine);
    this.monitor = loadMonitorImage();
    this.frames = layoutXenFrames(config.memoryMiB * FRAMES_PER_MIB, config.vcpus, this.profile.grantFrames);
    this.memory = GuestMemory.create(this.frames.totalPages * PAGE, config.backing);
    this.#engineMachine = this.choice.engine.createMachine({
      memory: this.memory,
      exitPort: monitor.EXIT_PORT,
      timerVector: monitor.TIMER_VECTOR,
      nrVcpus: config.vcpus,
    });
    this.area = new monitor.Area(
      this.memory,
      gpa(this.frames.monitor + monitor.DOMAIN_AREA),
      monitor.domain_area,
    );
    installMonitor(this.memory, this.frames, this.monitor, config.vcpus);
    const hole = mapHole(this.memory, this.frames);
    this.vcpus = Array.from(
      { length: config.vcpus },
      (_, id) => new VirtualCpu(this, id, this.#engineMachine.createVcpu(id)),
    );
    this.events = new EventChannels(this);
    this.consolePort = this.events.bindHostPort(() => this.host.consoleNotified());
    this.#writeDomainArea(hole, config.fastPaths);
    fillM2p(this.memory, this.frames);
    this.pages = new PageTypes(this);
    markXenFrames(this.memory, this.frames);
    this.grants = new GrantTable(this);
    this.freeFrames = new FreeFrames(this);
    this.start = this.#build(config);
    const { entry, nrPages, nrPtFrames, consolePfn, initrd } = this.start;
    this.log.trace('builder', 'start of day', {
      entry: `0x${entry.toString(16)}`,
      nrPages,
      nrPtFrames,
      consolePfn,
      initrd,
    });
    this.grants.seed(GNTTAB_RESERVED_CONSOLE, this.start.consolePfn);
    const error = this.pages.pinInitialTables(this.start.ptBase.gpa / PAGE);
    if (error !== 0) throw new Error(`the initial page tables do not validate: ${error}`);
    const cpu = this.choice.engine.cpuid?.();
    for (const vcpu of this.vcpus) this.#prepareVcpu(vcpu, config.fastPaths, cpu);
    this.#startFirstVcpu();
    this.debugger = host.debugPort && new Debugger(this, host.debugPort, config.gdb?.wait ?? false);
  }

  /** For `kick`. */
  get engineId(): number {
    return this.#engineMachine.id;
  }

  /** Runs until the guest ends or somebody stops it. */
  run(): DomainEnd {
    this.#startClocks();
    this.debugger?.start();
    this.vcpus[0]!.online = true;
    while (this.#end === undefined) {
      const vcpu = this.#stopped.shift() ?? this.#wait();
      if (vcpu === undefined) this.#attend();
      else if (vcpu.handle(vcpu.engine.exit)) this.resume(vcpu);
      else this.debugger?.settle();
    }
    return this.#end;
  }

  /** What ends it first counts. */
  end(end: DomainEnd): void {
    if (!this.debugger?.keeps(end)) this.#end ??= end;
  }

  resume(vcpu: VirtualCpu): void {
    this.#engineMachine.resume(vcpu.engine);
  }

  /** False if it has stopped by itself: then its exit is still to be handled, and will be next. */
  pause(vcpu: VirtualCpu): boolean {
    const paused = this.#engineMachine.pause(vcpu.engine);
    if (!paused) this.#stopped.push(vcpu);
    return paused;
  }

  /** Something is due at this system time: the engine comes back then, or before. */
  arm(deadlineNs: number): void {
    if (deadlineNs >= this.#armed) return;
    this.#armed = deadlineNs;
    this.#engineMachine.setTimer(Math.max(1, Math.ceil(this.clock.monotonicAt(deadlineNs))));
  }

  get nrPages(): number {
    return this.frames.nrPages;
  }

  get totalPages(): number {
    return this.frames.totalPages;
  }

  get sharedInfo(): Gpa {
    return this.frames.sharedInfo;
  }

  get m2p(): Gpa {
    return this.frames.m2p;
  }

  get pageInfo(): Gpa {
    return this.frames.pageInfo;
  }

  get gdtL1(): Gpa {
    return this.frames.gdtL1;
  }

  get ldtL1(): Gpa {
    return this.frames.ldtL1;
  }

  get grantFrames(): { firstMfn: number; count: number } {
    return { firstMfn: this.frames.grantFrames / PAGE, count: this.frames.nrGrantFrames };
  }

  systemTime(): number {
    return this.clock.now();
  }

  consoleWrite(text: Uint8Array): void {
    this.host.consoleIo(text);
  }

  /** Of the TLBs of all vCPUs, `vcpu` has seen to its own. */
  flushOthers(vcpu: VirtualCpu): void {
    this.area.setLow('flush_clock', (this.area.low('flush_clock') + 1) >>> 0);
    flushTlb(this.vcpus.filter((other) => other !== vcpu));
  }

  shutdown(reason: number): void {
    this.end({ kind: 'shutdown', reason });
  }

  /** A debugger's, at most as many as the engine takes. */
  setBreakpoints(addresses: readonly bigint[]): void {
    this.#engineMachine.setBreakpoints(addresses);
  }

  codeWritten(address: Gpa, length: number): void {
    this.#engineMachine.invalidate(address, length);
  }

  timerPort(vcpu: number, port: number): void {
    this.vcpus[vcpu]!.area.setLow('timer_port', port);
  }

  wake(vcpu: number): void {
    this.vcpus[vcpu]!.wake();
  }

  /** Idempotent. */
  close(): void {
    this.#engineMachine.close();
    this.memory.close();
  }

  #wait(): VirtualCpu | undefined {
    const stopped = this.#engineMachine.wait();
    this.exits.setEngine(this.#engineMachine.ownExits);
    if (stopped === undefined) this.exits.kick();
    return stopped && this.vcpus[stopped.index]!;
  }

  #startClocks(): void {
    this.clock.start();
    this.clock.publishWallclock(this.memory, this.sharedInfo);
    this.#publishTime();
  }

  /** What other threads and the time want. */
  #attend(): void {
    if (Atomics.load(this.host.stop, 0) !== 0) this.end({ kind: 'stopped' });
    if (this.debugger?.attend()) return;
    this.host.inbox.drain((port) => this.events.setPending(port));
    if (this.clock.due) {
      // Once an epoch: keeps the guest's clock in step with the host's.
      this.clock.calibrate();
      this.#publishTime();
    }
    const now = this.systemTime();
    if (now >= this.watchdogs.deadline) this.shutdown(SHUTDOWN_watchdog);
    for (const vcpu of this.vcpus) vcpu.attend(now);
    // Anew even for the same time: the host's clock may have been a little early.
    this.#armed = Infinity;
    this.arm(Math.min(this.watchdogs.deadline, ...this.vcpus.map(({ timers }) => timers.armed)));
  }

  #publishTime(): void {
    const timeInfos = this.vcpus.flatMap(({ vcpuInfo, timeArea }) => {
      const first = gpa(vcpuInfo + TIME_OFFSET);
      return timeArea === undefined ? [first] : [first, timeArea];
    });
    this.clock.publish(this.memory, this.area, timeInfos);
  }

  #build(config: CompleteConfig): StartOfDay {
    const kernel = openKernel(config.kernel, decompress, new KernelCache(kernelCacheDirectory()));
    try {
      const initrd =
        config.ramdisk === undefined ? undefined : openFile(config.ramdisk, 'initrd', this.nrPages * PAGE);
      try {
        return buildGuest(this.memory, kernel, {
          nrPages: this.nrPages,
          cmdline: config.cmdline,
          sharedInfo: this.sharedInfo,
          // No xenstore answers: Linux does without when the port is 0, and would wait for ever for a silent one.
          storeEvtchn: 0,
          consoleEvtchn: this.consolePort,
          ...this.profile.startInfo,
          ...(initrd && { initrd }),
        });
      } finally {
        initrd?.close();
      }
    } finally {
      kernel.source.close();
    }
  }

  #writeDomainArea(hole: HoleEntries, fastPaths: boolean): void {
    const { area, frames } = this;
    const direct = (address: Gpa) => monitor.DIRECT_VA + BigInt(address);
    const flags = fastPaths ? monitor.DOMAIN_FAST_PATHS : 0;
    area.setLow('flags', this.choice.engine.lapic ? flags | monitor.DOMAIN_LAPIC : flags);
    area.setLow('nr_pages', frames.nrPages);
    area.setLow('total_pages', frames.totalPages);
    area.set('page_info', direct(frames.pageInfo));
    area.set('m2p', direct(frames.m2p));
    area.set('xen_l4_entry', hole.xen);
    area.set('direct_l4_entry', hole.direct);
    area.setLow('nr_vcpus', this.vcpus.length);
    area.setLow('domid', this.domid);
    area.set('shared_info', direct(frames.sharedInfo));
    area.setLow('xen_version', xenVersionWord(this.profile));
    area.setLow('flush_clock', 1);
  }

  /** What every vCPU has before it is started. Events are masked (arch_set_info_guest). */
  #prepareVcpu(vcpu: VirtualCpu, fastPaths: boolean, cpu: readonly CpuidEntry[] | undefined): void {
    vcpu.area.setLow('id', vcpu.id);
    vcpu.area.setLow('fast_paths', fastPaths ? monitor.DOMAIN_FAST_PATHS : 0);
    vcpu.area.set('cr4', this.profile.cr4);
    vcpu.area.set('vcpu_info', monitor.DIRECT_VA + BigInt(vcpu.vcpuInfo));
    vcpu.area.setLow('kernel_ss', monitor.SEL_SHOWN_KERNEL_SS);
    vcpu.area.setLow('sysret_cs', monitor.SYSRET_NONE);
    vcpu.runstate.change(RUNSTATE_offline, 0);
    this.memory.writeU8(gpa(vcpu.vcpuInfo + UPCALL_MASK), 1);
    vcpu.engine.setCpuid(guestCpuid(this.profile, vcpu.id, this.vcpus.length, cpu));
  }

  /** Start of day, where another vCPU has VCPUOP_initialise. */
  #startFirstVcpu(): void {
    const { start } = this;
    const vcpu = this.vcpus[0]!;
    const mask = shared_info.offsetof('evtchn_mask');
    this.memory.fill(gpa(this.sharedInfo + mask), shared_info.offsetof('wc_version') - mask, 0xff);
    vcpu.area.set('cr3', BigInt(start.ptBase.gpa));
    vcpu.startRegisters = entryRegisters({
      rip: start.entry,
      rsp: start.stack,
      rsi: start.startInfo.va,
    });
    vcpu.initialised = true;
  }
}
