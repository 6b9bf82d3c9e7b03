/** One vCPU of a running domain: what it asks the hypervisor for when it leaves the guest, and whether it may go on. */
import {
  type CpuidEntry,
  type Vcpu as EngineVcpu,
  type Gpa,
  gpa,
  VCPU_EXIT,
  type VcpuExit,
} from '../../kvm/index.js';
import { RUNSTATE_offline, RUNSTATE_running } from '../abi/vcpu.js';
import { VIRQ_TIMER, vcpu_info } from '../abi/xen.js';
import { HypercallArgs } from '../hypercall/call.js';
import { deliverNmi } from '../hypercall/nmi.js';
import { dispatch } from '../hypercall/table.js';
import { GuestAccess } from '../mm/guest-access.js';
import { destroyLdt, mapLdtPage } from '../mm/ldt.js';
import { commitL1Write } from '../mm/ptwr.js';
import { type EntryRegisters, initialState } from '../monitor/initial-state.js';
import * as monitor from '../monitor/vcpu-area.js';
import { crashClause } from './crash.js';
import { writeHypercallMsr } from './hypercall-msr.js';
import type { Machine } from './machine.js';
import { Runstate } from './runstate.js';
import type { Vcpu } from './vcpu.js';
import { VcpuTimers } from './vcpu-timers.js';

const BROKEN = 'the guest broke the monitor: an exit without a reason';

export class VirtualCpu implements Vcpu {
  readonly area: monitor.VcpuArea;
  readonly guest: GuestAccess;
  vcpuInfo: Gpa;
  vcpuInfoMoved = false;
  initialised = false;
  startRegisters: EntryRegisters | undefined;
  readonly runstate: Runstate;
  readonly nmi = { pending: false, inHandler: false, fastPaths: 0 };
  timeArea: Gpa | undefined;
  readonly timers: VcpuTimers;

  /** It is out of the guest, and one of its exits is being handled, or about to be. */
  #handling = false;
  /** Its engine is not to resume it: it is down, has halted, or rests. */
  #out = false;
  #halted = false;
  /** A debugger has stopped it, in the monitor; there it may be asleep in a hypercall. */
  held = false;
  asleep = false;
  /** It left by MONITOR_EXIT_REST, as it was asked to. */
  #resting = false;
  #online = false;
  #started = false;
  #cpuid: readonly CpuidEntry[] = [];
  readonly #args = new HypercallArgs();
  readonly #request: Uint32Array;
  readonly #result: BigUint64Array;
  readonly #traceExits: boolean;

  constructor(
    readonly domain: Machine,
    readonly id: number,
    readonly engine: EngineVcpu,
  ) {
    const at = gpa(domain.frames.monitor + monitor.blockOffset(id) + monitor.BLOCK_VCPU_AREA);
    this.area = new monitor.Area(domain.memory, at, monitor.vcpu_area);
    this.guest = new GuestAccess(domain.memory, this.area);
    this.vcpuInfo = gpa(domain.sharedInfo + id * vcpu_info.size);
    this.runstate = new Runstate(this.area);
    this.timers = new VcpuTimers(this.area, domain.choice.engine.lapic, (deadline) => domain.arm(deadline));
    this.#request = this.area.halves('hypercall');
    this.#result = this.area.words('hypercall_result');
    this.#traceExits = domain.log.traces('exit');
  }

  /** What CPUID shows the guest. */
  get cpuid(): readonly CpuidEntry[] {
    return this.#cpuid;
  }

  set cpuid(entries: readonly CpuidEntry[]) {
    this.#cpuid = entries;
    this.engine.setCpuid(entries);
  }

  get online(): boolean {
    return this.#online;
  }

