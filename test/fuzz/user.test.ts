/**
 * A program that does anything (test/fuzz/user): random instructions, registers, selectors and flags in ring 3. Its
 * kernel gets every trap in good order, and goes on to its end.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { buildKernel, runKernel, setting } from './kernels.js';

const CASES = setting('CASES', 3000);
const SEED = setting('SEED', 1);
const SEEDS = Array.from({ length: setting('SEEDS', 3) }, (_, i) => SEED + i);
/** A busy machine runs some hundred cases a second. */
const TIMEOUT_MS = 60_000 + CASES * 10;
/** #DE, #DB, #BP, #OF, #UD, #NM, #NP or #SS, #GP, #PF, int n, syscall, upcall: what a program meets sooner or later. */
const MIN_KINDS = 12;

let kernel: string;
beforeAll(() => {
  kernel = buildKernel('fuzz/user');
});

describe.each([true, false])('a program that does anything, fast paths: %s', (fastPaths) => {
  it.each(SEEDS)('seed %i', { timeout: TIMEOUT_MS }, async (seed) => {
    const { output, end } = await runKernel(kernel, `seed=${seed} cases=${CASES}`, fastPaths);
    expect(output).toMatch(/^Test result: SUCCESS\r?$/m);
    expect(end).toBe('poweroff');
    const [, kinds] = /^\d+ cases: \d+ traps of (\d+) kinds/m.exec(output)!;
    expect(Number(kinds)).toBeGreaterThanOrEqual(MIN_KINDS);
  });
});
