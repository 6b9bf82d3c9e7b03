/**
 * A guest that makes random hypercalls with wild pointers (test/fuzz/guest): the hypervisor answers every one, and the
 * guest ends as it means to. What depends on nothing but the calls is the same with and without fast paths.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { buildKernel, runKernel, setting } from './kernels.js';

const CALLS = setting('CALLS', 30_000);
/** Each of these is followed by a look at all memory. */
const COMPARED_CALLS = setting('CALLS', 10_000);
const SEED = setting('SEED', 1);
const SEEDS = Array.from({ length: setting('SEEDS', 2) }, (_, i) => SEED + i);
/** A busy machine makes some thousand calls a second. */
const TIMEOUT_MS = 60_000 + CALLS * 2;

let kernel: string;
beforeAll(() => {
  kernel = buildKernel('fuzz/guest');
});

describe.each([true, false])('random hypercalls, fast paths: %s', (fastPaths) => {
  it.each(SEEDS)('seed %i', { timeout: TIMEOUT_MS }, async (seed) => {
    const { output, end } = await runKernel(kernel, `seed=${seed} count=${CALLS}`, fastPaths);
    expect(output).toMatch(/^Test result: SUCCESS\r?$/m);
    expect(end).toBe('poweroff');
  });
});

it.each(SEEDS)('the answers of both, seed %i', { timeout: 2 * TIMEOUT_MS }, async (seed) => {
  const answers = async (fastPaths: boolean) => {
    const { output } = await runKernel(kernel, `seed=${seed} count=${COMPARED_CALLS} steady=1`, fastPaths);
    return output.match(/^(progress \d+, answers \w+|hypercall \d+: .*|traps: \d+|Test result: \w+)$/gm);
  };
  const fast = await answers(true);
  expect(fast).toContain('Test result: SUCCESS');
  expect(fast).toEqual(await answers(false));
});
