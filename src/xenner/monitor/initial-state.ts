/** The CPU as a PV kernel finds it at its entry (public/arch-x86/xen-x86_64.h, xen/arch/x86/pv/domain.c). */
import type { CpuState, Segment } from '../../kvm/index.js';
import type { MonitorImage } from './image.js';
import * as area from './vcpu-area.js';

const CR0 = 0x80050033n; // PG AM WP NE ET MP PE
const CR4 = 0x6a0n; // OSXMMEXCPT OSFXSR PGE PAE
const EFER = 0xd01n; // NXE LMA LME SCE
/** SYSCALL clears AC NT TF DF and IOPL; not IF, see native/monitor/entry.S. */
const SFMASK = 0x47500n;
const PAT = 0x50100070406n;
const DATA_DPL3 = 0xcff300;
const CODE64_DPL1 = 0xafbb00;
const DATA_DPL1 = 0xcfb300;
const FLAT_LIMIT = 0xffffffff;

const GENERAL = [
  ...(['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip'] as const),
] as const;

/** The registers that a kernel's entry point gets; struct cpu_user_regs has them. */
export type EntryRegisters = Readonly<Record<(typeof GENERAL)[number], bigint>>;

/** All zero but those given. */
export function entryRegisters(given: Partial<EntryRegisters>): EntryRegisters {
  const zeros = Object.fromEntries(GENERAL.map((name) => [name, 0n])) as EntryRegisters;
  return { ...zeros, ...given };
}

/** A vCPU about to enter its kernel; page tables and bases are what its area says. */
export function initialState(
  image: MonitorImage,
  vcpu: { readonly id: number; readonly area: area.VcpuArea },
  registers: EntryRegisters,
): CpuState {
  const block = area.MONITOR_VA + BigInt(area.blockOffset(vcpu.id));
  const stub = block + BigInt(area.BLOCK_STUB);
  const data: Segment = { selector: 0, base: 0n, limit: FLAT_LIMIT, flags: DATA_DPL3 };
  const zero = 0n;
  const general = Object.fromEntries(GENERAL.map((name) => [name, registers[name]])) as EntryRegisters;
  return {
    ...general,
    rflags: 0x202n,
    cr0: CR0,
    cr2: zero,
    cr3: vcpu.area.get('cr3'),
    cr4: CR4,
    efer: EFER,
    star: (BigInt(area.SEL_USER_CS32) << 48n) | (BigInt(area.SEL_MONITOR_CS) << 32n),
    lstar: stub,
    cstar: stub + BigInt(image.stubCompat),
    sfmask: SFMASK,
    kernelGsBase: vcpu.area.get('gs_base_user'),
    es: data,
    ds: data,
    fs: { ...data, base: vcpu.area.get('fs_base') },
    gs: { ...data, base: vcpu.area.get('gs_base_kernel') },
    cs: { selector: area.SEL_KERNEL_CS, base: 0n, limit: FLAT_LIMIT, flags: CODE64_DPL1 },
    ss: { selector: area.SEL_KERNEL_SS, base: 0n, limit: FLAT_LIMIT, flags: DATA_DPL1 },
    ldtr: { selector: 0, base: 0n, limit: 0, flags: 0x8200 },
    tr: { selector: area.SEL_TSS, base: block + BigInt(area.BLOCK_TSS), limit: 0x67, flags: 0x8b00 },
    gdt: { base: area.GDT_VA + BigInt(vcpu.id * area.BLOCK_SIZE), limit: 0xffff },
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