  set online(online: boolean) {
    if (online === this.#online) return;
    this.#online = online;
    if (!online) this.#goDown();
    else if (this.#started) this.#comeUp();
    else this.#start();
  }

  /** True if it goes on right away; else attend() or wake() resumes it, or another vCPU brings it up. */
  handle(exit: VcpuExit): boolean {
    this.#handling = true;
    this.#serve(exit);
    this.#handling = false;
    this.#out = this.#halted || this.#resting || !this.#online;
    return !this.#out && !this.held;
  }

  /** What timers and other threads want of it. */
  attend(now: number): void {
    if (this.timers.check(now)) {
      this.domain.log.trace('timer', 'VIRQ_TIMER', { vcpu: this.id, now });
      this.domain.events.sendVirq(this.id, VIRQ_TIMER);
    }
    this.wake();
  }

  /** Looks whether it has an event: then the guest is interrupted, or the monitor's sleep. */
  wake(): void {
    // What is being handled looks at its events anyway before it goes on.
    if (this.#handling || !this.#started || !this.#online || this.#resting) return;
    if (this.#wakesUp()) this.#kick();
  }

  addPending(bits: number): void {
    this.area.setLow('pending', (this.area.low('pending') | bits) >>> 0);
    // Anywhere but in a hypercall of its own it may be in the middle of guest code.
    if (this.#started && !this.#handling && !this.#out) this.engine.inject(monitor.KICK_VECTOR);
  }

  /** One of its exits is being handled. */
  get handling(): boolean {
    return this.#handling;
  }

  /** It executes nothing, and will not before somebody resumes it. */
  get quiet(): boolean {
    return this.held || !this.#started || (this.#out && !this.#online);
  }

  /** Makes it leave the guest, or its sleep, to see what the debugger wants. */
  interrupt(): void {
    if (!this.#handling && !this.quiet) this.#kick();
  }

  /** The debugger lets it go on. */
  release(): void {
    if (!this.held) return;
    this.held = false;
    this.asleep = false;
    if (!this.#out) this.domain.resume(this);
  }

  /** One line for people. */
  describe(): string {
    const state = this.asleep ? (this.polling ? 'polls' : 'sleeps') : 'runs';
    return `vCPU ${this.id} ${this.#online ? state : 'is offline'}`;
  }

  /** Stops where its state can be kept, soon: true once it has, or if it is down. */
  rest(): boolean {
    if (this.#resting) return true;
    if (!this.#online) return this.#out || !this.#started;
    this.area.setLow('rest', 1);
    this.#kick();
    return false;
  }

  /** After rest(), or restore(). */
  endRest(): void {
    this.area.setLow('rest', 0);
    if (!this.#resting) return;
    this.#resting = false;
    if (this.area.low('pending') !== 0 || this.area.low('nmi') !== 0) this.engine.inject(monitor.KICK_VECTOR);
    this.#goOn();
    this.wake();
  }

  /** Whether it has ever run. */
  get started(): boolean {
    return this.#started;
  }

  /** It was saved at rest, or down, or not started yet. */
  restore(started: boolean, online: boolean): void {
    this.#started = started;
    this.#online = online;
    this.#out = started;
    this.#resting = online;
  }

  stopForNmi(): void {
    this.area.setLow('nmi', 1);
    if (!this.#handling && this.#started && this.#online && !this.#resting) this.#kick();
  }

  block(): void {
    this.addPending(monitor.PENDING_SLEEP);
  }

  get polling(): boolean {
    return this.area.low('polling') !== 0;
  }

  poll(ports: readonly number[], timeoutNs: number): void {
    this.area.setLow('poll_count', ports.length);
    this.area.halves('poll_ports').set(ports);
    this.area.set('poll_timeout', BigInt(timeoutNs));
    this.area.setLow('polling', 1);
    this.addPending(monitor.PENDING_SLEEP);
  }

  setTimer(deadlineNs: number): void {
    this.area.set('timer_deadline', BigInt(Math.max(0, Math.trunc(deadlineNs))));
    this.addPending(monitor.PENDING_TIMER);
  }

  setTimerPort(port: number): void {
    this.area.setLow('timer_port', port);
    this.timers.bound(port !== 0, this.domain.systemTime());
  }

  get periodNs(): number {
    return this.timers.periodNs;
  }

  set periodNs(ns: number) {
    this.timers.setPeriod(ns, this.domain.systemTime());
  }

  #start(): void {
    const now = this.domain.systemTime();
    this.#started = true;
    this.runstate.change(RUNSTATE_running, now);
    this.timers.start(now);
    const { monitor: image, clock } = this.domain;
    const state = initialState(image, this, this.startRegisters!);
    this.engine.setState({ ...state, tscOffset: clock.tscOffset });
    // What VCPUOP_initialise left to the monitor, or a debugger wants.
    if ((this.area.low('pending') | this.area.low('debug') | this.area.low('nmi')) !== 0)
      this.engine.inject(monitor.KICK_VECTOR);
    this.area.setLow('outside', 0);
    this.domain.resume(this);
  }

  /** Until it is brought up again; in the middle of whatever it does, if another vCPU asks for it. */
  #goDown(): void {
    if (!this.#handling && !this.#out) {
      if (this.held || this.domain.pause(this)) {
        this.#out = true;
        // Nobody waits for it to flush its TLB: it does when it comes up, before it goes on.
        this.#setOutside(1);
      } else this.#handling = true;
    }
    this.runstate.change(RUNSTATE_offline, this.domain.systemTime());
  }

  #comeUp(): void {
    this.runstate.change(RUNSTATE_running, this.domain.systemTime());
    if (this.#out && !this.#halted) {
      this.#setOutside(0);
      this.engine.inject(monitor.KICK_VECTOR);
      this.#goOn();
    }
    this.wake();
  }

  /** Makes the monitor look, out of the guest or out of its sleep. */
  #kick(): void {
    this.engine.inject(monitor.KICK_VECTOR);
    if (this.#halted) this.#goOn();
  }

  #goOn(): void {
    this.#out = false;
    this.#halted = false;
    if (!this.held) this.domain.resume(this);
  }

  #setOutside(outside: number): void {
    Atomics.store(this.area.halves('outside'), 0, outside);
  }

  #serve(exit: VcpuExit): void {
    switch (exit) {
      case VCPU_EXIT.PORT:
        this.#monitorExit();
        break;
      case VCPU_EXIT.HLT:
        this.domain.exits.halt();
        this.#halted = true;
        break;
      case VCPU_EXIT.SHUTDOWN:
        this.#crash('triple fault');
        break;
      default:
        this.#crash(`the ${this.domain.choice.engine.name} engine cannot go on: ${this.engine.lastError}`);
    }
  }

  #crash(why: string): void {
    this.domain.end({ kind: 'crash', why, vcpu: this });
  }

  #monitorExit(): void {
    const reason = this.area.low('exit_reason');
    if (this.#traceExits) this.domain.log.trace('exit', 'monitor', { vcpu: this.id, reason });
    if (reason !== monitor.MONITOR_EXIT_HYPERCALL) this.domain.exits.monitor(reason);
    switch (reason) {
      case monitor.MONITOR_EXIT_HYPERCALL:
        this.#hypercall();
        break;
      case monitor.MONITOR_EXIT_TIMER:
        this.timers.changed();
        break;
      case monitor.MONITOR_EXIT_PTWR: {
        const [at, old, value] = this.area.words('hypercall');
        this.#answer(commitL1Write(this.domain, at!, old!, value!));
        break;
      }
      case monitor.MONITOR_EXIT_LDT:
        this.#answer(this.#ldt(this.area.words('hypercall')[0]!));
        break;
      case monitor.MONITOR_EXIT_HYPERCALL_PAGE:
        this.#answer(writeHypercallMsr(this, this.area.words('hypercall')[0]!));
        break;
      case monitor.MONITOR_EXIT_FLUSH_ALL:
        this.domain.flushOthers(this);
        break;
      case monitor.MONITOR_EXIT_DEBUG:
        if (this.domain.debugger === undefined) this.#crash(BROKEN);
        else this.domain.debugger.stopped(this, this.#request[0] !== 0);
        break;
      case monitor.MONITOR_EXIT_DEBUG_TRAP:
        this.#answer(this.#debugTrap(this.area.words('hypercall')));
        break;
      case monitor.MONITOR_EXIT_REST:
        this.#resting = this.domain.orders.restWanted;
        break;
      case monitor.MONITOR_EXIT_NMI:
        this.area.setLow('nmi', 0);
        deliverNmi(this);
        break;
      case monitor.MONITOR_EXIT_CRASH:
        this.#crash(crashClause(this.area.low('crash_reason')));
        break;
      case monitor.MONITOR_EXIT_PANIC:
        this.#crash('a fault in the monitor');
        break;
      default:
        this.#crash(BROKEN);
    }
  }

  #debugTrap(request: BigUint64Array): number {
    const dr6 = Number(request[0]! & 0xffffffffn);
    const { debugger: debug } = this.domain;
    const rest = debug === undefined ? dr6 : debug.trapped(this, dr6);
    if (rest === undefined) return 0;
    request[0] = BigInt(rest >>> 0);
    return 1;
  }

  #hypercall(): void {
    const number = this.#request[1] === 0 ? this.#request[0]! : 0xffffffff;
    this.domain.exits.hypercall(number);
    this.#args.load(this.#request, 2);
    this.#answer(dispatch(this, number, this.#args));
  }

  #answer(result: number | bigint): void {
    this.#result[0] = typeof result === 'bigint' ? result : BigInt.asUintN(64, BigInt(result));
  }

  #ldt(what: bigint): number {
    if (what !== monitor.LDT_UNMAP) return mapLdtPage(this, what);
    destroyLdt(this);
    return 0;
  }

  /** Of one that halts, an event that is masked is for the monitor to judge. */
  #wakesUp(): boolean {
    if (this.polling) return true;
    const { events, parallel } = this.domain;
    // One that runs may be about to unmask, and has looked already.
    if (this.#halted || parallel) return events.isUpcallPending(this.id);
    return events.isUpcallDeliverable(this.id);
  }
}
