/** What else a vCPU's ioctls move: events, interrupts, CPUID, MSRs, debugging. */
import {
  array,
  bytes,
  cstruct,
  type Decoded,
  group,
  pad,
  s64,
  u8,
  u16,
  u32,
  u64,
} from '../../base/layout.js';

const ASM = 'asm/kvm.h';
const LINUX = 'linux/kvm.h';

export const KVM_VCPUEVENT_VALID_NMI_PENDING = 0x01;
export const KVM_VCPUEVENT_VALID_SIPI_VECTOR = 0x02;
export const KVM_VCPUEVENT_VALID_SHADOW = 0x04;
export const KVM_VCPUEVENT_VALID_SMM = 0x08;
export const KVM_VCPUEVENT_VALID_PAYLOAD = 0x10;
export const KVM_VCPUEVENT_VALID_TRIPLE_FAULT = 0x20;
export const KVM_X86_SHADOW_INT_MOV_SS = 0x01;
export const KVM_X86_SHADOW_INT_STI = 0x02;

export const kvm_vcpu_events = cstruct('struct kvm_vcpu_events', ASM, 64, {
  exception: group({ injected: u8, nr: u8, has_error_code: u8, pending: u8, error_code: u32 }),
  interrupt: group({ injected: u8, nr: u8, soft: u8, shadow: u8 }),
  nmi: group({ injected: u8, pending: u8, masked: u8, pad: pad(1) }),
  sipi_vector: u32,
  flags: u32,
  smi: group({ smm: u8, pending: u8, smm_inside_nmi: u8, latched_init: u8 }),
  triple_fault: group({ pending: u8 }),
  reserved: bytes(26),
  exception_has_payload: u8,
  exception_payload: u64,
});

export const KVM_MP_STATE_RUNNABLE = 0;
export const KVM_MP_STATE_UNINITIALIZED = 1;
export const KVM_MP_STATE_INIT_RECEIVED = 2;
export const KVM_MP_STATE_HALTED = 3;
export const KVM_MP_STATE_SIPI_RECEIVED = 4;
export const kvm_mp_state = cstruct('struct kvm_mp_state', LINUX, 4, { mp_state: u32 });

export const kvm_lapic_state = cstruct('struct kvm_lapic_state', ASM, 0x400, { regs: bytes(0x400) });

export const kvm_interrupt = cstruct('struct kvm_interrupt', LINUX, 4, { irq: u32 });

export const kvm_translation = cstruct('struct kvm_translation', LINUX, 24, {
  linear_address: u64,
  physical_address: u64,
  valid: u8,
  writeable: u8,
  usermode: u8,
  pad: pad(5),
});

export const KVM_GUESTDBG_ENABLE = 0x0001;
export const KVM_GUESTDBG_SINGLESTEP = 0x0002;
export const KVM_GUESTDBG_USE_SW_BP = 0x0001_0000;
export const KVM_GUESTDBG_USE_HW_BP = 0x0002_0000;
export const KVM_GUESTDBG_INJECT_DB = 0x0004_0000;
export const KVM_GUESTDBG_INJECT_BP = 0x0008_0000;
export const KVM_GUESTDBG_BLOCKIRQ = 0x0010_0000;
export const kvm_guest_debug = cstruct('struct kvm_guest_debug', LINUX, 72, {
  control: u32,
  pad: pad(4),
  arch: group({ debugreg: array(u64, 8) }),
});

export const KVM_CPUID_FLAG_SIGNIFCANT_INDEX = 1;
export const kvm_cpuid_entry2 = cstruct('struct kvm_cpuid_entry2', ASM, 40, {
  function: u32,
  index: u32,
  flags: u32,
  eax: u32,
  ebx: u32,
  ecx: u32,
  edx: u32,
  padding: pad(12),
});
/** Entries follow. */
export const kvm_cpuid2 = cstruct('struct kvm_cpuid2', ASM, 8, { nent: u32, padding: pad(4) });

export const kvm_msr_entry = cstruct('struct kvm_msr_entry', ASM, 16, {
  index: u32,
  reserved: pad(4),
  data: u64,
});
/** Entries follow. */
export const kvm_msrs = cstruct('struct kvm_msrs', ASM, 8, { nmsrs: u32, pad: pad(4) });
/** Indices of 32 bits follow. */
export const kvm_msr_list = cstruct('struct kvm_msr_list', ASM, 4, { nmsrs: u32 });

export const kvm_debug_exit_arch = cstruct('struct kvm_debug_exit_arch', ASM, 32, {
  exception: u32,
  pad: pad(4),
  pc: u64,
  dr6: u64,
  dr7: u64,
});

export const kvm_pit_channel_state = cstruct('struct kvm_pit_channel_state', ASM, 24, {
  count: u32,
  latched_count: u16,
  count_latched: u8,
  status_latched: u8,
  status: u8,
  read_state: u8,
  write_state: u8,
  write_latch: u8,
  rw_mode: u8,
  mode: u8,
  bcd: u8,
  gate: u8,
  count_load_time: s64,
});

export type KvmVcpuEvents = Decoded<typeof kvm_vcpu_events>;
export type KvmTranslation = Decoded<typeof kvm_translation>;
export type KvmGuestDebug = Decoded<typeof kvm_guest_debug>;
export type KvmCpuidEntry2 = Decoded<typeof kvm_cpuid_entry2>;
export type KvmMsrEntry = Decoded<typeof kvm_msr_entry>;
