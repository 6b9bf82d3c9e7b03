/** The KVM engine on a real KVM: our own PV kernels print what real Xen printed, and Debian's boots to its shell. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { initramfs, kernel } from '../boot/lib/images.js';
import { inLab, ROOT } from './lib/lab.js';

/**
 * What an engine has to do right: a CPU's work, and the exits. The rest is the same code on every engine. Nothing that goes by
 * the clock: the lab is ten times slower than what the goldens come from. Not `privileged`: on AMD, KVM itself answers VMCALL
 * outside ring 0, by #GP.
 */
const NAMES = [
  ...['hello', 'hypercall-page', 'exceptions', 'page-fault', 'syscall', 'segment-base', 'evtchn-upcall'],
  ...['ptwr', 'selectors', 'nested-traps', 'debug-registers', 'fpu', 'block-poll', 'syscall-interrupted'],
  ...['ldt', 'nmi', 'iret', 'watchpoints-in-xen', 'tlb', 'mmu-update', 'shutdown-crash'],
];
/** For two vCPUs or more. */
const SMP_NAMES = ['smp-nmi', 'smp-tlb'];
const golden = (name: string) => readFileSync(join(ROOT, 'test/guest', name, 'expected.txt'), 'utf8');

let build: string;
beforeAll(() => {
  build = mkdtempSync(join(tmpdir(), 'xenner-lab-engine-'));
  execFileSync('make', [
    '-s',
    '-C',
    join(ROOT, 'test/guest'),
    `OUT=${build}`,
    `names=${[...NAMES, ...SMP_NAMES].join(' ')}`,
  ]);
  initramfs(join(build, 'initramfs.cpio'));
});
afterAll(() => rmSync(build, { recursive: true, force: true }));

/** Several: each has a thread of its own, and what the monitor does differs. */
describe.each([
  [1, 'fast'],
  [1, 'slow'],
  [2, 'fast'],
  [4, 'slow'],
])('the KVM engine, %i vCPUs, %s paths', (vcpus, paths) => {
  it('runs PV kernels as real Xen does', async (context) => {
    const names = vcpus > 1 ? [...NAMES, ...SMP_NAMES] : NAMES;
    const program = ['node', 'test/lab/programs/guest-kernels.mjs', build, `${vcpus}`, paths, ...names];
    const { status, stdout, stderr } = await inLab(context, program, { timeoutS: 240 });
    const results = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string; text: string; crash: string });
    for (const { name, text, crash } of results) expect(text, `${name}\n${crash}`).toBe(golden(name));
    expect({ status, names: results.map(({ name }) => name) }, stderr).toEqual({ status: 0, names });
  });
});

it("boots Debian's kernel to its shell and powers off", async (context) => {
  const image = kernel('backports');
  if ('missing' in image) return context.skip(image.missing);
  const files = ['--kernel', image.path, '--ramdisk', join(build, 'initramfs.cpio')];
  const options = ['--engine', 'kvm', ...files, '--cmdline', 'console=hvc0 quiet'];
  const xenner = ['node', 'dist/cli/main.js', 'run', ...options];
  // Typed again until the shell is there to read it.
  const typed = `(while sleep 2; do echo 'uname -r; cat /sys/hypervisor/type; poweroff'; done) | ${xenner.map((word) => `'${word}'`).join(' ')}`;
  const { status, stdout, stderr } = await inLab(context, ['bash', '-c', typed], { timeoutS: 240 });
  expect(stdout).toMatch(/^6\.1[2-9].*\r?\nxen\r?$/m);
  expect(status, stderr).toBe(0);
});
