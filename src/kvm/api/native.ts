/** The addon's KVM classes. Structures are passed as bytes, of exactly their size; see src/kvm/uapi for what is in them. */
import type { NativeGuestMemory } from '../addon.js';

/** KVM's ioctls on one structure: the method, named after the ioctl, reads or fills it. Returns the ioctl's result. */
type StructCalls<Names extends string> = Record<Names, (structure: Uint8Array) => number>;

export interface NativeEventFd {
  readonly fd: number;
  signal(): void;
  /** The signals since the last call; 0 when there was none. */
  take(): number;
  /** From now on each signal wakes this notifier. Once. */
  notify(notifierId: number): void;
  close(): void;
}

export interface NativeKvmSystem {
  checkExtension(capability: number): number;
  /** A head whose first 32 bits are the count of what follows. */
  getSupportedCpuid(): Buffer;
  getEmulatedCpuid(): Buffer;
  getMsrIndexList(): Buffer;
  getMsrFeatureIndexList(): Buffer;
  getMsrs(msrs: Uint8Array): number;
  createVm(): NativeKvmVm;
  close(): void;
}

export interface NativeKvmVm
  extends StructCalls<
    | 'enableCap'
    | 'createPit2'
    | 'getIrqchip'
    | 'setIrqchip'
    | 'getPit2'
    | 'setPit2'
    | 'reinjectControl'
    | 'getClock'
    | 'setClock'
    | 'irqLine'
    | 'signalMsi'
    | 'registerCoalescedMmio'
    | 'unregisterCoalescedMmio'
    | 'setIdentityMapAddr'
    | 'setGsiRouting'
  > {
  /** For attach(). */
  readonly id: number;
  checkExtension(capability: number): number;
  createIrqchip(): number;
  setTssAddr(address: number): number;
  setBootCpuId(id: number): number;
  createVcpu(index: number): NativeKvmVcpu;
  setMemory(
    slot: number,
    flags: number,
    address: number,
    memory: NativeGuestMemory,
    offset: number,
    bytes: number,
  ): void;
  deleteMemory(slot: number): void;
  getDirtyLog(slot: number): Buffer;
  clearDirtyLog(slot: number, firstPage: number, pages: number, bitmap: Uint8Array): void;
  irqfd(event: NativeEventFd, gsi: number, flags: number, resample?: NativeEventFd): void;
  ioeventfd(event: NativeEventFd, address: number, length: number, flags: number, datamatch: bigint): void;
  setMsrFilter(
    flags: number,
    ranges: Array<[flags: number, base: number, nmsrs: number, bitmap: Uint8Array]>,
  ): void;
  close(): void;
}

export interface NativeKvmVcpu
  extends StructCalls<
    | 'getRegs'
    | 'setRegs'
    | 'getSregs'
    | 'setSregs'
    | 'getSregs2'
    | 'setSregs2'
    | 'getFpu'
    | 'setFpu'
    | 'getXcrs'
    | 'setXcrs'
    | 'getDebugregs'
    | 'setDebugregs'
    | 'getLapic'
    | 'setLapic'
    | 'getVcpuEvents'
    | 'setVcpuEvents'
    | 'getMpState'
    | 'setMpState'
    | 'setGuestDebug'
    | 'translate'
    | 'interrupt'
    | 'enableCap'
    | 'getMsrs'
    | 'setMsrs'
  > {
  /** For kickVcpu(); never reused within a process. */
  readonly id: number;
  readonly index: number;
  /** kvm_run and the pages behind it, shared with the kernel. Zeros once the vCPU is closed. */
  readonly page: ArrayBuffer;
  /** KVM_RUN until an exit to user space; returns kvm_run.exit_reason. A kick makes it return KVM_EXIT_INTR. */
  run(): number;
  /** The same on a thread of this vCPU's own. */
  runAsync(): Promise<number>;
  /** Takes what the last exit's I/O was answered with, and executes nothing else. Returns KVM_EXIT_INTR, or a new exit. */
  completeIo(): number;
  setCpuid2(cpuid: Uint8Array): void;
  getCpuid2(): Buffer;
  getXsave(): Buffer;
  setXsave(state: Uint8Array): void;
  setSignalMask(mask: bigint | undefined): void;
  getTscOffset(): bigint;
  setTscOffset(offset: bigint): void;
  setTscKhz(khz: number): void;
  getTscKhz(): number;
  nmi(): number;
  kvmclockCtrl(): number;
  close(): void;
}

/** What NativeKvmVcpuThreads.run and wait return beside an index. */
export const VCPU_THREADS = { KICKED: -1, TIMED_OUT: -2 } as const;

/** kvm_run.exit_reason of a vCPU whose KVM_RUN failed, as NativeKvmVcpuThreads reports it. The kernel never gives it. */
export const EXIT_ERROR = 0xffff_ffff;

/**
 * The vCPUs of one machine, each on a native thread of its own, served by the thread that made this object: it sleeps
 * until one has exited to user space, reads that vCPU's kvm_run page and state, and resumes it. All begin parked; a vCPU
 * is parked again once wait() or run() has returned its index, and only then may its page and state be touched. A vCPU
 * that is alone runs on the calling thread itself, inside wait() and run(): no thread is made, nothing else changes.
 */
export interface NativeKvmVcpuThreads {
  /** For kickVcpu(): makes wait() or run() return KICKED, now or when next called. The vCPUs go on. */
  readonly id: number;
  /** Lets a parked vCPU run until its next exit. */
  resume(index: number): void;
  /**
   * Parks a vCPU that runs, between two instructions. False if it had exited before: then that is as if wait() had returned
   * its index, which it does not any more.
   */
  pause(index: number): boolean;
  /**
   * The index of a vCPU that has exited, in the order of their exits. kvm_run.exit_reason is KVM_EXIT_INTR after a kick of
   * that vCPU's own id, and EXIT_ERROR when KVM_RUN failed. Or VCPU_THREADS.KICKED, which goes before exits, or TIMED_OUT.
   * Infinity: for ever.
   */
  wait(timeoutNs: number): number;
  /** resume(index), then wait(Infinity), in one call. */
  run(index: number): number;
  /** Kicks once when CLOCK_MONOTONIC reaches deadlineNs; 0 disarms. One deadline at a time. */
  setTimer(deadlineNs: number): void;
  /** Why KVM_RUN failed for a vCPU with EXIT_ERROR. */
  error(index: number): string;
  /** Ends the threads; the vCPUs stay open. Idempotent. */
  close(): void;
}

export interface KvmAddon {
  EventFd: { new (): NativeEventFd };
  /** Opens /dev/kvm. */
  KvmSystem: { new (): NativeKvmSystem };
  KvmVm: {
    /** Another thread's handle on an open machine; its close() leaves the machine open. Throws ENOENT. */
    attach(id: number): NativeKvmVm;
  };
  KvmVcpuThreads: { new (vcpus: readonly NativeKvmVcpu[]): NativeKvmVcpuThreads };
}
