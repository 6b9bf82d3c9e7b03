/** Real KVM: each vCPU in KVM_RUN, on a native thread of its own when there are several. */
import { XennerError } from '../base/errors.js';
import { MAX_VCPUS } from '../base/limits.js';
import { loadAddon } from './addon.js';
import { EventFd } from './api/event-fd.js';
import { decodeExit, EXIT_OFFSET } from './api/exits.js';
import { Kvm } from './api/kvm.js';
import { EXIT_ERROR, type NativeKvmVcpuThreads, VCPU_THREADS } from './api/native.js';
import type { KvmVcpu } from './api/vcpu.js';
import type { IoEvent, KvmVm } from './api/vm.js';
import type { CpuState } from './cpu-state.js';
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
import { backingForKvm } from './guest-memory-backing.js';
import { msiAddress } from './kvm-line.js';
import { getCpuState, getFpuState, setCpuState, setFpuState } from './kvm-state.js';
import { KVM_CAP_SPLIT_IRQCHIP } from './uapi/caps.js';
import { KVM_EXITS } from './uapi/exits.js';
import { KVM_CPUID_FLAG_SIGNIFCANT_INDEX, KVM_MP_STATE_RUNNABLE } from './uapi/vcpu.js';

/** GSIs of an I/O APIC that nobody has. */
const SPLIT_IRQCHIP_PINS = 24n;
const MSR_IA32_APICBASE = 0x1b;
const APIC_BASE = 0xfee00000n;
const APICBASE_BSP = 1n << 8n;
const APICBASE_X2APIC = 3n << 10n;
const MSR_X2APIC_SVR = 0x80f;
const APIC_ENABLED_SPURIOUS_FF = 0x1ffn;
const MSR_X2APIC_LVTT = 0x832;
const LVTT_TSC_DEADLINE = 2 << 17;
/** Leaf 1, ecx: what KVM must be told for the monitor's sake. The monitor hides both. */
const X2APIC_AND_TSC_DEADLINE = (1 << 21) | (1 << 24);
/** VMX needs these on some hosts; far above any guest's memory, below 4 GiB's last pages. */
const IDENTITY_MAP = 0xfeffc000;
const TSS_ADDRESS = 0xfeffd000;
/** In struct kvm_run. */
const EXIT_REASON_OFFSET = 8;
const BELL_BYTES = 4;
const PORT_OFFSET = EXIT_OFFSET + KVM_EXITS.KVM_EXIT_IO.fields.offsetof('port');

export const kvmEngine: Engine = {
  name: 'kvm',
  maxVcpus: MAX_VCPUS,
  lapic: true,
  maxBreakpoints: 0,
  parallel: true,
  createMachine: (options) => new KvmMachine(options),
  cpuid: supportedCpuid,
  backing: backingForKvm,
};

function supportedCpuid(): CpuidEntry[] {
  const kvm = new Kvm();
  try {
    return kvm.supportedCpuid().map(({ index, flags, ...entry }) => ({
      ...entry,
      index: flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX ? index : undefined,
    }));
  } finally {
    kvm.close();
  }
}

class KvmMachine implements Machine {
  readonly #vm: KvmVm;
  readonly #vcpus: KvmEngineVcpu[] = [];
  readonly #threads: NativeKvmVcpuThreads;
  readonly #exitPort: number;
  readonly #bellPort: number | undefined;
  readonly #bells = new Map<number, IoEvent>();
  readonly id: number;
  ownExits = 0;
  readonly #created = new Set<number>();
  #closed = false;

  constructor({ memory, exitPort, timerVector, bellPort, nrVcpus }: MachineOptions) {
    if (nrVcpus > kvmEngine.maxVcpus) {
      throw new XennerError('EVCPU_LIMIT', `the KVM engine runs ${kvmEngine.maxVcpus} vCPUs`);
    }
    this.#exitPort = exitPort;
    this.#bellPort = bellPort;
    const kvm = new Kvm();
    try {
      this.#vm = kvm.createVm();
    } finally {
      kvm.close();
    }
    try {
      this.#vm.setIdentityMapAddr(IDENTITY_MAP);
      this.#vm.setTssAddr(TSS_ADDRESS);
      this.#vm.enableCap(KVM_CAP_SPLIT_IRQCHIP, SPLIT_IRQCHIP_PINS);
      this.#vm.setMemory({ slot: 0, address: 0, memory });
      for (let index = 0; index < nrVcpus; index++) {
        this.#vcpus.push(new KvmEngineVcpu(this.#vm, this.#vm.createVcpu(index), timerVector));
      }
      this.#threads = new (loadAddon().KvmVcpuThreads)(this.#vcpus.map(({ kvm }) => kvm.native));
      this.id = this.#threads.id;
    } catch (error) {
      this.#vm.close();
      throw error;
    }
  }

