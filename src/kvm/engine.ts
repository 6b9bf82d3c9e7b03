/** What runs a guest's instructions. The hypervisor knows no more of an engine than this. */
import { loadAddon, NATIVE_EXIT } from './addon.js';
import type { CpuState } from './cpu-state.js';
import type { Gpa, GuestMemory } from './guest-memory.js';

/** Why `Vcpu.run` came back. */
export const VCPU_EXIT = NATIVE_EXIT;
export type VcpuExit = (typeof VCPU_EXIT)[keyof typeof VCPU_EXIT];

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
  createMachine(options: MachineOptions): Machine;
}

export interface MachineOptions {
  /** The whole of guest-physical memory, from 0. Stays the caller's, who closes it after the machine. */
  memory: GuestMemory;
  /** A write to this I/O port by ring 0 ends `run` with VCPU_EXIT.PORT. Every other port reads as ones. */
  exitPort: number;
}

export interface Machine {
  /** The vCPU of this index, 0 and up; once each. It belongs to the calling thread. */
  createVcpu(index: number): Vcpu;
  /** Closes the vCPUs. Idempotent. */
  close(): void;
}

/** Belongs to the thread that made it; other threads have `kickVcpu(id)`. */
export interface Vcpu {
  /** For `kickVcpu`; never reused within a process. */
  readonly id: number;
  readonly index: number;
  /** The engine's own words for the last VCPU_EXIT.ERROR. */
  readonly lastError: string;

  /** Runs until there is something to do. A kick is never lost: one that came before makes it return KICK at once. */
  run(): VcpuExit;
  /** Raises an external interrupt (vector 0..255), pending until the guest's IF is 1. */
  inject(vector: number): void;
  /** Sleeps until a kick, the timer, or for timeoutNs (Infinity: for ever). True for a kick or the timer; takes it. */
  wait(timeoutNs: number): boolean;
  /** Kicks once when CLOCK_MONOTONIC reaches deadlineNs; 0 disarms. One deadline at a time. */
  setTimer(deadlineNs: number): void;

  getState(): CpuState;
  /** Throws an Error with code EINVAL for what no CPU accepts. */
  setState(state: CpuState): void;
  setCpuid(entries: readonly CpuidEntry[]): void;
  /** Tells that the host wrote to guest memory that may hold code. */
  invalidate(address: Gpa, length: number): void;
  /** Idempotent. Everything but `id`, `index` and `close` throws an Error with code EBADF afterwards. */
  close(): void;
}

/** Makes a vCPU's `run` or `wait` come back, now or when next called. Any thread; ids of closed vCPUs are ignored. */
export function kickVcpu(id: number): void {
  loadAddon().kickVcpu(id);
}
