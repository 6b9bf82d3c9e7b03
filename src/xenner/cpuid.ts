/** What CPUID shows a guest: xen/arch/x86/cpu-policy.c for a PV domU, within what the engine implements. */
import type { CpuidEntry } from '../kvm/index.js';
import type { AbiProfile, CpuidBits } from './profile/abi-profile.js';
import { xenVersionWord } from './profile/profiles.js';

const bits = (numbers: readonly number[]) => numbers.reduce((mask, bit) => (mask | (1 << bit)) >>> 0, 0);

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

/** Set by whoever virtualizes. */
const HYPERVISOR = 1 << 31;
const XEN_LEAF = 0x40000000;
const EXTENDED_LEAF = 0x80000000;
const BRAND_LEAVES = [2, 3, 4].map((n) => EXTENDED_LEAF + n);
const EMPTY = { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/** The CPU that the soft engine is. */
function softCpu({ cpuid: { softCpu, visible } }: AbiProfile): CpuidEntry[] {
  const [ebx, edx, ecx] = text(softCpu.vendor) as [number, number, number];
  return [
    { function: 0, eax: 7, ebx, ecx, edx },
    {
      function: 1,
      eax: softCpu.signature,
      ebx: softCpu.clflushSize << 8,
      ecx: bits(visible.leaf1Ecx),
      edx: bits(visible.leaf1Edx),
    },
    { ...EMPTY, function: 7, index: 0, ebx: bits(visible.leaf7Ebx) },
    {
      ...EMPTY,
      function: EXTENDED_LEAF + 1,
      ecx: bits(visible.extendedEcx),
      edx: bits(visible.extendedEdx),
    },
    ...brand(softCpu.brand),
  ];
}

/**
 * The table for one vCPU. Leaves that are not in it read as zeros.
 * @param cpu what the engine's CPU has; undefined for the soft engine's
 */
export function guestCpuid(
  profile: AbiProfile,
  vcpu: number,
  nrVcpus: number,
  cpu: readonly CpuidEntry[] = softCpu(profile),
): CpuidEntry[] {
  const { visible, xenFeatures, linearBits, physicalBits } = profile.cpuid;
  const leaf = (number: number) => cpu.find((entry) => entry.function === number && !entry.index) ?? EMPTY;
  const shown = (value: number, which: keyof CpuidBits) => (value & bits(visible[which])) >>> 0;
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
      ecx: (shown(one.ecx, 'leaf1Ecx') | HYPERVISOR) >>> 0,
      edx: shown(one.edx, 'leaf1Edx'),
    },
    { ...EMPTY, function: 7, index: 0, ebx: shown(seven.ebx, 'leaf7Ebx') },
    { function: XEN_LEAF, eax: XEN_LEAF + 2, ebx: xenB, ecx: xenC, edx: xenD },
    { ...EMPTY, function: XEN_LEAF + 1, eax: xenVersionWord(profile) },
    // ebx: the MSR that writes a hypercall page.
    { function: XEN_LEAF + 2, eax: 1, ebx: XEN_LEAF, ecx: xenFeatures, edx: 0 },
    { ...EMPTY, function: EXTENDED_LEAF, eax: EXTENDED_LEAF + 8 },
    {
      ...EMPTY,
      function: EXTENDED_LEAF + 1,
      ecx: shown(extended.ecx, 'extendedEcx'),
      edx: shown(extended.edx, 'extendedEdx'),
    },
    ...BRAND_LEAVES.map((number) => ({ ...leaf(number), function: number })),
    { ...EMPTY, function: EXTENDED_LEAF + 8, eax: (linearBits << 8) | physicalBits },
  ];
}