  createVcpu(index: number): Vcpu {
    if (this.#closed) throw new XennerError('EBADF', 'the machine is closed');
    return takeVcpu(this.#vcpus, this.#created, index);
  }

  resume(vcpu: Vcpu): void {
    this.#threads.resume(vcpu.index);
  }

  pause({ index }: Vcpu): boolean {
    while (!this.#threads.pause(index)) {
      if (this.#take(index)) return false;
      this.#threads.resume(index);
    }
    return true;
  }

  wait(): Vcpu | undefined {
    for (;;) {
      const index = this.#threads.wait(Infinity);
      if (index === VCPU_THREADS.KICKED) return undefined;
      if (this.#take(index)) return this.#vcpus[index]!;
      this.ownExits++;
      this.#threads.resume(index);
    }
  }

  #take(index: number): boolean {
    return this.#vcpus[index]!.take(this.#exitPort, () => this.#threads.error(index));
  }

  get lineId(): number {
    return this.#vm.id;
  }

  addBell(value: number, notifier: number): boolean {
    const address = this.#bellPort;
    if (address === undefined) return false;
    this.removeBell(value);
    const event = new EventFd();
    const bell = { event, address, port: true, length: BELL_BYTES, datamatch: BigInt(value) };
    try {
      event.native.notify(notifier);
      this.#vm.ioeventfd(bell);
    } catch (error) {
      event.close();
      // NR_IOBUS_DEVS of the kernel: the guest's notifications are exits then.
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
      throw error;
    }
    this.#bells.set(value, bell);
    return true;
  }

  removeBell(value: number): void {
    const bell = this.#bells.get(value);
    if (bell === undefined) return;
    this.#bells.delete(value);
    this.#vm.removeIoeventfd(bell);
    bell.event.close();
  }

  setTimer(deadlineNs: number): void {
    this.#threads.setTimer(deadlineNs);
  }

  /** It has none. */
  setBreakpoints(): void {}

  /** The processor itself keeps instructions and memory the same. */
  invalidate(_address: Gpa, _length: number): void {}

  readonly codeMarks = undefined;

  close(): void {
    this.#closed = true;
    this.#threads.close();
    this.#vm.close();
    for (const { event } of this.#bells.values()) event.close();
  }
}

class KvmEngineVcpu implements Vcpu {
  readonly index: number;
  exit: VcpuExit = VCPU_EXIT.KICK;
  lastError = '';
  readonly #view: DataView;

  constructor(
    private readonly vm: KvmVm,
    readonly kvm: KvmVcpu,
    private readonly timerVector: number | undefined,
  ) {
    this.index = kvm.index;
    this.#view = new DataView(kvm.native.page);
  }

  /** Takes KVM's exit. False if the machine's owner need not know of it and the vCPU goes on. */
  take(exitPort: number, error: () => string): boolean {
    // The one that counts, without an object for it.
    const number = this.#view.getUint32(EXIT_REASON_OFFSET, true);
    if (number === KVM_EXITS.KVM_EXIT_IO.number && this.#view.getUint16(PORT_OFFSET, true) === exitPort) {
      this.exit = VCPU_EXIT.PORT;
      return true;
    }
    if (number === EXIT_ERROR) return this.#failed(error());
    const exit = decodeExit(this.kvm.page, this.#view, number);
    switch (exit.exit_reason) {
      case 'KVM_EXIT_IO':
        if (exit.direction === 'in') exit.data.fill(0xff);
        return false;
      case 'KVM_EXIT_MMIO':
        // Beyond the guest's memory: reads are ones, writes are lost.
        if (!exit.is_write) exit.data.fill(0xff);
        return false;
      case 'KVM_EXIT_INTR':
      case 'KVM_EXIT_IOAPIC_EOI':
        return false;
      case 'KVM_EXIT_HLT':
        this.exit = VCPU_EXIT.HLT;
        return true;
      case 'KVM_EXIT_SHUTDOWN':
        this.exit = VCPU_EXIT.SHUTDOWN;
        return true;
      case 'KVM_EXIT_FAIL_ENTRY':
        return this.#failed(
          `it cannot enter the guest (0x${exit.hardware_entry_failure_reason.toString(16)})`,
        );
      case 'KVM_EXIT_INTERNAL_ERROR':
        return this.#failed(`an internal error of KVM's (${exit.suberror})`);
      default:
        return this.#failed(`an exit that it does not know (${number})`);
    }
  }

  #failed(why: string): true {
    this.exit = VCPU_EXIT.ERROR;
    this.lastError = why;
    return true;
  }

  inject(vector: number): void {
    this.vm.signalMsi(BigInt(msiAddress(this.index)), vector);
  }

  getState(): CpuState {
    // After a KVM_RUN that failed there is nothing to complete.
    if (this.exit !== VCPU_EXIT.ERROR) this.kvm.completeIo();
    return getCpuState(this.kvm);
  }

  setState(state: CpuState): void {
    setCpuState(this.kvm, state);
    // KVM has all but the first wait for INIT and SIPI.
    this.kvm.setMpState(KVM_MP_STATE_RUNNABLE);
    const bsp = this.index === 0 ? APICBASE_BSP : 0n;
    this.kvm.setMsrs([
      { index: MSR_IA32_APICBASE, data: APIC_BASE | APICBASE_X2APIC | bsp },
      { index: MSR_X2APIC_SVR, data: APIC_ENABLED_SPURIOUS_FF },
      ...(this.timerVector === undefined
        ? []
        : [{ index: MSR_X2APIC_LVTT, data: BigInt(LVTT_TSC_DEADLINE | this.timerVector) }]),
    ]);
  }

  getFpu(): Uint8Array {
    return getFpuState(this.kvm);
  }

  setFpu(state: Uint8Array): void {
    setFpuState(this.kvm, state);
  }

  setCpuid(entries: readonly CpuidEntry[]): void {
    this.kvm.setCpuid2(
      entries.map(({ index, ...entry }) => ({
        ...entry,
        ...(entry.function === 1 && { ecx: (entry.ecx | X2APIC_AND_TSC_DEADLINE) >>> 0 }),
        index: index ?? 0,
        flags: index === undefined ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
      })),
    );
  }
}
