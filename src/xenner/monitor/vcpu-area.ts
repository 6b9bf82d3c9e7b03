/** native/monitor/vcpu_area.h: the memory that the monitor and the hypervisor share. test/unit/monitor checks one against the other. */
import { array, type CStruct, cstruct, type Field, s64, u16, u32, u64 } from '../../base/layout.js';
import { MAX_VCPUS } from '../../base/limits.js';
import type { Gpa, GuestMemory } from '../../kvm/guest-memory.js';

const HEADER = 'vcpu_area.h';

export { MAX_VCPUS };

export const HOLE_START = 0xffff800000000000n;
export const HOLE_END = 0xffff880000000000n;
export const HOLE_FIRST_SLOT = 256;
export const HOLE_LAST_SLOT = 271;
export const XEN_SLOT = 256;
export const DIRECT_SLOT = 258;
export const GDT_VA = 0xffff800040000000n;
export const LDT_VA = 0xffff800040200000n;
export const MONITOR_VA = 0xffff800080000000n;
export const DIRECT_VA = 0xffff810000000000n;

export const MONITOR_TEXT_MAX = 0xe000;
export const DOMAIN_AREA = 0xe000;
export const IDT_OFFSET = 0xf000;
export const BLOCK_SIZE = 0x10000;
export const BLOCK_TSS = 0x0000;
export const BLOCK_STUB = 0x1000;
export const BLOCK_VCPU_AREA = 0x2000;
export const BLOCK_STACK_TOP = 0x8000;
export const BLOCK_INTERRUPT_TOP = 0x9000;
export const BLOCK_IST_TOP = 0xa000;
export const BLOCK_DEBUG_TOP = 0xc000;
export const BLOCK_PTWR_TABLES = 0xc000;

/** Offset of a vCPU's block in the monitor's image. */
export function blockOffset(vcpu: number): number {
  return BLOCK_SIZE * (vcpu + 1);
}

export const SEL_USER_CS32 = 0xe023;
export const SEL_USER_DS = 0xe02b;
export const SEL_USER_CS64 = 0xe033;
export const SEL_TSS = 0xe040;
export const SEL_MONITOR_CS = 0xe050;
export const SEL_MONITOR_SS = 0xe058;
export const SEL_KERNEL_CS = 0xe061;
export const SEL_KERNEL_SS = 0xe069;
export const SEL_LDT = 0xe070;
export const SEL_SHOWN_KERNEL_CS = 0xe030;
export const SEL_SHOWN_KERNEL_SS = 0xe02b;

export const EXIT_PORT = 0x9e;
export const BELL_PORT = 0xa0;
export const FIRST_INTERRUPT = 32;
export const INT80_VECTOR = 0x80;
export const KICK_VECTOR = 0xf0;
export const TIMER_VECTOR = 0xf1;

export const MONITOR_EXIT_HYPERCALL = 1;
export const MONITOR_EXIT_TIMER = 2;
export const MONITOR_EXIT_PTWR = 3;
export const MONITOR_EXIT_CRASH = 4;
export const MONITOR_EXIT_PANIC = 5;
export const MONITOR_EXIT_LDT = 6;
export const MONITOR_EXIT_HYPERCALL_PAGE = 7;
export const MONITOR_EXIT_FLUSH_ALL = 8;
export const MONITOR_EXIT_DEBUG = 9;
export const MONITOR_EXIT_DEBUG_TRAP = 10;
export const MONITOR_EXIT_REST = 11;
export const MONITOR_EXIT_NMI = 12;

export const FLUSH_NOTHING = 0n;
export const FLUSH_PAGE = 1n;
export const FLUSH_EVERYTHING = 0xffffffffffffffffn;

export const LDT_UNMAP = 0xffffffffffffffffn;

export const CRASH_NO_HANDLER = 1;
export const CRASH_BAD_STACK = 2;
export const CRASH_BAD_IRET = 3;
export const CRASH_DOUBLE_FAULT = 4;
export const CRASH_NO_USER_TABLES = 5;

