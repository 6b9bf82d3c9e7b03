/** xenner/kvm on a real KVM: its tests, run inside, and its Linux example. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { kernel } from '../boot/lib/images.js';
import { inLab, ROOT } from './lib/lab.js';

// Wrong arguments are refused before any KVM is asked: those tests need no real one.
const FILES = ['run', 'state', 'threads', 'methods'].map((name) => `test/kvm/${name}.test.ts`);

it('passes its own tests, and skips none', { timeout: 600_000 }, async (context) => {
  const vitest = ['node_modules/.bin/vitest', 'run', '--pool=threads', '--no-isolate', '--maxWorkers=1'];
  const { status, stdout } = await inLab(context, [...vitest, '--no-color', ...FILES], { timeoutS: 500 });
  expect(status, stdout).toBe(0);
  expect(stdout).toMatch(/ Tests +\d+ passed \(\d+\)$/m);
});

it('boots Linux as an ordinary guest', { timeout: 600_000 }, async (context) => {
  const image = kernel('bookworm');
  if ('missing' in image) return context.skip(image.missing);
  const directory = mkdtempSync(join(tmpdir(), 'xenner-kvm-linux-'));
  try {
    const [init, ramdisk] = [join(directory, 'init'), join(directory, 'initramfs.cpio')];
    writeFileSync(init, '#!/bin/sh\necho "guest: $(uname -sr)"\nreboot -f\n');
    const script = `${ROOT}images/initramfs.sh`;
    execFileSync('bash', [script, '--init', init, '-o', ramdisk], { stdio: 'pipe', timeout: 60_000 });
    const argv = ['node', 'examples/kvm-linux.mjs', image.path, ramdisk, 'quiet'];
    const { status, stdout } = await inLab(context, argv, { timeoutS: 400 });
    expect(status, stdout).toBe(0);
    expect(stdout).toMatch(/guest: Linux 6\.1\.\S+/);
    expect(stdout).toMatch(/\nended by KVM_EXIT_SHUTDOWN\n$/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
