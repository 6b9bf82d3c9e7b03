/** xen/include/public/arch-x86/xen.h and xen-x86_64.h: selectors, Xen's hole, trap tables, vCPU contexts (64-bit). */
import { array, bytes, cstruct, group, pad, u8, u16, u32, u64 } from '../../base/layout.js';

const HEADER = 'arch-x86/xen.h';
const HEADER_64 = 'arch-x86/xen-x86_64.h';

export const FIRST_RESERVED_GDT_PAGE = 14;
export const FIRST_RESERVED_GDT_BYTE = FIRST_RESERVED_GDT_PAGE * 4096;
export const FIRST_RESERVED_GDT_ENTRY = FIRST_RESERVED_GDT_BYTE / 8;

/* Xen's flat segments. The names with KERNEL in them are the same selectors: RPL 3 for the kernel too. */
export const FLAT_RING3_CS32 = 0xe023;
export const FLAT_RING3_CS64 = 0xe033;
export const FLAT_RING3_DS32 = 0xe02b;
export const FLAT_RING3_DS64 = 0;
export const FLAT_RING3_SS32 = 0xe02b;
export const FLAT_RING3_SS64 = 0xe02b;
export const FLAT_KERNEL_DS = FLAT_RING3_DS64;
export const FLAT_KERNEL_CS = FLAT_RING3_CS64;
export const FLAT_KERNEL_SS = FLAT_RING3_SS64;
export const FLAT_USER_CS64 = FLAT_RING3_CS64;
export const FLAT_USER_CS32 = FLAT_RING3_CS32;
export const FLAT_USER_DS = FLAT_RING3_DS64;
export const FLAT_USER_SS = FLAT_RING3_SS64;

/* The hole that every guest L4 leaves to Xen: slots 256 to 271. */
export const HYPERVISOR_VIRT_START = 0xffff800000000000n;
export const HYPERVISOR_VIRT_END = 0xffff880000000000n;
export const MACH2PHYS_VIRT_START = 0xffff800000000000n;
export const MACH2PHYS_VIRT_END = 0xffff804000000000n;
export const MACH2PHYS_NR_ENTRIES = (MACH2PHYS_VIRT_END - MACH2PHYS_VIRT_START) >> 3n;

/* set_segment_base */
export const SEGBASE_FS = 0;
export const SEGBASE_GS_USER = 1;
export const SEGBASE_GS_KERNEL = 2;
export const SEGBASE_GS_USER_SEL = 3;

/** In iret_context.flags: the guest may return by sysret. */
export const VGCF_in_syscall = 1 << 8;

/** What HYPERVISOR_iret finds on the guest's stack. */
export const iret_context = cstruct('struct iret_context', HEADER_64, 72, {
  rax: u64,
  r11: u64,
  rcx: u64,
  flags: u64,
  rip: u64,
  cs: u64,
  rflags: u64,
  rsp: u64,
  ss: u64,
});

export const cpu_user_regs = cstruct('struct cpu_user_regs', HEADER_64, 200, {
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
  error_code: u32,
  entry_vector: u32,
  rip: u64,
  cs: u16,
  _pad0: pad(2),
  saved_upcall_mask: u8,
  _pad1: pad(3),
  rflags: u64,
  rsp: u64,
  ss: u16,
  _pad2: pad(6),
  es: u16,
  _pad3: pad(6),
  ds: u16,
  _pad4: pad(6),
  fs: u16,
  _pad5: pad(6),
  gs: u16,
  _pad6: pad(6),
});

export const arch_vcpu_info = cstruct('struct arch_vcpu_info', HEADER_64, 16, { cr2: u64, pad: pad(8) });

/** One entry of set_trap_table. flags[1:0] is the DPL; flags[2] (TI_SET_IF) masks events on entry. */
export const trap_info = cstruct('struct trap_info', HEADER, 16, {
  vector: u8,
  flags: u8,
  cs: u16,
  _pad: pad(4),
  address: u64,
});

export const VGCF_I387_VALID = 1 << 0;
export const VGCF_IN_KERNEL = 1 << 2;
export const VGCF_failsafe_disables_events = 1 << 3;
export const VGCF_syscall_disables_events = 1 << 4;
export const VGCF_online = 1 << 5;

export const vcpu_guest_context = cstruct('struct vcpu_guest_context', HEADER, 5168, {
  fpu_ctxt: group({ x: bytes(512) }),
  flags: u64,
  user_regs: cpu_user_regs,
  trap_ctxt: array(trap_info, 256),
  ldt_base: u64,
  ldt_ents: u64,
  gdt_frames: array(u64, 16),
  gdt_ents: u64,
  kernel_ss: u64,
  kernel_sp: u64,
  ctrlreg: array(u64, 8),
  debugreg: array(u64, 8),
  event_callback_eip: u64,
  failsafe_callback_eip: u64,
  syscall_callback_eip: u64,
  vm_assist: u64,
  fs_base: u64,
  gs_base_kernel: u64,
  gs_base_user: u64,
});

export const arch_shared_info = cstruct('struct arch_shared_info', HEADER, 48, {
  max_pfn: u64,
  pfn_to_mfn_frame_list_list: u64,
  nmi_reason: u64,
  p2m_cr3: u64,
  p2m_vaddr: u64,
  p2m_generation: u64,
});
