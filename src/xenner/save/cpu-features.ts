/** Which features a saved guest has seen in CPUID, and whether a CPU has them all: the guest goes on using them. */
import type { CpuidEntry } from '../../kvm/index.js';

type Register = 'ebx' | 'ecx' | 'edx';

/** A register of feature bits, and the bits' names as cpufeatures of Linux and Xen have them. */
interface FeatureWord {
  readonly leaf: number;
  readonly register: Register;
  readonly names: Readonly<Record<number, string>>;
}

const WORDS: readonly FeatureWord[] = [
  {
    leaf: 1,
    register: 'edx',
    names: {
      0: 'fpu',
      4: 'tsc',
      5: 'msr',
      6: 'pae',
      8: 'cx8',
      15: 'cmov',
      19: 'clflush',
      23: 'mmx',
      24: 'fxsr',
      25: 'sse',
      26: 'sse2',
    },
  },
  {
    leaf: 1,
    register: 'ecx',
    names: {
      0: 'sse3',
      1: 'pclmul',
      9: 'ssse3',
      12: 'fma',
      13: 'cx16',
      19: 'sse4_1',
      20: 'sse4_2',
      22: 'movbe',
      23: 'popcnt',
      25: 'aes',
      26: 'xsave',
      28: 'avx',
      29: 'f16c',
      30: 'rdrand',
    },
  },
  {
    leaf: 7,
    register: 'ebx',
    names: { 0: 'fsgsbase', 3: 'bmi1', 5: 'avx2', 8: 'bmi2', 9: 'erms', 18: 'rdseed', 19: 'adx' },
  },
  { leaf: 7, register: 'ecx', names: {} },
  { leaf: 7, register: 'edx', names: {} },
  { leaf: 0x80000001, register: 'ecx', names: { 0: 'lahf_lm', 5: 'abm', 6: 'sse4a' } },
  { leaf: 0x80000001, register: 'edx', names: { 11: 'syscall', 20: 'nx', 27: 'rdtscp', 29: 'lm' } },
];

function wordOf(table: readonly CpuidEntry[], { leaf, register }: FeatureWord): number {
  return table.find((entry) => entry.function === leaf && !entry.index)?.[register] ?? 0;
}

/** Names of what `shown` has and `available` has not. */
export function missingFeatures(shown: readonly CpuidEntry[], available: readonly CpuidEntry[]): string[] {
  return WORDS.flatMap((word) => {
    const missing = wordOf(shown, word) & ~wordOf(available, word);
    return Array.from({ length: 32 }, (_, bit) => bit)
      .filter((bit) => (missing >>> bit) & 1)
      .map((bit) => word.names[bit] ?? `leaf 0x${word.leaf.toString(16)} ${word.register} bit ${bit}`);
  });
}
