/** What runs a guest's instructions. The hypervisor knows no more of an engine than this. */
import { XennerError } from '../base/errors.js';
import { loadAddon, NATIVE_EXIT } from './addon.js';
import type { CpuState } from './cpu-state.js';
import type { Gpa, GuestMemory } from './guest-memory.js';
import type { GuestMemoryOptions } from './guest-memory-backing.js';

/** Why a vCPU stopped. */
export const VCPU_EXIT = NATIVE_EXIT;
export type VcpuExit = (typeof VCPU_EXIT)[keyof typeof VCPU_EXIT];

/** In DR6 only for Machine.setBreakpoints: no processor has this bit. */
export const DR6_BREAKPOINT = 1 << 12;

export type EngineName = 'soft' | 'kvm';

export interface CpuidEntry {
  function: number;
  /** The subleaf in ecx; undefined answers every one. */
  index?: number | undefined;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

export interface Engine {
  readonly name: EngineName;
  /** vCPUs that one machine can have. */
  readonly maxVcpus: number;
  /** vCPUs have an x2APIC: inject() goes through it, and the guest has to report the end of each interrupt. */
  readonly lapic: boolean;
  /** Breakpoints that a debugger has besides DR0..3. */
  readonly maxBreakpoints: number;
  /** vCPUs run at the same time, and while the machine's thread is outside wait(); otherwise they take turns inside it. */
  readonly parallel: boolean;
  createMachine(options: MachineOptions): Machine;
  /** What guest memory is best made of, of what the user left open. */
  backing?(options: GuestMemoryOptions): GuestMemoryOptions;
  /** What its CPU has, where that is not the same on every host. */
  cpuid?(): CpuidEntry[];
}

export interface MachineOptions {
  /** The whole of guest-physical memory, from 0. Stays the caller's, who closes it after the machine. */
  memory: GuestMemory;
  /** A write to this I/O port by ring 0 stops its vCPU with VCPU_EXIT.PORT. Every other port reads as ones. */
  exitPort: number;
  /** Of the timer of a vCPU's local APIC, by TSC deadline, where it has one. */
  timerVector?: number;
  /** See addBell(). */
  bellPort?: number;
  /** How many it will have. */
  nrVcpus: number;
}

/** Belongs to the thread that made it; other threads have `kick(id)`. */
export interface Machine {
  /** For `kick`; never reused within a process. */
  readonly id: number;
  /** How often a vCPU stopped for what wait() does not return: the engine's own affair. */
  readonly ownExits: number;
  /** The vCPU of this index, 0 and up; once each. */
  createVcpu(index: number): Vcpu;
  /** Lets a vCPU run, until wait() returns it. */
  resume(vcpu: Vcpu): void;
  /**
   * Takes a resumed vCPU back, stopped between two instructions: true. False if it had stopped by itself: then that is as if
   * wait() had returned it, which it does not any more.
   */
  pause(vcpu: Vcpu): boolean;
  /**
   * Waits for a resumed vCPU to need something, and returns it, stopped; its `exit` says why. Undefined: for a kick, or
   * the timer; what has been resumed stays so. A kick is never lost: one that came before makes it return at once.
   */
  wait(): Vcpu | undefined;
  /** Kicks once when CLOCK_MONOTONIC reaches deadlineNs; 0 disarms. One deadline at a time. */
  setTimer(deadlineNs: number): void;
  /**
   * A debugger's breakpoints, at most `maxBreakpoints`, by linear address, instead of those of the last call. Outside of
   * ring 0 such an instruction raises #DB as one in DR0..3 does, with DR6_BREAKPOINT.
   */
  setBreakpoints(addresses: readonly bigint[]): void;
  /**
   * A write of this value, 32 bits, to bellPort calls notify(notifier) without stopping the vCPU; it replaces the bell that the
   * value had. False: there is no such thing, or no more of them.
   */
  addBell(value: number, notifier: number): boolean;
  /** Nothing happens for a value without a bell. */
  removeBell(value: number): void;
  /** For openLine() on another thread; undefined where a vCPU has to be stopped to be interrupted. */
  readonly lineId: number | undefined;
  /** Tells that the host wrote to guest memory that may hold code. */
  invalidate(address: Gpa, length: number): void;
  /**
   * A byte for each page of memory, for other threads that write to it: read behind a full barrier after the write, 0 says that
   * there is nothing to tell invalidate() of; it is 0 again after that was told of the whole page. Undefined: there never is.
   */
  readonly codeMarks: SharedArrayBuffer | undefined;
  /** Closes the vCPUs. Idempotent; everything else but `id` throws an Error with code EBADF afterwards. */
  close(): void;
}

/** Another thread's way to a machine's vCPUs. */
export interface Line {
  /** As Vcpu.inject(). Nothing happens once the machine is closed. */
  inject(vcpu: number, vector: number): void;
  close(): void;
}

/** Belongs to its machine's thread. */
export interface Vcpu {
  readonly index: number;
  /** Why wait() returned it last. */
  readonly exit: VcpuExit;
  /** The engine's own words for the last VCPU_EXIT.ERROR. */
  readonly lastError: string;

  /** Raises an external interrupt (vector 0..255), pending until the guest's IF is 1. Whether it runs or not. */
  inject(vector: number): void;
  /** Of a vCPU that does not run. */
  getState(): CpuState;
  /** Throws an Error with code EINVAL for what no CPU accepts. */
  setState(state: CpuState): void;
  /** FPU and SSE registers, as FXSAVE lays them out in 64-bit mode: FPU_STATE_BYTES. Of a vCPU that does not run. */
  getFpu(): Uint8Array;
  /** Any bytes will do. */
  setFpu(state: Uint8Array): void;
  setCpuid(entries: readonly CpuidEntry[]): void;
}

/** Makes a machine's `wait` come back, now or when next called. Any thread; ids of closed machines are ignored. */
export function kick(id: number): void {
  loadAddon().kickVcpu(id);
}

/** For Machine.createVcpu: the vCPU of this index, which joins `created`. Throws EVCPU_LIMIT, EEXIST. */
export function takeVcpu<V extends Vcpu>(vcpus: readonly V[], created: Set<number>, index: number): V {
  const vcpu = vcpus[index];
  if (vcpu === undefined) {
    throw new XennerError('EVCPU_LIMIT', `vCPU ${index}: this machine has ${vcpus.length}`);
  }
  if (created.has(index)) throw new XennerError('EEXIST', `vCPU ${index} exists already`);
  created.add(index);
  return vcpu;
}
