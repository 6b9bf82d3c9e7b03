/**
 * A guest that makes random hypercalls with wild pointers (test/fuzz/guest): the hypervisor answers every one, and the
 * guest ends as it means to. XENNER_FUZZ_CALLS and XENNER_FUZZ_SEED make it longer, or other.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { createDomain } from 'xenner';
import { ROOT } from '../boot/lib/images.js';

const CALLS = Number(process.env.XENNER_FUZZ_CALLS ?? 30_000);
const SEED = Number(process.env.XENNER_FUZZ_SEED ?? 1);
const OUT = join(ROOT, 'build/fuzz-guest');
/** A busy machine makes some thousand calls a second. */
const TIMEOUT_MS = 60_000 + CALLS * 2;

beforeAll(() => {
  execFileSync('make', ['-s', '-C', join(ROOT, 'test/guest'), `OUT=${OUT}`, 'names=../fuzz/guest']);
});

describe.each([true, false])('random hypercalls, fast paths: %s', (fastPaths) => {
  it.each([SEED, SEED + 1])('seed %i', { timeout: TIMEOUT_MS }, async (seed) => {
    const domain = await createDomain({
      kernel: join(OUT, '../fuzz/guest.elf'),
      cmdline: `seed=${seed} count=${CALLS}`,
      memoryMiB: 64,
      fastPaths,
      onReboot: 'end',
    });
    let output = '';
    domain.on('console', (chunk) => {
      output += chunk;
    });
    const { reason } = await domain.wait();
    expect(output).toMatch(/^Test result: SUCCESS\r?$/m);
    expect(reason).toBe('poweroff');
  });
});
