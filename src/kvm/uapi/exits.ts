/** struct kvm_run, and for every exit reason the members of it that belong to that reason. Field names are C's. */
import {
  array,
  bytes,
  CStruct,
  cstruct,
  type Decoded,
  type Field,
  group,
  pad,
  u8,
  u16,
  u32,
  u64,
  union,
} from '../../base/layout.js';
import { kvm_debug_exit_arch } from './vcpu.js';

/** The part of struct kvm_run that every exit has; the members below are in a union behind it. */
export const kvm_run = cstruct('struct kvm_run', 'linux/kvm.h', 2352, {
  request_interrupt_window: u8,
  immediate_exit: u8,
  padding1: pad(6),
  exit_reason: u32,
  ready_for_interrupt_injection: u8,
  if_flag: u8,
  flags: u16,
  cr8: u64,
  apic_base: u64,
  padding: bytes(256),
  kvm_valid_regs: u64,
  kvm_dirty_regs: u64,
  s: group({ padding: bytes(2048) }),
});

export const KVM_EXIT_IO_IN = 0;
export const KVM_EXIT_IO_OUT = 1;
export const KVM_INTERNAL_ERROR_EMULATION = 1;
export const KVM_MSR_EXIT_REASON_INVAL = 1;
export const KVM_MSR_EXIT_REASON_UNKNOWN = 2;
export const KVM_MSR_EXIT_REASON_FILTER = 4;
export const KVM_SYSTEM_EVENT_SHUTDOWN = 1;
export const KVM_SYSTEM_EVENT_RESET = 2;
export const KVM_SYSTEM_EVENT_CRASH = 3;
export const KVM_RUN_X86_SMM = 1;
export const KVM_RUN_X86_BUS_LOCK = 2;

export interface ExitLayout<F> {
  /** The number in exit_reason. */
  readonly number: number;
  /** The member of kvm_run's union; undefined: the exit has none. */
  readonly member: string | undefined;
  readonly fields: CStruct<F & object>;
}

/** One member of the union: named by C as `kvm_run.member`. */
function exit<F extends Record<string, Field<unknown>>>(number: number, member: string, fields: F) {
  const body = group(fields);
  let layout: CStruct<Decoded<typeof body>> | undefined;
  return {
    number,
    member,
    get fields() {
      layout ??= new CStruct(`kvm_run.${member}`, 'linux/kvm.h', body.size, () => body);
      return layout;
    },
  } as const;
}

function bare(number: number): ExitLayout<Record<never, never>> {
  return { number, member: undefined, fields: cstruct('kvm_run', 'linux/kvm.h', 0, {}) };
}

const HYPERV = {
  type: u32,
  pad1: pad(4),
  u: union({
    synic: group({ msr: u32, pad2: pad(4), control: u64, evt_page: u64, msg_page: u64 }),
    hcall: group({ input: u64, result: u64, params: array(u64, 2) }),
    syndbg: group({
      msr: u32,
      pad2: pad(4),
      control: u64,
      status: u64,
      send_page: u64,
      recv_page: u64,
      pending_page: u64,
    }),
  }),
};

const XEN_HCALL = group({ longmode: u32, cpl: u32, input: u64, result: u64, params: array(u64, 6) });
const MSR = { error: u8, pad: pad(7), reason: u32, index: u32, data: u64 };

