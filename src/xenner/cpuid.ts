/** What CPUID shows a guest: xen/arch/x86/cpu-policy.c for a PV domU, within what the engine implements. */
import type { CpuidEntry } from '../kvm/index.js';

const bits = (...numbers: number[]) => numbers.reduce((mask, bit) => (mask | (1 << bit)) >>> 0, 0);

function text(name: string): number[] {
  const bytes = Buffer.alloc(12);
  bytes.write(name, 'latin1');
  return [0, 4, 8].map((offset) => bytes.readUInt32LE(offset));
}

/** The 48 bytes of the brand string as three leaves. */
function brand(name: string): CpuidEntry[] {
  const bytes = Buffer.alloc(48);
  bytes.write(name, 'latin1');
  return [0, 1, 2].map((i) => ({
    function: 0x80000002 + i,
    eax: bytes.readUInt32LE(i * 16),
    ebx: bytes.readUInt32LE(i * 16 + 4),
    ecx: bytes.readUInt32LE(i * 16 + 8),
    edx: bytes.readUInt32LE(i * 16 + 12),
  }));
}

/**
 * Family 6, model 0x1c: an in-order Atom with 64 bits. Nothing is executed speculatively on its behalf, so a kernel spends
 * nothing on hiding that (Linux: NO_SPECULATION in cpu_vuln_whitelist), and takes `rep movs` for fast, which it is.
 * Hidden as by Xen: PSE, PGE, MTRR, APIC, SMEP, SMAP, PCID, SEP. Hidden for speed: XSAVE, whose state is only what FXSAVE
 * has.
 */
const SIGNATURE = 0x000106ca;
const LEAF1_EDX = bits(0, 4, 5, 6, 8, 15, 19, 23, 24, 25, 26);
const LEAF1_ECX = bits(0, 1, 9, 13, 19, 20, 22, 23, 25, 31);
const LEAF7_EBX = bits(3, 8, 19); // BMI1 BMI2 ADX
const EXTENDED_EDX = bits(11, 20, 29); // SYSCALL NX LM
const EXTENDED_ECX = bits(0, 5); // LAHF ABM
const CLFLUSH_LINE = 8 << 8;
/** XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD (public/arch-x86/cpuid.h). */
const XEN_FEAT1 = 1;
const XEN_LEAF = 0x40000000;
const XEN_VERSION = (4 << 16) | 17;
const PHYSICAL_BITS = 40;
const LINEAR_BITS = 48;

/** The table for one vCPU. Leaves that are not in it read as zeros. */
export function guestCpuid(vcpu: number, nrVcpus: number): CpuidEntry[] {
  const [ebx, edx, ecx] = text('GenuineIntel') as [number, number, number];
  const [xenB, xenC, xenD] = text('XenVMMXenVMM') as [number, number, number];
  const empty = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  const ids = ((vcpu << 24) | (Math.min(nrVcpus, 255) << 16) | CLFLUSH_LINE) >>> 0;
  return [
    { function: 0, eax: 7, ebx, ecx, edx },
    { function: 1, eax: SIGNATURE, ebx: ids, ecx: LEAF1_ECX, edx: LEAF1_EDX },
    { ...empty, function: 7, index: 0, ebx: LEAF7_EBX },
    { function: XEN_LEAF, eax: XEN_LEAF + 2, ebx: xenB, ecx: xenC, edx: xenD },
    { ...empty, function: XEN_LEAF + 1, eax: XEN_VERSION },
    // ebx: the MSR that writes a hypercall page.
    { function: XEN_LEAF + 2, eax: 1, ebx: XEN_LEAF, ecx: XEN_FEAT1, edx: 0 },
    { ...empty, function: 0x80000000, eax: 0x80000008 },
    { ...empty, function: 0x80000001, ecx: EXTENDED_ECX, edx: EXTENDED_EDX },
    ...brand('xenner virtual CPU'),
    { ...empty, function: 0x80000008, eax: (LINEAR_BITS << 8) | PHYSICAL_BITS },
  ];
}
