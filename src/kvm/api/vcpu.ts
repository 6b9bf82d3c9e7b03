/** A vCPU of KVM: its state, and running it. */
import type { CStruct, Encodable } from '../../base/layout.js';
import {
  type KvmDebugregs,
  type KvmFpu,
  type KvmRegs,
  type KvmSregs,
  type KvmSregs2,
  type KvmXcrs,
  kvm_debugregs,
  kvm_fpu,
  kvm_regs,
  kvm_sregs,
  kvm_sregs2,
  kvm_xcrs,
} from '../uapi/regs.js';
import {
  type KvmCpuidEntry2,
  type KvmGuestDebug,
  type KvmMsrEntry,
  type KvmTranslation,
  type KvmVcpuEvents,
  kvm_cpuid_entry2,
  kvm_cpuid2,
  kvm_guest_debug,
  kvm_interrupt,
  kvm_lapic_state,
  kvm_mp_state,
  kvm_msr_entry,
  kvm_msrs,
  kvm_translation,
  kvm_vcpu_events,
} from '../uapi/vcpu.js';
import { kvm_enable_cap } from '../uapi/vm.js';
import { decodeCounted, encodeCounted } from './counted.js';
import { decodeExit, encodeAnswer, type KvmAnswer, type KvmExit, type KvmExitReason } from './exits.js';
import type { NativeKvmVcpu } from './native.js';

type Call = (structure: Uint8Array) => number;

/**
 * Belongs to the thread that made it; others have `kickVcpu(id)`. Errors as for Kvm, and EBUSY for everything but close()
 * while it runs. Setters leave members that they are not given as they are.
 */
export class KvmVcpu {
  readonly native: NativeKvmVcpu;
  /** For kickVcpu(): the run that is under way, or the next one, ends with KVM_EXIT_INTR. */
  readonly id: number;
  readonly index: number;
  /** struct kvm_run (see uapi/exits.ts) and the pages behind it, shared with the kernel. Zeros once closed. */
  readonly page: Uint8Array;
  readonly #view: DataView;

  private constructor(native: NativeKvmVcpu) {
    this.native = native;
    this.id = native.id;
    this.index = native.index;
    const buffer = native.page;
    this.page = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
  }

  /** For KvmVm.createVcpu(). */
  static of(native: NativeKvmVcpu): KvmVcpu {
    return new KvmVcpu(native);
  }

