/**
 * A debugger on the domain's own thread: stops its vCPUs, lets them go on, reads and writes what they have. A vCPU stops
 * in the monitor, on its way back to the guest (native/monitor/debug.c), unless it sleeps in a hypercall anyway.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { DR6_BREAKPOINT } from '../../kvm/index.js';
import { SHUTDOWN_crash } from '../abi/sched.js';
import type { DomainEnd, Machine } from '../domain/machine.js';
import type { VirtualCpu } from '../domain/virtual-cpu.js';
import { DEBUG_STOP, DEBUG_TRAPS, PENDING_DEBUGREGS } from '../monitor/vcpu-area.js';
import { readMemory, writeMemory } from './debug-memory.js';
import { frameOfStopped, readRegisters, writeRegisters } from './guest-registers.js';
import { type DebugReply, type DebugRequest, type ResumeAction, SIGNAL, type Stop } from './messages.js';
import { isWatchpoint, type Point, Points } from './points.js';
import { SingleStep } from './single-step.js';

/** DR6: a step's #DB, and DR0..3. */
const DR6_BS = 1 << 14;
const DR6_SLOTS = 0xf;

/** Without a vCPU: it comes from outside. */
type Reason = Omit<Stop, 'vcpu'> & Partial<Stop>;

export class Debugger {
  readonly #points: Points;
  /** Those that are to stop, the steppers among them; one that sleeps has the rest of its hypercall for a step. */
  readonly #stops = new Set<VirtualCpu>();
  readonly #steps = new Map<VirtualCpu, SingleStep | undefined>();
  /** `stopping`: not all of them have come to the monitor yet. */
  #state: 'running' | 'stopping' | 'stopped' = 'running';
  /** Of `stopping` and `stopped`. */
  #reason: Reason | undefined;
  /** What else happened before all stood still: told when the client lets go on those it happened to. */
  readonly #later = new Map<VirtualCpu, Stop>();
  #stoppedAt = 0;
  #attached = false;
  /** The client has gone: once all have stopped, they go on. */
  #leaving = false;
  /** The domain's end, put off for a look at it. */
  #end: DomainEnd | undefined;

  /** @param waits the guest is not to begin before a client says so */
  constructor(
    private readonly machine: Machine,
    private readonly port: MessagePort,
    private readonly waits: boolean,
  ) {
    this.#points = new Points(machine.choice.engine.maxBreakpoints);
  }

  /** Somebody debugs the guest, or is waited for: it does not come to rest for anybody else. */
  get busy(): boolean {
    return this.#attached || this.#state !== 'running';
  }

  /** Before the first vCPU starts. */
  start(): void {
    if (this.waits) this.#stopAll({ signal: SIGNAL.TRAP });
  }

