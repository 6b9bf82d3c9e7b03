/** The CPU as a PV kernel finds it at its entry (public/arch-x86/xen-x86_64.h, xen/arch/x86/pv/domain.c). */
import type { CpuState, Segment } from '../../kvm/index.js';
import type { MonitorImage } from './image.js';
import * as area from './vcpu-area.js';

const CR0 = 0x80050033n; // PG AM WP NE ET MP PE
const CR4 = 0x6a0n; // OSXMMEXCPT OSFXSR PGE PAE
/** What a guest reads in its CR4: PAE, OSFXSR, OSXMMEXCPT. */
export const CR4_SHOWN = 0x620n;
const EFER = 0xd01n; // NXE LMA LME SCE
/** SYSCALL clears AC NT IF TF DF and IOPL. */
const SFMASK = 0x47700n;
const PAT = 0x50100070406n;
const DATA_DPL3 = 0xcff300;
const CODE64_DPL1 = 0xafbb00;
const DATA_DPL1 = 0xcfb300;
const FLAT_LIMIT = 0xffffffff;

export interface EntryPoint {
  readonly vcpu: number;
  readonly cr3: bigint;
  readonly rip: bigint;
  readonly rsp: bigint;
  /** start_info's linear address at boot. */
  readonly rsi: bigint;
  readonly rdi: bigint;
}

export function initialState(image: MonitorImage, entry: EntryPoint): CpuState {
  const block = area.MONITOR_VA + BigInt(area.blockOffset(entry.vcpu));
  const stub = block + BigInt(area.BLOCK_STUB);
  const data: Segment = { selector: 0, base: 0n, limit: FLAT_LIMIT, flags: DATA_DPL3 };
  const zero = 0n;
  return {
    rax: zero,
    rcx: zero,
    rdx: zero,
    rbx: zero,
    rsp: entry.rsp,
    rbp: zero,
    rsi: entry.rsi,
    rdi: entry.rdi,
    r8: zero,
    r9: zero,
    r10: zero,
    r11: zero,
    r12: zero,
    r13: zero,
    r14: zero,
    r15: zero,
    rip: entry.rip,
    rflags: 0x202n,
    cr0: CR0,
    cr2: zero,
    cr3: entry.cr3,
    cr4: CR4,
    efer: EFER,
    star: (BigInt(area.SEL_USER_CS32) << 48n) | (BigInt(area.SEL_MONITOR_CS) << 32n),
    lstar: stub,
    cstar: stub + BigInt(image.stubCompat),
    sfmask: SFMASK,
    kernelGsBase: zero,
    es: data,
    ds: data,
    fs: data,
    gs: data,
    cs: { selector: area.SEL_KERNEL_CS, base: 0n, limit: FLAT_LIMIT, flags: CODE64_DPL1 },
    ss: { selector: area.SEL_KERNEL_SS, base: 0n, limit: FLAT_LIMIT, flags: DATA_DPL1 },
    ldtr: { selector: 0, base: 0n, limit: 0, flags: 0x8200 },
    tr: { selector: area.SEL_TSS, base: block + BigInt(area.BLOCK_TSS), limit: 0x67, flags: 0x8b00 },
    gdt: { base: area.GDT_VA + BigInt(entry.vcpu * area.BLOCK_SIZE), limit: 0xffff },
    idt: { base: area.MONITOR_VA + BigInt(area.IDT_OFFSET), limit: 0xfff },
    dr0: zero,
    dr1: zero,
    dr2: zero,
    dr3: zero,
    dr6: 0xffff0ff0n,
    dr7: 0x400n,
    xcr0: 1n,
    pat: PAT,
    tscOffset: zero,
  };
}
