/** An ABI profile is the same on a real KVM, but for what is the host's processor's. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { CpuidBits } from '../../src/xenner/profile/abi-profile.js';
import { PROFILES } from '../../src/xenner/profile/profiles.js';
import { buildDumpKernel } from '../profile/dump.js';
import { inLab, ROOT } from './lib/lab.js';

/** Vendor, model and features; the brand. Raw ones have what the monitor needs for itself, too. */
const HOST_CPU = /^cpuid (raw )?(0000000[017]|8000000[1-4])[.:]/;
const HYPERVISOR = 31;

let build: string;
let kernel: string;
beforeAll(() => {
  build = mkdtempSync(join(tmpdir(), 'xenner-lab-profile-'));
  kernel = buildDumpKernel(build);
});
afterAll(() => rmSync(build, { recursive: true, force: true }));

/** Which bits of one register of a leaf are set, as a kernel sees them. */
function bitsOf(dump: string, leaf: string, register: 'a' | 'b' | 'c' | 'd'): number[] {
  const words = new RegExp(`^cpuid ${leaf}: (\\w+) (\\w+) (\\w+) (\\w+)$`, 'm').exec(dump)?.slice(1) ?? [];
  const word = Number.parseInt(words['abcd'.indexOf(register)] ?? '', 16);
  return Array.from({ length: 32 }, (_, bit) => bit).filter((bit) => (word >>> bit) & 1);
}

it.for(PROFILES)('$name', async ({ name, cpuid }, context) => {
  const guest = ['run', '--engine', 'kvm', '--profile', name, '--memory', '64', '--kernel', kernel];
  const { status, stdout, stderr } = await inLab(context, [
    ...['node', 'dist/cli/main.js', ...guest, '--cmdline', 'a b', '--no-reboot'],
  ]);
  expect(status, stderr).toBe(0);
  const golden = readFileSync(join(ROOT, `test/profile/golden/${name}.txt`), 'utf8');
  const [small = ''] = golden.split('[poweroff]\n');
  const same = (text: string) => text.split(/\r*\n/).filter((line) => !HOST_CPU.test(line));
  expect(same(stdout)).toEqual(same(small));
  const shown: [keyof CpuidBits, string, 'b' | 'c' | 'd'][] = [
    ['leaf1Ecx', '00000001', 'c'],
    ['leaf1Edx', '00000001', 'd'],
    ['leaf7Ebx', '00000007', 'b'],
    ['extendedEcx', '80000001', 'c'],
    ['extendedEdx', '80000001', 'd'],
  ];
  for (const [which, leaf, register] of shown) {
    const bits = bitsOf(stdout, leaf, register).filter((bit) => which !== 'leaf1Ecx' || bit !== HYPERVISOR);
    expect(bits, which).not.toEqual([]);
    expect(cpuid.visible[which], which).toEqual(expect.arrayContaining(bits));
  }
});