  /** What the client wants. True: the guest does not run, and neither does its time. */
  attend(): boolean {
    for (;;) {
      const received = receiveMessageOnPort(this.port);
      if (received === undefined) break;
      const request = received.message as DebugRequest;
      const value = this.#serve(request);
      this.port.postMessage({ type: 'answer', value } satisfies DebugReply);
      // Stops before that answer are none of a new client's business.
      if (request.op === 'attach' && this.#state === 'stopped') this.#report();
    }
    this.settle();
    return this.#state === 'stopped';
  }

  /** To be called when a vCPU may have been the last one to stop. */
  settle(): void {
    if (this.#state !== 'stopping' || !this.machine.vcpus.every((vcpu) => vcpu.quiet)) return;
    this.#state = 'stopped';
    this.#stoppedAt = this.machine.systemTime();
    this.#steps.clear();
    if (this.#leaving) this.#leave();
    else this.#report();
  }

  /** MONITOR_EXIT_DEBUG. */
  stopped(vcpu: VirtualCpu, asleep: boolean): void {
    // Another vCPU took it down when it was on its way here, and it is not wanted any more.
    if (!this.#stops.has(vcpu)) return;
    // A step goes on until the hypercall is done.
    if (asleep && this.#state === 'running' && this.#steps.has(vcpu)) return;
    vcpu.held = true;
    vcpu.asleep = asleep;
    if (this.#steps.delete(vcpu)) this.#stopAll({ vcpu: vcpu.id, signal: SIGNAL.TRAP });
  }

  /** MONITOR_EXIT_DEBUG_TRAP: #DB. Returns what the guest may know of its DR6, undefined if nothing happened to it. */
  trapped(vcpu: VirtualCpu, dr6: number): number | undefined {
    const step = this.#steps.get(vcpu);
    let ours = 0;
    if (step !== undefined && (dr6 & DR6_BS) !== 0 && !step.trapped()) ours |= DR6_BS;
    if (this.#points.usesDebugRegisters) ours |= dr6 & DR6_SLOTS;
    ours |= dr6 & DR6_BREAKPOINT;
    if ((ours & ~DR6_BS) !== 0) {
      const rip = frameOfStopped(vcpu)?.rip ?? 0n;
      const point = (ours & DR6_BREAKPOINT) !== 0 ? this.#points.hitAt(rip) : this.#points.hitBySlot(ours);
      const stop = { vcpu: vcpu.id, signal: SIGNAL.TRAP, ...(point && { point }) };
      if (this.#state === 'running') this.#stopAll(stop);
      else if (point) this.#later.set(vcpu, stop);
    }
    const rest = dr6 & ~ours;
    // INT1 leaves no trace in DR6: a #DB that has no reason is the guest's.
    return ours === 0 || (rest & (DR6_BS | DR6_SLOTS)) !== 0 ? rest : undefined;
  }

  /** Whether the end has to wait until the client has looked at it. */
  keeps(end: DomainEnd): boolean {
    const shutdown = end.kind === 'shutdown' && end.reason === SHUTDOWN_crash;
    if (!this.#attached || end === this.#end || (end.kind !== 'crash' && !shutdown)) return false;
    this.#end ??= end;
    if (end.kind === 'crash') end.vcpu.held = true;
    const stop = { vcpu: end.vcpu.id, signal: shutdown ? SIGNAL.ABRT : SIGNAL.SEGV };
    if (this.#state === 'running') this.#stopAll(stop);
    else this.#later.set(end.vcpu, stop);
    return true;
  }

  #serve(request: DebugRequest): unknown {
    switch (request.op) {
      case 'attach':
        return this.#attach();
      case 'detach':
        return this.#detach();
      case 'interrupt':
        this.#stopAll({ signal: SIGNAL.INT });
        return true;
      case 'describe':
        return this.machine.vcpus.map((vcpu) => vcpu.describe());
      default:
        return this.#state === 'stopped' ? this.#serveStopped(request) : undefined;
    }
  }

  #serveStopped(request: DebugRequest): unknown {
    const { machine } = this;
    switch (request.op) {
      case 'resume':
        return this.#resume(request.actions);
      case 'readRegisters':
        return readRegisters(machine.vcpus[request.vcpu]!);
      case 'writeRegisters':
        return writeRegisters(machine.vcpus[request.vcpu]!, request.values);
      case 'readMemory':
        return readMemory(machine, machine.vcpus[request.vcpu]!, request.address, request.length);
      case 'writeMemory':
        return writeMemory(machine, machine.vcpus[request.vcpu]!, request.address, request.bytes);
      case 'insert':
        return this.#change(() => this.#points.insert(request.point));
      case 'remove':
        return this.#change(() => this.#points.remove(request.point));
      default:
        return undefined;
    }
  }

  #attach(): true {
    this.#attached = true;
    this.#leaving = false;
    this.#stopAll({ signal: SIGNAL.TRAP });
    return true;
  }

  #detach(): true {
    this.#attached = false;
    this.#leaving = true;
    if (this.#state === 'stopped') this.#leave();
    else this.#stopAll({ signal: SIGNAL.INT });
    return true;
  }

  #leave(): void {
    this.#leaving = false;
    this.#later.clear();
    this.#change(() => this.#points.clear());
    this.#resume(this.machine.vcpus.map(() => 'continue'));
  }

  #report(): void {
    // Stopped from outside: what does something is of more interest than what sleeps.
    const vcpu = this.machine.vcpus.find(({ held, asleep }) => held && !asleep)?.id ?? 0;
    this.port.postMessage({ type: 'stop', vcpu, ...this.#reason! } satisfies DebugReply);
  }

  /** The first reason is the one that is told. */
  #stopAll(reason: Reason): void {
    if (this.#state !== 'running') return;
    this.#state = 'stopping';
    this.#reason = reason;
    for (const vcpu of this.machine.vcpus) {
      this.#stops.add(vcpu);
      vcpu.area.setLow('debug', vcpu.area.low('debug') | DEBUG_STOP);
      vcpu.interrupt();
    }
  }

  #resume(actions: readonly ResumeAction[]): boolean {
    const { machine } = this;
    if (this.#tellLater(actions)) return true;
    this.#state = 'running';
    if (this.#end !== undefined) {
      machine.end(this.#end);
      return true;
    }
    machine.watchdogs.postpone(machine.systemTime() - this.#stoppedAt);
    machine.vcpus.forEach((vcpu, i) => {
      const action = actions[i] ?? 'stay';
      if (action === 'stay') return;
      if (action === 'step') {
        this.#steps.set(vcpu, vcpu.held && !vcpu.asleep ? new SingleStep(vcpu) : undefined);
      } else {
        this.#stops.delete(vcpu);
        vcpu.area.setLow('debug', this.#points.any ? DEBUG_TRAPS : 0);
      }
      vcpu.release();
    });
    return true;
  }

  /** True: the client is told of something, and all stand still. */
  #tellLater(actions: readonly ResumeAction[]): boolean {
    for (const [vcpu, stop] of this.#later) {
      const ends = stop.point === undefined;
      if (!ends && (actions[vcpu.id] ?? 'stay') === 'stay') continue;
      this.#later.delete(vcpu);
      if (!ends && !this.#isStillHit(vcpu, stop.point!)) continue;
      this.#reason = stop;
      this.#report();
      return true;
    }
    return false;
  }

  /** The client may have removed it, or had the vCPU go on elsewhere. */
  #isStillHit(vcpu: VirtualCpu, point: Point): boolean {
    return this.#points.has(point) && (isWatchpoint(point) || frameOfStopped(vcpu)?.rip === point.address);
  }

  /** Changes the points, and tells CPUs and monitor of what they are now. */
  #change<T>(change: () => T): T {
    const { machine } = this;
    const [before, result] = [this.#points.debugRegisters, change()];
    const after = this.#points.debugRegisters;
    machine.setBreakpoints(this.#points.breakpoints);
    if (after.every((value, i) => value === before[i])) return result;
    for (const vcpu of machine.vcpus) {
      vcpu.area.words('debug_dr').set(after);
      vcpu.addPending(PENDING_DEBUGREGS);
    }
    return result;
  }
}
