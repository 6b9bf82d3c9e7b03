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
 * nothing on hiding that (Linux: NO_SPECULATION in cpu_vuln_whitelist), and takes `rep movs` for fast, which it is. On a
 * real CPU a guest sees which one it is.
 */
const SIGNATURE = 0x000106ca;
/**
 * What a guest may see, of what its CPU has. Hidden as by Xen: PSE, PGE, MTRR, APIC, SMEP, SMAP, PCID, SEP. Hidden for
 * speed: XSAVE, whose state is only what FXSAVE has.
 */
const LEAF1_EDX = bits(0, 4, 5, 6, 8, 15, 19, 23, 24, 25, 26);
const LEAF1_ECX = bits(0, 1, 9, 13, 19, 20, 22, 23, 25);
const LEAF7_EBX = bits(3, 8, 19); // BMI1 BMI2 ADX
const EXTENDED_EDX = bits(11, 20, 29); // SYSCALL NX LM
const EXTENDED_ECX = bits(0, 5); // LAHF ABM
/** Set by whoever virtualizes. */
const HYPERVISOR = bits(31);
const CLFLUSH_LINE = 8 << 8;
/** XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD (public/arch-x86/cpuid.h). */
const XEN_FEAT1 = 1;
const XEN_LEAF = 0x40000000;
const XEN_VERSION = (4 << 16) | 17;
const PHYSICAL_BITS = 40;
const LINEAR_BITS = 48;
const EXTENDED_LEAF = 0x80000000;
const BRAND_LEAVES = [2, 3, 4].map((n) => EXTENDED_LEAF + n);

/** The CPU that the soft engine is. */
function softCpu(): CpuidEntry[] {
  const [ebx, edx, ecx] = text('GenuineIntel') as [number, number, number];
  return [
    { function: 0, eax: 7, ebx, ecx, edx },
    { function: 1, eax: SIGNATURE, ebx: CLFLUSH_LINE, ecx: LEAF1_ECX, edx: LEAF1_EDX },
    { ...EMPTY, function: 7, index: 0, ebx: LEAF7_EBX },
    { ...EMPTY, function: EXTENDED_LEAF + 1, ecx: EXTENDED_ECX, edx: EXTENDED_EDX },
    ...brand('xenner virtual CPU'),
  ];
}

const EMPTY = { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/**
 * The table for one vCPU. Leaves that are not in it read as zeros.
 * @param cpu what the engine's CPU has; undefined for the soft engine's
 */
export function guestCpuid(
  vcpu: number,
  nrVcpus: number,
  cpu: readonly CpuidEntry[] = softCpu(),
): CpuidEntry[] {
  const leaf = (number: number) => cpu.find((entry) => entry.function === number && !entry.index) ?? EMPTY;
  const [xenB, xenC, xenD] = text('XenVMMXenVMM') as [number, number, number];
  const [vendor, one, seven, extended] = [leaf(0), leaf(1), leaf(7), leaf(EXTENDED_LEAF + 1)];
  const cacheLine = one.ebx & 0xff00;
  const ids = ((vcpu << 24) | (Math.min(nrVcpus, 255) << 16) | cacheLine) >>> 0;
  return [
    { ...vendor, function: 0, eax: 7 },
    {
      function: 1,
      eax: one.eax,
      ebx: ids,
      ecx: ((one.ecx & LEAF1_ECX) | HYPERVISOR) >>> 0,
      edx: (one.edx & LEAF1_EDX) >>> 0,
    },
    { ...EMPTY, function: 7, index: 0, ebx: (seven.ebx & LEAF7_EBX) >>> 0 },
    { function: XEN_LEAF, eax: XEN_LEAF + 2, ebx: xenB, ecx: xenC, edx: xenD },
    { ...EMPTY, function: XEN_LEAF + 1, eax: XEN_VERSION },
    // ebx: the MSR that writes a hypercall page.
    { function: XEN_LEAF + 2, eax: 1, ebx: XEN_LEAF, ecx: XEN_FEAT1, edx: 0 },
    { ...EMPTY, function: EXTENDED_LEAF, eax: EXTENDED_LEAF + 8 },
    {
      ...EMPTY,
      function: EXTENDED_LEAF + 1,
      ecx: extended.ecx & EXTENDED_ECX,
      edx: extended.edx & EXTENDED_EDX,
    },
    ...BRAND_LEAVES.map((number) => ({ ...leaf(number), function: number })),
    { ...EMPTY, function: EXTENDED_LEAF + 8, eax: (LINEAR_BITS << 8) | PHYSICAL_BITS },
  ];
}
