/** A domain on its vCPU thread: builds it and holds its hypervisor state. */
import type { MessagePort } from 'node:worker_threads';
import { XennerError } from '../../base/errors.js';
import { createLogger, type Logger } from '../../base/log.js';
import {
  chooseEngine,
  type EngineChoice,
  type Machine as EngineMachine,
  type Gpa,
  GuestMemory,
  gpa,
} from '../../kvm/index.js';
import { SHUTDOWN_watchdog } from '../abi/sched.js';
import { vcpu_info } from '../abi/xen.js';
import { checkCmdline, checkMemoryMiB, checkVcpus } from '../builder/guest-options.js';
import { writeCore } from '../core/write.js';
import { EventChannels } from '../event-channels.js';
import type { EventInbox } from '../event-inbox.js';
import { Debugger } from '../gdb/debugger.js';
import { GrantTable } from '../grant-table.js';
import { PageTypes } from '../mm/page-types.js';
import { flushTlb } from '../mm/tlb.js';
import { PAGE, type XenFrames } from '../monitor/frames.js';
import { loadMonitorImage, type MonitorImage } from '../monitor/image.js';
import * as monitor from '../monitor/vcpu-area.js';
import type { AbiProfile } from '../profile/abi-profile.js';
import { restoreMachine, savedMonitor, saveMachine } from '../save/machine.js';
import { restoreMemory } from '../save/memory.js';
import type { SavedMachine } from '../save/save-file.js';
import type { Json } from '../save/saved.js';
import { writeSaveFile } from '../save/write.js';
import { SystemClock } from './clock.js';
import { type CompleteConfig, framesOf } from './config.js';
import { writeDomainArea } from './domain-area.js';
import { DomainLock } from './domain-lock.js';
import type { Domain } from './domain-state.js';
import type { ExitCounts } from './exit-counts.js';
import { FreeFrames } from './free-frames.js';
import { HostPorts } from './host-ports.js';
import { handleOf } from './identity.js';
import { CONTROL_STOP, type OrderMessage, type ReadyMessage } from './messages.js';
import { type Answer, Orders } from './orders.js';
import { installXen, type RingPfns, startOfDay } from './start-of-day.js';
import { VirtualCpu } from './virtual-cpu.js';
import { Watchdogs } from './watchdogs.js';

const TIME_OFFSET = vcpu_info.offsetof('time');

/** Why a domain stopped for good. */
export type DomainEnd =
  | { readonly kind: 'shutdown'; readonly reason: number; readonly vcpu: VirtualCpu }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'saved' }
  | { readonly kind: 'crash'; readonly why: string; readonly vcpu: VirtualCpu };

/** What the machine needs of the domain's main thread. */
export interface MachineHost {
  readonly inbox: EventInbox;
  /** One word: CONTROL_*. */
  readonly control: Int32Array;
  readonly exits: ExitCounts;
  /** For notify(), when the guest has notified the port of its console, or of its xenstore. */
  readonly consoleNotifier: number;
  readonly storeNotifier: number;
  consoleIo(text: Uint8Array): void;
  /** Where a debugger's requests come from: src/xenner/gdb/messages.ts. */
  readonly debugPort: MessagePort | undefined;
  /** Orders that have come since. */
  orders(): OrderMessage[];
  answer(answer: Answer): void;
}

export class Machine implements Domain {
  readonly domid: number;
  readonly profile: AbiProfile;
  readonly handle: Uint8Array;
  readonly orders: Orders;
  readonly clock = new SystemClock();
  readonly log: Logger;
  readonly choice: EngineChoice;
  readonly frames: XenFrames;
  readonly monitor: MonitorImage;
  readonly memory: GuestMemory;
  readonly area: monitor.DomainArea;
  readonly events: EventChannels;
  readonly hostPorts: HostPorts;
  readonly grants: GrantTable;
  readonly pages: PageTypes;
  readonly vcpus: readonly VirtualCpu[];
  readonly storePort: number;
  readonly consolePort: number;
  /** Their rings. */
  readonly ringPfns: RingPfns;
  readonly exits: ExitCounts;
  vmAssist = 0n;
  readonly freeFrames: FreeFrames;
  readonly watchdogs = new Watchdogs(() => this.arm(this.watchdogs.deadline));
  shutdownCode: number | undefined;
  pirqEoiMfn: number | undefined;