export const PENDING_CR3 = 1 << 0;
export const PENDING_FS_BASE = 1 << 1;
export const PENDING_GS_BASE_KERNEL = 1 << 2;
export const PENDING_GS_BASE_USER = 1 << 3;
export const PENDING_GS_SELECTOR = 1 << 4;
export const PENDING_SWAPGS = 1 << 5;
export const PENDING_CR0_TS = 1 << 6;
export const PENDING_DEBUGREGS = 1 << 7;
export const PENDING_LDT = 1 << 8;
export const PENDING_INVLPG = 1 << 9;
export const PENDING_XCR0 = 1 << 10;
export const PENDING_FLUSH_ALL = 1 << 11;
export const PENDING_SLEEP = 1 << 12;
export const PENDING_TIMER = 1 << 13;
export const PENDING_FLUSH_OTHERS = 1 << 14;

export const DEBUG_STOP = 1;
export const DEBUG_TRAPS = 2;

export const SYSRET_NONE = 0xffffffff;

export const DOMAIN_FAST_PATHS = 1;
export const DOMAIN_LAPIC = 2;

export const NR_PORTS = 4096;
export const PORT_BELL = 0x40;
export const PORT_IPI = 0x80;

export const MAX_POLL_PORTS = 128;

export const PGT_none = 0;
export const PGT_l1_page_table = 1;
export const PGT_l2_page_table = 2;
export const PGT_l3_page_table = 3;
export const PGT_l4_page_table = 4;
export const PGT_seg_desc_page = 5;
export const PGT_writable_page = 6;
export const PGT_type_mask = 7;
export const PGT_pinned = 1 << 3;
export const PGC_shared = 1 << 4;
export const PGC_xen = 1 << 5;
export const PGT_count_shift = 8;
export const PGT_count_one = 1 << PGT_count_shift;
export const PGT_count_mask = 0xffffff00;
export const PGT_stamp_shift = 32;

export const MONITOR_MAGIC = 0x31726f74696e6f6dn;

export const regs = cstruct('struct regs', HEADER, 176, {
  r15: u64,
  r14: u64,
  r13: u64,
  r12: u64,
  rbp: u64,
  rbx: u64,
  r11: u64,
  r10: u64,
  r9: u64,
  r8: u64,
  rax: u64,
  rcx: u64,
  rdx: u64,
  rsi: u64,
  rdi: u64,
  vector: u64,
  error_code: u64,
  rip: u64,
  cs: u64,
  rflags: u64,
  rsp: u64,
  ss: u64,
});

export const trap_handler = cstruct('struct trap_handler', HEADER, 16, {
  address: u64,
  cs: u16,
  flags: u16,
  reserved: u32,
});

export const ptwr = cstruct('struct ptwr', HEADER, 40, {
  active: u64,
  address: u64,
  entry_gpa: u64,
  rflags: u64,
  old: u64,
});

export const runstate = cstruct('struct runstate', HEADER, 48, {
  state: u64,
  entry_time: u64,
  time: array(u64, 4),
});

export const vcpu_area = cstruct('struct vcpu_area', HEADER, 6000, {
  scratch: u64,
  scratch_rax: u64,
  scratch_rcx: u64,
  user: u64,
  exit_reason: u64,
  crash_reason: u64,
  hypercall: array(u64, 7),
  hypercall_result: u64,
  registers: u64,
  pending: u64,
  cr3: u64,
  user_cr3: u64,
  cr2: u64,
  vcpu_info: u64,
  kernel_sp: u64,
  kernel_ss: u64,
  event_callback: u64,
  failsafe_callback: u64,
  syscall_callback: u64,
  syscall_flags: u64,
  fs_base: u64,
  gs_base_kernel: u64,
  gs_base_user: u64,
  gs_selector: u64,
  cr0_ts: u64,
  cr4: u64,
  dr: array(u64, 8),
  ldt_base: u64,
  ldt_entries: u64,
  xcr0: u64,
  invlpg_address: u64,
  timer_deadline: u64,
  timer_armed: u64,
  timer_port: u64,
  id: u64,
  fast_paths: u64,
  iopl: u64,
  sysret_cs: u64,
  sysret_ss: u64,
  iobitmap: u64,
  iobitmap_ports: u64,
  ldt_mapped: u64,
  rest: u64,
  nmi: u64,
  runstate,
  runstate_area: u64,
  polling: u64,
  poll_timeout: u64,
  poll_count: u64,
  poll_ports: array(u32, MAX_POLL_PORTS),
  debug: u64,
  debug_steps: u64,
  debug_steps_done: u64,
  debug_tf: u64,
  debug_dr: array(u64, 5),
  outside: u64,
  flush_requests: u64,
  flush_done: u64,
  flush_wanted: u64,
  flush_mask: u64,
  flush_what: u64,
  holds_lock: u64,
  ptwr,
  fault_registers: regs,
  counters: array(u64, 64),
  traps: array(trap_handler, 256),
});

