/** Registers, as asm/kvm.h has them. */
import { array, bytes, cstruct, type Decoded, pad, u8, u16, u32, u64 } from '../../base/layout.js';

const ASM = 'asm/kvm.h';

export const kvm_regs = cstruct('struct kvm_regs', ASM, 144, {
  rax: u64,
  rbx: u64,
  rcx: u64,
  rdx: u64,
  rsi: u64,
  rdi: u64,
  rsp: u64,
  rbp: u64,
  r8: u64,
  r9: u64,
  r10: u64,
  r11: u64,
  r12: u64,
  r13: u64,
  r14: u64,
  r15: u64,
  rip: u64,
  rflags: u64,
});

export const kvm_segment = cstruct('struct kvm_segment', ASM, 24, {
  base: u64,
  limit: u32,
  selector: u16,
  type: u8,
  present: u8,
  dpl: u8,
  db: u8,
  s: u8,
  l: u8,
  g: u8,
  avl: u8,
  unusable: u8,
  padding: pad(1),
});

export const kvm_dtable = cstruct('struct kvm_dtable', ASM, 16, { base: u64, limit: u16, padding: pad(6) });

const SEGMENTS_AND_CONTROL = {
  cs: kvm_segment,
  ds: kvm_segment,
  es: kvm_segment,
  fs: kvm_segment,
  gs: kvm_segment,
  ss: kvm_segment,
  tr: kvm_segment,
  ldt: kvm_segment,
  gdt: kvm_dtable,
  idt: kvm_dtable,
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  apic_base: u64,
};

export const kvm_sregs = cstruct('struct kvm_sregs', ASM, 312, {
  ...SEGMENTS_AND_CONTROL,
  interrupt_bitmap: array(u64, 4),
});

export const KVM_SREGS2_FLAGS_PDPTRS_VALID = 1;
export const kvm_sregs2 = cstruct('struct kvm_sregs2', ASM, 320, {
  ...SEGMENTS_AND_CONTROL,
  flags: u64,
  pdptrs: array(u64, 4),
});

export const kvm_fpu = cstruct('struct kvm_fpu', ASM, 416, {
  fpr: array(bytes(16), 8),
  fcw: u16,
  fsw: u16,
  ftwx: u8,
  pad1: pad(1),
  last_opcode: u16,
  last_ip: u64,
  last_dp: u64,
  xmm: array(bytes(16), 16),
  mxcsr: u32,
  pad2: pad(4),
});

export const kvm_debugregs = cstruct('struct kvm_debugregs', ASM, 128, {
  db: array(u64, 4),
  dr6: u64,
  dr7: u64,
  flags: u64,
  reserved: array(u64, 9),
});

export const kvm_xcr = cstruct('struct kvm_xcr', ASM, 16, { xcr: u32, reserved: pad(4), value: u64 });
export const kvm_xcrs = cstruct('struct kvm_xcrs', ASM, 392, {
  nr_xcrs: u32,
  flags: u32,
  xcrs: array(kvm_xcr, 16),
  padding: array(u64, 16),
});

export type KvmRegs = Decoded<typeof kvm_regs>;
export type KvmSegment = Decoded<typeof kvm_segment>;
export type KvmDtable = Decoded<typeof kvm_dtable>;
export type KvmSregs = Decoded<typeof kvm_sregs>;
export type KvmSregs2 = Decoded<typeof kvm_sregs2>;
export type KvmFpu = Decoded<typeof kvm_fpu>;
export type KvmDebugregs = Decoded<typeof kvm_debugregs>;
export type KvmXcrs = Decoded<typeof kvm_xcrs>;
