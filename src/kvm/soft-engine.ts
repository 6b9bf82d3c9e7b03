/** The software CPU, in process: the addon's SoftVcpu. */
import { XennerError } from '../base/errors.js';
import { type Addon, loadAddon, type NativeSoftVcpu } from './addon.js';
import { type CpuState, decodeCpuState, encodeCpuState } from './cpu-state.js';
import type { CpuidEntry, Engine, Machine, MachineOptions, Vcpu, VcpuExit } from './engine.js';
import type { Gpa } from './guest-memory.js';

/** Answers every subleaf; no real one is this large. */
const ANY_INDEX = 0xffffffff;

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
  createMachine: (options) => new SoftMachine(options),
};

class SoftMachine implements Machine {
  readonly #options: MachineOptions;
  readonly #vcpus = new Map<number, SoftEngineVcpu>();
  #closed = false;

  constructor(options: MachineOptions) {
    this.#options = options;
  }

  createVcpu(index: number): Vcpu {
    if (this.#closed) throw new XennerError('EBADF', 'the machine is closed');
    if (!Number.isInteger(index) || index < 0 || index >= softEngine.maxVcpus) {
      throw new XennerError('EVCPU_LIMIT', `vCPU ${index}: the soft engine runs ${softEngine.maxVcpus}`);
    }
    if (this.#vcpus.has(index)) throw new XennerError('EEXIST', `vCPU ${index} exists already`);
    const SoftVcpu = requireSoftCpu();
    const vcpu = new SoftEngineVcpu(index, new SoftVcpu(this.#options.memory.native, this.#options.exitPort));
    this.#vcpus.set(index, vcpu);
    return vcpu;
  }

  close(): void {
    this.#closed = true;
    for (const vcpu of this.#vcpus.values()) vcpu.close();
    this.#vcpus.clear();
  }
}

class SoftEngineVcpu implements Vcpu {
  readonly id: number;
  readonly index: number;
  readonly #native: NativeSoftVcpu;

  constructor(index: number, native: NativeSoftVcpu) {
    this.id = native.id;
    this.index = index;
    this.#native = native;
  }

  get lastError(): string {
    return this.#native.lastError;
  }

  run(): VcpuExit {
    return this.#native.run() as VcpuExit;
  }

  inject(vector: number): void {
    this.#native.inject(vector);
  }

  wait(timeoutNs: number): boolean {
    return this.#native.wait(timeoutNs);
  }

  setTimer(deadlineNs: number): void {
    this.#native.setTimer(deadlineNs);
  }

  getState(): CpuState {
    return decodeCpuState(this.#native.getState());
  }

  setState(state: CpuState): void {
    this.#native.setState(encodeCpuState(state));
  }

  setCpuid(entries: readonly CpuidEntry[]): void {
    const words = entries.flatMap((e) => [e.function, e.index ?? ANY_INDEX, e.eax, e.ebx, e.ecx, e.edx]);
    this.#native.setCpuid(Uint32Array.from(words));
  }

  invalidate(address: Gpa, length: number): void {
    this.#native.invalidate(address, length);
  }

  close(): void {
    this.#native.close();
  }
}
