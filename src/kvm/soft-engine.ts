/** The software CPU, in process: the addon's SoftVcpu. */
import { XennerError } from '../base/errors.js';
import { type Addon, loadAddon, type NativeSoftVcpu } from './addon.js';
import { type CpuState, decodeCpuState, encodeCpuState } from './cpu-state.js';
import {
  type CpuidEntry,
  type Engine,
  type Machine,
  type MachineOptions,
  VCPU_EXIT,
  type Vcpu,
  type VcpuExit,
} from './engine.js';
import type { Gpa } from './guest-memory.js';

/** Answers every subleaf; no real one is this large. */
const ANY_INDEX = 0xffffffff;

/** In the addon's words: see NativeSoftVcpu.setCpuid. */
export function encodeCpuid(entries: readonly CpuidEntry[]): Uint32Array {
  const words = entries.flatMap((e) => [e.function, e.index ?? ANY_INDEX, e.eax, e.ebx, e.ecx, e.edx]);
  return Uint32Array.from(words);
}

/** Whether the addon was built with it. */
export function hasSoftCpu(): boolean {
  return loadAddon().SoftVcpu !== undefined;
}

/** The addon's class, or an error that says how to get it. */
export function requireSoftCpu(): NonNullable<Addon['SoftVcpu']> {
  const { SoftVcpu } = loadAddon();
  if (SoftVcpu !== undefined) return SoftVcpu;
  throw new XennerError(
    'ENO_SOFT_CPU',
    'this build has no soft CPU',
    'run `npm run setup`, then `npm run build`',
  );
}

export const softEngine: Engine = {
  name: 'soft',
  maxVcpus: 1,
  lapic: false,
  createMachine: (options) => new SoftMachine(options),
};

class SoftMachine implements Machine {
  readonly id: number;
  readonly #vcpu: SoftEngineVcpu;
  readonly #native: NativeSoftVcpu;
  #created = false;
  #closed = false;
  #resumed = false;

  constructor(options: MachineOptions) {
    if (options.nrVcpus > softEngine.maxVcpus) {
      throw new XennerError('EVCPU_LIMIT', `the soft engine runs ${softEngine.maxVcpus} vCPU`);
    }
    const SoftVcpu = requireSoftCpu();
    this.#native = new SoftVcpu(options.memory.native, options.exitPort);
    this.#vcpu = new SoftEngineVcpu(this.#native);
    this.id = this.#native.id;
  }

  createVcpu(index: number): Vcpu {
    if (!Number.isInteger(index) || index < 0 || index >= softEngine.maxVcpus) {
      throw new XennerError('EVCPU_LIMIT', `vCPU ${index}: the soft engine runs ${softEngine.maxVcpus}`);
    }
    if (this.#closed) throw new XennerError('EBADF', 'the machine is closed');
    if (this.#created) throw new XennerError('EEXIST', `vCPU ${index} exists already`);
    this.#created = true;
    return this.#vcpu;
  }

  resume(): void {
    this.#resumed = true;
  }

  pause(): void {
    this.#resumed = false;
  }

  wait(): Vcpu | undefined {
    if (!this.#resumed) {
      this.#native.wait(Infinity);
      return undefined;
    }
    const exit = this.#native.run() as VcpuExit;
    if (exit === VCPU_EXIT.KICK) return undefined;
    this.#resumed = false;
    this.#vcpu.exit = exit;
    return this.#vcpu;
  }

  setTimer(deadlineNs: number): void {
    this.#native.setTimer(deadlineNs);
  }

  invalidate(address: Gpa, length: number): void {
    this.#native.invalidate(address, length);
  }

  close(): void {
    this.#closed = true;
    this.#native.close();
  }
}

class SoftEngineVcpu implements Vcpu {
  readonly index = 0;
  exit: VcpuExit = VCPU_EXIT.KICK;
  readonly #native: NativeSoftVcpu;

  constructor(native: NativeSoftVcpu) {
    this.#native = native;
  }

  get lastError(): string {
    return this.#native.lastError;
  }

  inject(vector: number): void {
    this.#native.inject(vector);
  }

  getState(): CpuState {
    return decodeCpuState(this.#native.getState());
  }

  setState(state: CpuState): void {
    this.#native.setState(encodeCpuState(state));
  }

  setCpuid(entries: readonly CpuidEntry[]): void {
    this.#native.setCpuid(encodeCpuid(entries));
  }
}