/** Other architectures' reasons are here too: a number that KVM gives has a name. */
export const KVM_EXITS = {
  KVM_EXIT_UNKNOWN: exit(0, 'hw', { hardware_exit_reason: u64 }),
  KVM_EXIT_EXCEPTION: exit(1, 'ex', { exception: u32, error_code: u32 }),
  KVM_EXIT_IO: exit(2, 'io', { direction: u8, size: u8, port: u16, count: u32, data_offset: u64 }),
  KVM_EXIT_HYPERCALL: exit(3, 'hypercall', {
    nr: u64,
    args: array(u64, 6),
    ret: u64,
    longmode: u32,
    pad: pad(4),
  }),
  KVM_EXIT_DEBUG: exit(4, 'debug', { arch: kvm_debug_exit_arch }),
  KVM_EXIT_HLT: bare(5),
  KVM_EXIT_MMIO: exit(6, 'mmio', { phys_addr: u64, data: bytes(8), len: u32, is_write: u8, tail: pad(3) }),
  KVM_EXIT_IRQ_WINDOW_OPEN: bare(7),
  KVM_EXIT_SHUTDOWN: bare(8),
  KVM_EXIT_FAIL_ENTRY: exit(9, 'fail_entry', {
    hardware_entry_failure_reason: u64,
    cpu: u32,
    tail: pad(4),
  }),
  KVM_EXIT_INTR: bare(10),
  KVM_EXIT_SET_TPR: bare(11),
  KVM_EXIT_TPR_ACCESS: exit(12, 'tpr_access', { rip: u64, is_write: u32, pad: pad(4) }),
  KVM_EXIT_S390_SIEIC: exit(13, 's390_sieic', { icptcode: u8, hole: pad(1), ipa: u16, ipb: u32 }),
  KVM_EXIT_S390_RESET: bare(14),
  KVM_EXIT_DCR: exit(15, 'dcr', { dcrn: u32, data: u32, is_write: u8, tail: pad(3) }),
  KVM_EXIT_NMI: bare(16),
  KVM_EXIT_INTERNAL_ERROR: exit(17, 'internal', { suberror: u32, ndata: u32, data: array(u64, 16) }),
  KVM_EXIT_OSI: exit(18, 'osi', { gprs: array(u64, 32) }),
  KVM_EXIT_PAPR_HCALL: exit(19, 'papr_hcall', { nr: u64, ret: u64, args: array(u64, 9) }),
  KVM_EXIT_S390_UCONTROL: exit(20, 's390_ucontrol', { trans_exc_code: u64, pgm_code: u32, tail: pad(4) }),
  KVM_EXIT_WATCHDOG: bare(21),
  KVM_EXIT_S390_TSCH: exit(22, 's390_tsch', {
    subchannel_id: u16,
    subchannel_nr: u16,
    io_int_parm: u32,
    io_int_word: u32,
    ipb: u32,
    dequeued: u8,
    tail: pad(3),
  }),
  KVM_EXIT_EPR: exit(23, 'epr', { epr: u32 }),
  KVM_EXIT_SYSTEM_EVENT: exit(24, 'system_event', { type: u32, ndata: u32, data: array(u64, 16) }),
  KVM_EXIT_S390_STSI: exit(25, 's390_stsi', {
    addr: u64,
    ar: u8,
    reserved: pad(1),
    fc: u8,
    sel1: u8,
    sel2: u16,
    tail: pad(2),
  }),
  KVM_EXIT_IOAPIC_EOI: exit(26, 'eoi', { vector: u8 }),
  KVM_EXIT_HYPERV: exit(27, 'hyperv', HYPERV),
  KVM_EXIT_ARM_NISV: exit(28, 'arm_nisv', { esr_iss: u64, fault_ipa: u64 }),
  KVM_EXIT_X86_RDMSR: exit(29, 'msr', MSR),
  KVM_EXIT_X86_WRMSR: exit(30, 'msr', MSR),
  KVM_EXIT_DIRTY_RING_FULL: bare(31),
  KVM_EXIT_AP_RESET_HOLD: bare(32),
  KVM_EXIT_X86_BUS_LOCK: bare(33),
  KVM_EXIT_XEN: exit(34, 'xen', { type: u32, hole: pad(4), u: union({ hcall: XEN_HCALL }) }),
  KVM_EXIT_RISCV_SBI: exit(35, 'riscv_sbi', {
    extension_id: u64,
    function_id: u64,
    args: array(u64, 6),
    ret: array(u64, 2),
  }),
  KVM_EXIT_RISCV_CSR: exit(36, 'riscv_csr', {
    csr_num: u64,
    new_value: u64,
    write_mask: u64,
    ret_value: u64,
  }),
  KVM_EXIT_NOTIFY: exit(37, 'notify', { flags: u32 }),
  /** Of Linux 6.8. KVM_RUN fails with EFAULT or EHWPOISON then; here it is an exit like others. */
  KVM_EXIT_MEMORY_FAULT: exit(39, 'memory_fault', { flags: u64, gpa: u64, size: u64 }),
} as const;