  readonly debugger: Debugger | undefined;
  readonly #engineMachine: EngineMachine;
  readonly #lock: DomainLock;
  #end: DomainEnd | undefined;
  /** Found stopped when they were to be paused. */
  readonly #stopped: VirtualCpu[] = [];
  /** System time at which the engine's timer comes. */
  #armed = Infinity;

  /** @throws XennerError for everything that can be wrong with the configuration, its files or the host */
  constructor(
    readonly config: CompleteConfig,
    private readonly host: MachineHost,
    private readonly saved?: SavedMachine,
  ) {
    this.orders = new Orders(this, (answer) => host.answer(answer));
    checkMemoryMiB(config.memoryMiB);
    checkVcpus(config.vcpus);
    checkCmdline(config.cmdline);
    this.domid = config.domid;
    this.profile = config.profile;
    this.handle = handleOf(config.uuid);
    this.exits = host.exits;
    this.log = createLogger(config.trace);
    this.choice = chooseEngine(config.engine);
    this.frames = framesOf(config);
    const bytes = this.frames.totalPages * PAGE;
    this.memory =
      saved === undefined
        ? GuestMemory.create(bytes, this.choice.engine.backing?.(config.backing) ?? config.backing)
        : restoreMemory(saved, bytes, config.backing);
    this.monitor = saved === undefined ? loadMonitorImage() : savedMonitor(this.memory, this.frames.monitor);
    this.#engineMachine = this.choice.engine.createMachine({
      memory: this.memory,
      exitPort: monitor.EXIT_PORT,
      timerVector: monitor.TIMER_VECTOR,
      bellPort: monitor.BELL_PORT,
      nrVcpus: config.vcpus,
    });
    this.area = new monitor.Area(
      this.memory,
      gpa(this.frames.monitor + monitor.DOMAIN_AREA),
      monitor.domain_area,
    );
    this.#lock = new DomainLock(this.area);
    if (saved === undefined) installXen(this, config.vcpus);
    this.vcpus = Array.from(
      { length: config.vcpus },
      (_, id) => new VirtualCpu(this, id, this.#engineMachine.createVcpu(id)),
    );
    this.events = new EventChannels(this);
    this.hostPorts = new HostPorts(this.events, this.#engineMachine, host.inbox, this);
    this.storePort = this.hostPorts.create(host.storeNotifier);
    this.consolePort = this.hostPorts.create(host.consoleNotifier);
    writeDomainArea(this);
    this.pages = new PageTypes(this);
    this.grants = new GrantTable(this);
    this.freeFrames = new FreeFrames(this, (count) => this.exits.setFreePages(count));
    this.ringPfns = saved === undefined ? startOfDay(this) : restoreMachine(this, saved.state);
    this.hostPorts.addBell(this.storePort, host.storeNotifier);
    this.hostPorts.addBell(this.consolePort, host.consoleNotifier);
    this.debugger = host.debugPort && new Debugger(this, host.debugPort, config.gdb?.wait ?? false);
  }

  /** For `kick`. */
  get engineId(): number {
    return this.#engineMachine.id;
  }

  get line(): ReadyMessage['line'] {
    const { sharedInfo, ports, monitor } = this.frames;
    const id = this.#engineMachine.lineId;
    return id === undefined
      ? undefined
      : { id, addresses: { sharedInfo, ports, monitor, nrVcpus: this.vcpus.length } };
  }

  /** Runs until the guest ends or somebody stops it. */
  run(): DomainEnd {
    this.#startClocks();
    this.debugger?.start();
    if (this.saved === undefined) this.vcpus[0]!.online = true;
    for (const vcpu of this.vcpus) vcpu.endRest();
    while (this.#end === undefined) {
      const vcpu = this.#stopped.shift() ?? this.#wait();
      if (vcpu === undefined) this.#attend();
      else if (this.#handle(vcpu)) this.resume(vcpu);
      else this.#rest();
      this.orders.step();
    }
    if (this.memory.isDamaged)
      throw new XennerError('ESAVE_BROKEN', 'the save file that the guest ran from broke');
    this.orders.end(this.#end.kind);
    return this.#end;
  }

  /** What ends it first counts. */
  end(end: DomainEnd): void {
    if (!this.debugger?.keeps(end)) this.#end ??= end;
  }

  save(path: string, backends: Json, userData: Json): void {
    writeSaveFile(path, saveMachine(this, backends, userData), {
      memory: this.memory,
      stopped: () => this.#stopWanted,
    });
  }

  dumpCore(path: string): void {
    writeCore(path, this, () => this.#stopWanted);
  }

  /** It has ended: no vCPU of it executes anything any more, and its memory stays as it is. */
  halt(): void {
    for (const { engine } of this.vcpus) {
      try {
        this.#engineMachine.pause(engine);
      } catch {
        // It was stopped already.
      }
    }
  }

  endSaved(): void {
    this.end({ kind: 'saved' });
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

  get #stopWanted(): boolean {
    return (Atomics.load(this.host.control, 0) & CONTROL_STOP) !== 0;
  }

  get parallel(): boolean {
    return this.choice.engine.parallel && this.config.vcpus > 1;
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

  get ports(): Gpa {
    return this.frames.ports;
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

  /** Of the TLBs of all vCPUs, which take turns; `vcpu` has seen to its own. */
  flushOthers(vcpu: VirtualCpu): void {
    this.area.setLow('flush_clock', (this.area.low('flush_clock') + 1) >>> 0);
    flushTlb(
      vcpu,
      this.vcpus.filter((other) => other !== vcpu),
    );
  }

  shutdown(reason: number): void {
    const vcpu = this.vcpus.find(({ handling }) => handling) ?? this.vcpus[0]!;
    this.end({ kind: 'shutdown', reason, vcpu });
  }

  /** A debugger's, at most as many as the engine takes. */
  setBreakpoints(addresses: readonly bigint[]): void {
    this.#engineMachine.setBreakpoints(addresses);
  }

  codeWritten(address: Gpa, length: number): void {
    this.#engineMachine.invalidate(address, length);
  }

  get codeMarks(): SharedArrayBuffer | undefined {
    return this.#engineMachine.codeMarks;
  }

  timerPort(vcpu: number, port: number): void {
    this.vcpus[vcpu]!.setTimerPort(port);
  }

  wake(vcpu: number): void {
    this.vcpus[vcpu]!.wake();
  }

  /** Idempotent. */
  close(): void {
    this.#engineMachine.close();
    this.memory.close();
  }

  #handle(vcpu: VirtualCpu): boolean {
    const { exit } = vcpu.engine;
    if (!this.parallel) return vcpu.handle(exit);
    const goesOn = this.#lock.during(
      () => vcpu.handle(exit),
      () => this.#stopWanted,
    );
    if (goesOn === undefined && !this.#stopWanted)
      this.end({ kind: 'crash', why: 'the guest keeps the lock of its monitor', vcpu });
    return goesOn ?? false;
  }

  /** A vCPU does not go on: it sleeps, mostly. */
  #rest(): void {
    this.hostPorts.sleep();
    this.debugger?.settle();
  }

  #wait(): VirtualCpu | undefined {
    const stopped = this.#engineMachine.wait();
    this.exits.setEngine(this.#engineMachine.ownExits);
    if (stopped === undefined) this.exits.kick();
    return stopped && this.vcpus[stopped.index]!;
  }

  #startClocks(): void {
    if (this.saved === undefined) this.clock.start();
    this.clock.publishWallclock(this.memory, this.sharedInfo);
    this.#publishTime();
  }

  /** What other threads and the time want. */
  #attend(): void {
    if (this.#stopWanted || this.memory.isDamaged) this.end({ kind: 'stopped' });
    for (const { id, order } of this.host.orders()) this.orders.take(id, order);
    if (this.debugger?.attend()) return;
    this.host.inbox.drain((port) => this.events.setPending(port));
    if (this.clock.due) {
      // Once an epoch: keeps the guest's clock in step with the host's.
      this.clock.calibrate();
      this.#publishTime();
    }
    const now = this.systemTime();
    if (now >= this.watchdogs.deadline) this.shutdown(SHUTDOWN_watchdog);
    this.hostPorts.attend(now);
    for (const vcpu of this.vcpus) vcpu.attend(now);
    // Anew even for the same time: the host's clock may have been a little early.
    this.#armed = Infinity;
    this.arm(
      Math.min(this.watchdogs.deadline, this.hostPorts.due, ...this.vcpus.map(({ timers }) => timers.armed)),
    );
  }

  #publishTime(): void {
    const timeInfos = this.vcpus.flatMap(({ vcpuInfo, timeArea }) => {
      const first = gpa(vcpuInfo + TIME_OFFSET);
      return timeArea === undefined ? [first] : [first, timeArea];
    });
    this.clock.publish(this.memory, this.area, timeInfos);
  }
}
