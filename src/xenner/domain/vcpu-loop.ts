/** Runs one vCPU: the engine until it exits, then whatever the monitor or another thread asked for. */
import { type Vcpu as EngineVcpu, type Gpa, gpa, VCPU_EXIT } from '../../kvm/index.js';
import { SHUTDOWN_watchdog } from '../abi/sched.js';
import { RUNSTATE_blocked, RUNSTATE_running } from '../abi/vcpu.js';
import { VIRQ_TIMER, vcpu_info } from '../abi/xen.js';
import { HypercallArgs } from '../hypercall/call.js';
import { dispatch } from '../hypercall/table.js';
import { GuestAccess } from '../mm/guest-access.js';
import { destroyLdt, mapLdtPage } from '../mm/ldt.js';
import { commitL1Write } from '../mm/ptwr.js';
import * as monitor from '../monitor/vcpu-area.js';
import { crashClause } from './crash.js';
import { writeHypercallMsr } from './hypercall-msr.js';
import type { Machine } from './machine.js';
import { Runstate, writeRunstateArea } from './runstate.js';
import type { UserRegs, Vcpu } from './vcpu.js';

const UPCALL_PENDING = vcpu_info.offsetof('evtchn_upcall_pending');
const UPCALL_MASK = vcpu_info.offsetof('evtchn_upcall_mask');
/** Deadlines further away than ten years never come; the host's timers take them as they are. */
const NEVER_NS = 3.2e17;

/** A vCPU has a tick of 100 Hz until it says otherwise (vcpu_create in xen/common/domain.c). */
const DEFAULT_PERIOD_NS = 10_000_000;

/** Why a vCPU stopped for good. */
export type VcpuEnd =
  | { readonly kind: 'shutdown'; readonly reason: number }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'crash'; readonly why: string };

export class VcpuLoop implements Vcpu {
  readonly area: monitor.VcpuArea;
  readonly guest: GuestAccess;
  vcpuInfo: Gpa;
  vcpuInfoMoved = false;
  /** The one that the domain builder started. */
  initialised = true;
  startRegisters: UserRegs | undefined;
  online = true;
  polling = false;
  readonly runstate = new Runstate();
  readonly nmi = { pending: false, inHandler: false, fastPaths: 0 };
  runstateArea = 0n;
  timeArea: Gpa | undefined;

  #end: VcpuEnd | undefined;
  readonly #args = new HypercallArgs();
  readonly #request: Uint32Array;
  readonly #result: BigUint64Array;
  #periodNs = 0;
  #periodicDeadline = 0;
  #armed = 0;
  readonly #traceExits: boolean;

  constructor(
    readonly domain: Machine,
    readonly id: number,
    private readonly engine: EngineVcpu,
  ) {
    const at = gpa(domain.frames.monitor + monitor.blockOffset(id) + monitor.BLOCK_VCPU_AREA);
    this.area = new monitor.Area(domain.memory, at, monitor.vcpu_area);
    this.guest = new GuestAccess(domain.memory, this.area);
    this.vcpuInfo = gpa(domain.sharedInfo + id * vcpu_info.size);
    this.#request = this.area.halves('hypercall');
    this.#result = this.area.words('hypercall_result');
    this.#traceExits = domain.log.traces('exit');
  }

  /** Runs until the guest ends or somebody stops it. */
  run(): VcpuEnd {
    while (this.#end === undefined) {
      switch (this.engine.run()) {
        case VCPU_EXIT.PORT:
          this.#monitorExit();
          break;
        case VCPU_EXIT.KICK:
          this.#attend();
          if (this.#upcallDeliverable()) this.engine.inject(monitor.KICK_VECTOR);
          break;
        case VCPU_EXIT.HLT:
          // The monitor never halts on this engine: only a guest that wrote into it does.
          this.crash('the guest broke the monitor: it halted the CPU');
          break;
        case VCPU_EXIT.SHUTDOWN:
          this.crash('triple fault');
          break;
        default:
          this.crash(`the ${this.domain.choice.engine.name} engine cannot go on: ${this.engine.lastError}`);
      }
    }
    return this.#end;
  }

  /** To be called when system time starts. */
  started(): void {
    this.runstate.change(RUNSTATE_running, this.domain.systemTime());
    this.periodNs = DEFAULT_PERIOD_NS;
  }

  end(end: VcpuEnd): void {
    this.#end ??= end;
  }

  crash(why: string): void {
    this.end({ kind: 'crash', why });
  }

  addPending(bits: number): void {
    this.area.setLow('pending', (this.area.low('pending') | bits) >>> 0);
  }

  block(): void {
    this.#blocked(() => this.domain.memory.readU8(gpa(this.vcpuInfo + UPCALL_PENDING)) !== 0, 0);
  }

  poll(ready: () => boolean, timeoutNs: number): void {
    this.polling = true;
    this.#blocked(ready, timeoutNs);
    this.polling = false;
  }

  #blocked(ready: () => boolean, timeoutNs: number): void {
    this.runstate.change(RUNSTATE_blocked, this.domain.systemTime());
    this.#sleep(ready, timeoutNs);
    this.runstate.change(RUNSTATE_running, this.domain.systemTime());
    writeRunstateArea(this);
  }