export const domain_area = cstruct('struct domain_area', HEADER, 168, {
  flags: u64,
  nr_pages: u64,
  total_pages: u64,
  page_info: u64,
  m2p: u64,
  xen_l4_entry: u64,
  direct_l4_entry: u64,
  nr_vcpus: u64,
  tsc_version: u64,
  tsc_timestamp: u64,
  system_time: u64,
  tsc_to_system_mul: u64,
  tsc_shift: s64,
  vm_assist: u64,
  flush_clock: u64,
  domid: u64,
  shared_info: u64,
  xen_version: u64,
  monitor: u64,
  ports: u64,
  lock: u64,
});

export const monitor_header = cstruct('struct monitor_header', HEADER, 48, {
  magic: u64,
  vectors: u64,
  stub: u64,
  stub_size: u64,
  stub_compat: u64,
  image_size: u64,
});

type Words<S> =
  S extends CStruct<infer T>
    ? Extract<{ [K in keyof T]: T[K] extends bigint ? K : never }[keyof T], string>
    : never;

/**
 * The 64-bit members of one such structure in guest memory, by name. Each access is one load or store; the guest can
 * change every word at any time, so a value that is checked is read once.
 */
export class Area<S extends CStruct<object>> {
  readonly #words: BigUint64Array;
  readonly #halves: Uint32Array;
  readonly #index = new Map<string, number>();

  constructor(
    memory: GuestMemory,
    readonly gpa: Gpa,
    readonly struct: S,
  ) {
    const bytes = memory.bytes(gpa, struct.size);
    this.#words = new BigUint64Array(bytes.buffer, bytes.byteOffset, struct.size >>> 3);
    this.#halves = new Uint32Array(bytes.buffer, bytes.byteOffset, struct.size >>> 2);
    for (const [name, member] of Object.entries(
      struct.members as Record<string, { offset: number; field: Field<unknown> }>,
    )) {
      this.#index.set(name, member.offset >>> 3);
    }
  }

  get(name: Words<S>): bigint {
    return this.#words[this.#index.get(name)!]!;
  }

  set(name: Words<S>, value: bigint): void {
    this.#words[this.#index.get(name)!] = value;
  }

  /** The low 32 bits: for flags and small numbers, without a BigInt. */
  low(name: Words<S>): number {
    return this.#halves[this.#index.get(name)! * 2]!;
  }

  /** Sets a word to a number below 2^32. */
  setLow(name: Words<S>, value: number): void {
    const at = this.#index.get(name)! * 2;
    this.#halves[at] = value;
    this.#halves[at + 1] = 0;
  }

  /** The whole area, for members that are arrays: 64-bit words from `member`. */
  words(member: string): BigUint64Array {
    return this.#words.subarray(this.#index.get(member)!);
  }

  /** The same as 32-bit halves, low first. */
  halves(member: string): Uint32Array {
    return this.#halves.subarray(this.#index.get(member)! * 2);
  }
}

export type VcpuArea = Area<typeof vcpu_area>;
export type DomainArea = Area<typeof domain_area>;
