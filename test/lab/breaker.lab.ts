/**
 * Hostile guests with several vCPUs on a real KVM, where they run at the same time (test/fuzz/breaker): each ends its domain, or
 * can be ended; the launcher lives, and keeps nothing of it. XENNER_FUZZ_SEED and XENNER_FUZZ_BREAKERS for others, and more.
 */
import { expect, it } from 'vitest';
import { buildKernel, setting } from '../fuzz/kernels.js';
import { inLab } from './lib/lab.js';

const SEED = setting('SEED', 1);
const COUNT = setting('BREAKERS', 12);
/** The lab is slow; a launcher that hangs is ended by the test's time-out. */
const DESTROY_MS = 20_000;

it(`${COUNT} kernels break their monitors and each other's`, { timeout: 1_200_000 }, async (context) => {
  const program = [
    'node',
    'test/lab/programs/breakers.mjs',
    buildKernel('fuzz/breaker'),
    `${SEED}`,
    `${COUNT}`,
  ];
  const { status, stdout, stderr } = await inLab(context, program, { timeoutS: 60 + COUNT * 25 });
  expect(status, `${stdout}\n${stderr}`).toBe(0);
  const lines = stdout.trim().split('\n');
  const { leftOpen } = JSON.parse(lines.pop()!) as { leftOpen: number };
  expect(leftOpen).toBeLessThanOrEqual(0);
  const ends = lines.map((line) => JSON.parse(line) as { seed: number; end: string; ms: number });
  expect(ends).toHaveLength(COUNT);
  for (const { seed, end, ms } of ends) expect(ms, `seed ${seed}: ${end}`).toBeLessThan(DESTROY_MS);
  // Breaking it is what they come to, in more than one way.
  expect(new Set(ends.map(({ end }) => end)).size, stdout).toBeGreaterThan(1);
});
