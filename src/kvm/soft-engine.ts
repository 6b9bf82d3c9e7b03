/** The software CPU, in process: the addon's SoftVcpu. */
import { XennerError } from '../base/errors.js';
import { MAX_BREAKPOINTS, MAX_VCPUS } from '../base/limits.js';
import { type Addon, loadAddon, type NativeSoftVcpu } from './addon.js';
import { type CpuState, decodeCpuState, encodeCpuState } from './cpu-state.js';
import {
  type CpuidEntry,
  type Engine,
  type Machine,
  type MachineOptions,
  takeVcpu,
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

const PAGE_BYTES = 4096;
/** How long a vCPU runs while others wait for their turn. */
const SLICE_NS = 1_000_000;

export const softEngine: Engine = {
  name: 'soft',
  maxVcpus: MAX_VCPUS,
  lapic: false,
  maxBreakpoints: MAX_BREAKPOINTS,
  parallel: false,
  createMachine: (options) => new SoftMachine(options),
};

/** Its vCPUs take turns on the thread that waits. */
class SoftMachine implements Machine {
  readonly id: number;
  readonly ownExits = 0;
  readonly #vcpus: SoftEngineVcpu[] = [];
  readonly codeMarks: SharedArrayBuffer;
  readonly #first: NativeSoftVcpu;
  readonly #created = new Set<number>();
  #closed = false;
  /** Whose turn it is, or was last. */
  #turn = 0;
  #resumed = 0;
  #sliced = false;

  constructor({ memory, exitPort, nrVcpus }: MachineOptions) {
    if (!(nrVcpus >= 1 && nrVcpus <= softEngine.maxVcpus)) {
      throw new XennerError('EVCPU_LIMIT', `the soft engine runs 1 to ${softEngine.maxVcpus} vCPUs`);
    }
    const SoftVcpu = requireSoftCpu();
    this.codeMarks = new SharedArrayBuffer(memory.size / PAGE_BYTES);
    const marks = new Uint8Array(this.codeMarks);
    this.#first = new SoftVcpu(memory.native, exitPort, marks);
    this.id = this.#first.id;
    this.#vcpus.push(new SoftEngineVcpu(0, this.#first));
    while (this.#vcpus.length < nrVcpus) {
      const sibling = new SoftVcpu(memory.native, exitPort, marks, this.#first);
      this.#vcpus.push(new SoftEngineVcpu(this.#vcpus.length, sibling));
    }
  }

  createVcpu(index: number): Vcpu {
    if (this.#closed) throw new XennerError('EBADF', 'the machine is closed');
    return takeVcpu(this.#vcpus, this.#created, index);
  }

  resume({ index }: Vcpu): void {
    const vcpu = this.#vcpus[index]!;
    if (!vcpu.resumed) this.#resumed++;
    vcpu.resumed = true;
  }

  /** One that has stopped by itself has been returned at once. */
  pause({ index }: Vcpu): true {
    const vcpu = this.#vcpus[index]!;
    if (vcpu.resumed) this.#resumed--;
    vcpu.resumed = false;
    return true;
  }

  wait(): Vcpu | undefined {
    for (;;) {
      if (this.#resumed === 0) {
        this.#first.wait(Infinity);
        return undefined;
      }
      const vcpu = this.#next();
      if (this.#resumed > 1 && !this.#sliced) this.#slice(SLICE_NS);
      const exit = vcpu.native.run();
      if (exit === VCPU_EXIT.KICK) return undefined;
      if (exit === VCPU_EXIT.YIELD) {
        this.#sliced = false;
        this.#turn++;
        continue;
      }
      this.pause(vcpu);
      vcpu.exit = exit as VcpuExit;
      return vcpu;
    }
  }

  /** The guest's locked instructions are none to other threads, which may change its memory between two of them only. */
  readonly lineId = undefined;

  addBell(): boolean {
    return false;
  }

  removeBell(): void {}

  setTimer(deadlineNs: number): void {
    this.#first.setTimer(deadlineNs);
  }

  setBreakpoints(addresses: readonly bigint[]): void {
    for (const { native } of this.#vcpus) native.setBreakpoints(BigUint64Array.from(addresses));
  }

  invalidate(address: Gpa, length: number): void {
    this.#first.invalidate(address, length);
  }

  close(): void {
    this.#closed = true;
    for (const { native } of this.#vcpus) native.close();
  }

  /** The one whose turn it is as long as it runs, then the next one. */
  #next(): SoftEngineVcpu {
    for (let i = 0; ; i++) {
      const vcpu = this.#vcpus[(this.#turn + i) % this.#vcpus.length]!;
      if (!vcpu.resumed) continue;
      if (i !== 0) {
        this.#turn = vcpu.index;
        this.#slice(this.#resumed > 1 ? SLICE_NS : 0);
      }
      return vcpu;
    }
  }

  #slice(ns: number): void {
    if (ns === 0 && !this.#sliced) return;
    this.#sliced = ns !== 0;
    this.#first.setSlice(ns);
  }
}

class SoftEngineVcpu implements Vcpu {
  exit: VcpuExit = VCPU_EXIT.KICK;
  resumed = false;

  constructor(
    readonly index: number,
    readonly native: NativeSoftVcpu,
  ) {}

  get lastError(): string {
    return this.native.lastError;
  }

  inject(vector: number): void {
    this.native.inject(vector);
  }

  getState(): CpuState {
    return decodeCpuState(this.native.getState());
  }

  setState(state: CpuState): void {
    this.native.setState(encodeCpuState(state));
  }

  getFpu(): Uint8Array {
    return this.native.getFpu();
  }

  setFpu(state: Uint8Array): void {
    this.native.setFpu(state);
  }

  setCpuid(entries: readonly CpuidEntry[]): void {
    this.native.setCpuid(encodeCpuid(entries));
  }
}
