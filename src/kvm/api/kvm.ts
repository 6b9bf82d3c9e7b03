/** /dev/kvm: what this host's KVM can do, and where machines come from. */
import { XennerError } from '../../base/errors.js';
import { loadAddon } from '../addon.js';
import {
  type KvmCpuidEntry2,
  type KvmMsrEntry,
  kvm_cpuid_entry2,
  kvm_cpuid2,
  kvm_msr_entry,
  kvm_msr_list,
  kvm_msrs,
} from '../uapi/vcpu.js';
import { decodeCounted, encodeCounted } from './counted.js';
import type { NativeKvmSystem } from './native.js';
import { KvmVm } from './vm.js';

const NEXT_STEP: Record<string, string> = {
  ENOENT: 'enable virtualization in the firmware, load kvm_intel or kvm_amd',
};

function openSystem(): NativeKvmSystem {
  try {
    return new (loadAddon().KvmSystem)();
  } catch (error) {
    const { code = 'EKVM', message } = error as Error & { code?: string };
    throw new XennerError(code, message, NEXT_STEP[code], { cause: error });
  }
}

/**
 * Every method throws an Error whose `code` is the errno's name and whose message begins with the ioctl's; EBADF once
 * closed; a TypeError with code EINVAL for an argument of the wrong kind or size.
 */
export class Kvm {
  readonly #native: NativeKvmSystem;

  /** Opens /dev/kvm. Throws XennerError with the errno's name as code and, where there is one, the next step. */
  constructor() {
    this.#native = openSystem();
  }

  /** KVM_CHECK_EXTENSION: 0 for no, else a value that depends on the capability (KVM_CAP_*). */
  checkExtension(capability: number): number {
    return this.#native.checkExtension(capability);
  }

  /** KVM_GET_SUPPORTED_CPUID: all that a guest may be shown. Fit for KvmVcpu.setCpuid2(), changed or not. */
  supportedCpuid(): KvmCpuidEntry2[] {
    return decodeCounted(kvm_cpuid2, kvm_cpuid_entry2, this.#native.getSupportedCpuid());
  }

  /** KVM_GET_EMULATED_CPUID: instructions that KVM emulates though the host has none. */
  emulatedCpuid(): KvmCpuidEntry2[] {
    return decodeCounted(kvm_cpuid2, kvm_cpuid_entry2, this.#native.getEmulatedCpuid());
  }

  /** KVM_GET_MSR_INDEX_LIST: MSRs that make up a vCPU's state. */
  msrIndices(): number[] {
    return indices(this.#native.getMsrIndexList());
  }

  /** KVM_GET_MSR_FEATURE_INDEX_LIST: MSRs that tell features of the host. */
  featureMsrIndices(): number[] {
    return indices(this.#native.getMsrFeatureIndexList());
  }

  /** KVM_GET_MSRS on the system. Fewer entries come back when KVM does not know one: it stops there. */
  featureMsrs(wanted: readonly number[]): KvmMsrEntry[] {
    const entries = wanted.map((index) => ({ index }));
    const bytes = encodeCounted(kvm_msrs, kvm_msr_entry, entries);
    const count = this.#native.getMsrs(bytes);
    return decodeCounted(kvm_msrs, kvm_msr_entry, bytes).slice(0, count);
  }

  /** KVM_CREATE_VM. The machine is the caller's to close, and outlives this object. */
  createVm(): KvmVm {
    return KvmVm.of(this.#native.createVm());
  }

  /** Idempotent. */
  close(): void {
    this.#native.close();
  }
}

function indices(list: Buffer): number[] {
  return Array.from({ length: list.readUInt32LE(0) }, (_, i) => list.readUInt32LE(kvm_msr_list.size + 4 * i));
}