  #sleep(ready: () => boolean, timeoutNs: number): void {
    for (;;) {
      this.#attend();
      if (this.#end !== undefined || ready()) return;
      const now = this.domain.systemTime();
      if (timeoutNs !== 0 && now >= timeoutNs) return;
      const next = Math.min(this.#nextDeadline(), timeoutNs === 0 ? Infinity : timeoutNs);
      this.engine.wait(next === Infinity ? Infinity : Math.max(0, Math.ceil(next - now)));
    }
  }

  setTimer(deadlineNs: number): void {
    this.area.set('timer_deadline', BigInt(Math.max(0, Math.trunc(deadlineNs))));
    this.#arm();
  }

  get periodNs(): number {
    return this.#periodNs;
  }

  /** The first tick is one period from now. */
  set periodNs(ns: number) {
    this.#periodNs = ns;
    this.#periodicDeadline = ns === 0 ? 0 : this.domain.systemTime() + ns;
    this.#arm();
  }

  /** One of the domain's own deadlines is another one. */
  timersChanged(): void {
    this.#arm();
  }

  #monitorExit(): void {
    if (this.#traceExits) {
      this.domain.log.trace('exit', 'monitor', { vcpu: this.id, reason: this.area.low('exit_reason') });
    }
    switch (this.area.low('exit_reason')) {
      case monitor.MONITOR_EXIT_HYPERCALL:
        this.#hypercall();
        break;
      case monitor.MONITOR_EXIT_TIMER:
        this.#arm();
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
      case monitor.MONITOR_EXIT_CRASH:
        this.crash(crashClause(this.area.low('crash_reason')));
        break;
      case monitor.MONITOR_EXIT_PANIC:
        this.crash('a fault in the monitor');
        break;
      default:
        this.crash('the guest broke the monitor: an exit without a reason');
    }
  }

  #hypercall(): void {
    const number = this.#request[1] === 0 ? this.#request[0]! : 0xffffffff;
    this.#args.load(this.#request, 2);
    const result = dispatch(this, number, this.#args);
    this.#answer(result);
  }

  #answer(result: number | bigint): void {
    this.#result[0] = typeof result === 'bigint' ? result : BigInt.asUintN(64, BigInt(result));
  }

  #ldt(what: bigint): number {
    if (what !== monitor.LDT_UNMAP) return mapLdtPage(this, what);
    destroyLdt(this);
    return 0;
  }

  /** What other threads and timers want of this vCPU. */
  #attend(): void {
    const { domain } = this;
    if (domain.stopRequested) this.end({ kind: 'stopped' });
    domain.drainInbox();
    domain.keepTime();
    this.#checkTimers();
  }

  #nextDeadline(): number {
    const single = Number(this.area.get('timer_deadline'));
    const { deadline: watchdog } = this.domain.watchdogs;
    const deadlines = [single, this.#periodicDeadline, watchdog].filter((ns) => ns !== 0 && ns < NEVER_NS);
    return deadlines.length === 0 ? Infinity : Math.min(...deadlines);
  }

  #checkTimers(): void {
    const deadline = this.#nextDeadline();
    if (deadline === Infinity && this.#armed === 0) return;
    const now = this.domain.systemTime();
    if (now >= this.domain.watchdogs.deadline) this.domain.shutdown(SHUTDOWN_watchdog);
    if (now >= deadline) {
      const single = Number(this.area.get('timer_deadline'));
      if (single !== 0 && now >= single) this.area.set('timer_deadline', 0n);
      if (this.#periodicDeadline !== 0 && now >= this.#periodicDeadline) {
        // Ticks that were missed are not made up for (xen/common/sched/core.c, vcpu_periodic_timer_work).
        const missed = Math.floor((now - this.#periodicDeadline) / this.#periodNs);
        this.#periodicDeadline += (missed + 1) * this.#periodNs;
      }
      this.domain.log.trace('timer', 'VIRQ_TIMER', { vcpu: this.id, deadline, now });
      this.domain.events.sendVirq(this.id, VIRQ_TIMER);
    }
    if (this.#armed !== 0 && now >= this.#armed) this.#setArmed(0);
    this.#arm();
  }

  /** Makes sure that a kick comes at the next deadline, or before it. */
  #arm(): void {
    const deadline = this.#nextDeadline();
    if (deadline === Infinity || (this.#armed !== 0 && this.#armed <= deadline)) return;
    this.#setArmed(deadline);
    this.engine.setTimer(Math.max(1, Math.ceil(this.domain.clock.monotonicAt(deadline))));
  }

  /** The monitor leaves the guest for an earlier deadline only. */
  #setArmed(ns: number): void {
    this.#armed = ns;
    this.area.set('timer_armed', BigInt(Math.ceil(ns)));
  }

  #upcallDeliverable(): boolean {
    const { memory } = this.domain;
    return (
      memory.readU8(gpa(this.vcpuInfo + UPCALL_PENDING)) !== 0 &&
      memory.readU8(gpa(this.vcpuInfo + UPCALL_MASK)) === 0
    );
  }
}