  /** KVM_RUN: the guest runs on the calling thread, which blocks, until it exits to user space or is kicked. */
  run(): KvmExit {
    return decodeExit(this.page, this.#view, this.native.run());
  }

  /** KVM_RUN on a thread of this vCPU's own. It keeps the process alive. EBADF when the vCPU is closed meanwhile. */
  async runAsync(): Promise<KvmExit> {
    return decodeExit(this.page, this.#view, await this.native.runAsync());
  }

  /**
   * Completes the instruction of the last exit with the answer that was given, and executes nothing else, so that the state
   * may be read. KVM_EXIT_INTR, unless the instruction goes on and makes another exit.
   */
  completeIo(): KvmExit {
    return decodeExit(this.page, this.#view, this.native.completeIo());
  }

  /**
   * Writes members of kvm_run that the kernel reads at the next run: `answer('KVM_EXIT_X86_RDMSR', { data: 1n })`, `ret` of
   * KVM_EXIT_HYPERCALL. For port I/O and MMIO, write to the exit's `data`.
   */
  answer<N extends KvmExitReason>(reason: N, answer: KvmAnswer<N>): void {
    encodeAnswer(this.page, reason, answer);
  }

  getRegs(): KvmRegs {
    return this.#get(kvm_regs, 'getRegs');
  }
  setRegs(change: Encodable<KvmRegs>): void {
    this.#set(kvm_regs, 'getRegs', 'setRegs', change);
  }

  getSregs(): KvmSregs {
    return this.#get(kvm_sregs, 'getSregs');
  }
  setSregs(change: Encodable<KvmSregs>): void {
    this.#set(kvm_sregs, 'getSregs', 'setSregs', change);
  }

  /** With KVM_CAP_SREGS2. */
  getSregs2(): KvmSregs2 {
    return this.#get(kvm_sregs2, 'getSregs2');
  }
  setSregs2(change: Encodable<KvmSregs2>): void {
    this.#set(kvm_sregs2, 'getSregs2', 'setSregs2', change);
  }

  getFpu(): KvmFpu {
    return this.#get(kvm_fpu, 'getFpu');
  }
  setFpu(change: Encodable<KvmFpu>): void {
    this.#set(kvm_fpu, 'getFpu', 'setFpu', change);
  }

  getXcrs(): KvmXcrs {
    return this.#get(kvm_xcrs, 'getXcrs');
  }
  setXcrs(change: Encodable<KvmXcrs>): void {
    this.#set(kvm_xcrs, 'getXcrs', 'setXcrs', change);
  }

  getDebugregs(): KvmDebugregs {
    return this.#get(kvm_debugregs, 'getDebugregs');
  }
  setDebugregs(change: Encodable<KvmDebugregs>): void {
    this.#set(kvm_debugregs, 'getDebugregs', 'setDebugregs', change);
  }

  getVcpuEvents(): KvmVcpuEvents {
    return this.#get(kvm_vcpu_events, 'getVcpuEvents');
  }
  setVcpuEvents(change: Encodable<KvmVcpuEvents>): void {
    this.#set(kvm_vcpu_events, 'getVcpuEvents', 'setVcpuEvents', change);
  }

  /** The LAPIC's register page. Needs an irqchip, full or split. */
  getLapic(): Uint8Array {
    return this.#get(kvm_lapic_state, 'getLapic').regs;
  }
  setLapic(regs: Uint8Array): void {
    this.native.setLapic(kvm_lapic_state.create({ regs }));
  }

  /** The XSAVE area: 4096 bytes, or more where KVM_CAP_XSAVE2 says so. */
  getXsave(): Uint8Array {
    return this.native.getXsave();
  }
  setXsave(state: Uint8Array): void {
    this.native.setXsave(state);
  }

  /** KVM_MP_STATE_*. */
  getMpState(): number {
    return this.#get(kvm_mp_state, 'getMpState').mp_state;
  }
  setMpState(state: number): void {
    this.native.setMpState(kvm_mp_state.create({ mp_state: state }));
  }

  /** Fewer entries come back when KVM does not know an MSR: it stops there. */
  getMsrs(indices: readonly number[]): KvmMsrEntry[] {
    const entries = indices.map((index) => ({ index }));
    const bytes = encodeCounted(kvm_msrs, kvm_msr_entry, entries);
    const count = this.native.getMsrs(bytes);
    return decodeCounted(kvm_msrs, kvm_msr_entry, bytes).slice(0, count);
  }

  /** Returns how many were written: KVM stops at the first that it refuses. */
  setMsrs(entries: readonly KvmMsrEntry[]): number {
    return this.native.setMsrs(encodeCounted(kvm_msrs, kvm_msr_entry, entries));
  }

  /** KVM_SET_CPUID2. Before the first run. Long mode needs it, since a vCPU has no features of its own. */
  setCpuid2(entries: readonly Encodable<KvmCpuidEntry2>[]): void {
    this.native.setCpuid2(encodeCounted(kvm_cpuid2, kvm_cpuid_entry2, entries));
  }
  getCpuid2(): KvmCpuidEntry2[] {
    return decodeCounted(kvm_cpuid2, kvm_cpuid_entry2, this.native.getCpuid2());
  }

  /** KVM_INTERRUPT: injects an external interrupt. Without an irqchip, and when the guest is ready for it. */
  interrupt(vector: number): void {
    this.native.interrupt(kvm_interrupt.create({ irq: vector }));
  }

  nmi(): void {
    this.native.nmi();
  }

  /** With KVM_CAP_*: KVM_ENABLE_CAP of this vCPU. */
  enableCap(cap: number, ...args: bigint[]): void {
    this.native.enableCap(kvm_enable_cap.create({ cap, args: [...args, 0n, 0n, 0n, 0n].slice(0, 4) }));
  }

  /** KVM_TRANSLATE: walks the guest's page tables. */
  translate(linearAddress: bigint): KvmTranslation {
    const bytes = kvm_translation.create({ linear_address: linearAddress });
    this.native.translate(bytes);
    return kvm_translation.decode(bytes);
  }

  setGuestDebug(debug: Encodable<KvmGuestDebug>): void {
    this.native.setGuestDebug(kvm_guest_debug.create(debug));
  }

  /** KVM_SET_SIGNAL_MASK: bit n - 1 blocks signal n during run(); undefined: the thread's own mask. Kicks always arrive. */
  setSignalMask(mask: bigint | undefined): void {
    this.native.setSignalMask(mask);
  }

  getTscKhz(): number {
    return this.native.getTscKhz();
  }
  setTscKhz(khz: number): void {
    this.native.setTscKhz(khz);
  }

  /** Guest TSC = host TSC (scaled) + this, modulo 2^64. */
  getTscOffset(): bigint {
    return this.native.getTscOffset();
  }
  setTscOffset(offset: bigint): void {
    this.native.setTscOffset(offset);
  }

  /** KVM_KVMCLOCK_CTRL: tells the guest that it was stopped. */
  kvmclockCtrl(): void {
    this.native.kvmclockCtrl();
  }

  /** Asks for KVM_EXIT_IRQ_WINDOW_OPEN as soon as the guest can take an interrupt, at every run until taken back. */
  set requestInterruptWindow(wanted: boolean) {
    this.page[0] = wanted ? 1 : 0;
  }

  /** Whether interrupt() may be called: of the last exit. */
  get readyForInterruptInjection(): boolean {
    return this.page[12] !== 0;
  }

  /** Idempotent. A run that is under way, on whatever thread, ends with EBADF. */
  close(): void {
    this.native.close();
  }

  #get<T extends object>(layout: CStruct<T>, get: keyof NativeKvmVcpu): T {
    const bytes = layout.create({} as Encodable<T>);
    (this.native[get] as Call)(bytes);
    return layout.decode(bytes);
  }

  #set<T extends object>(
    layout: CStruct<T>,
    get: keyof NativeKvmVcpu,
    set: keyof NativeKvmVcpu,
    change: Encodable<T>,
  ): void {
    const bytes = layout.create({} as Encodable<T>);
    (this.native[get] as Call)(bytes);
    layout.encode(change, bytes);
    (this.native[set] as Call)(bytes);
  }
}
