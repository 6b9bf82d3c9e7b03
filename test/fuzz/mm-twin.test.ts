/**
 * Rule: the monitor's fast paths and TypeScript decide the same and leave the same state, whatever a guest does
 * (native/monitor/mm.c, mmu.c; src/xenner/mm). Each runs the same random operations; results and states are compared
 * after every one. Longer runs: XENNER_FUZZ_CASES=200 XENNER_FUZZ_SEED=7 npx vitest run test/fuzz/mm-twin.test.ts
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Generator } from './mm/generator.js';
import { KIND, type Step, Twin } from './mm/twin.js';
import { fuzzSettings, Random } from './random.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const STEPS = 1500;
const CC_TIMEOUT_MS = 60_000;
const RUN_TIMEOUT_MS = 60_000;
const settings = fuzzSettings(6);

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'mm-twin-'));
  const flags = ['-O1', '-g', '-std=gnu11', '-Wall', '-Wno-unused-function', '-fno-strict-aliasing'];
  const sources = ['-I', join(ROOT, 'native/monitor'), join(ROOT, 'test/fuzz/mm/twin.c')];
  execFileSync('gcc', [...flags, '-fsanitize=undefined,address', '-o', join(directory, 'twin'), ...sources], {
    timeout: CC_TIMEOUT_MS,
    stdio: 'pipe',
  });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What the C side answered: for each step its result and digest. */
function runC(twin: Twin): BigInt64Array {
  const script = join(directory, 'script');
  writeFileSync(script, twin.script());
  const output = execFileSync(join(directory, 'twin'), [script], {
    timeout: RUN_TIMEOUT_MS,
    maxBuffer: 2 ** 26,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new BigInt64Array(output.buffer.slice(output.byteOffset, output.byteOffset + output.length));
}

function describeStep(step: Step, index: number): string {
  const kind = Object.entries(KIND).find(([, value]) => value === step.kind)?.[0];
  return `step ${index}: ${kind} ${step.args.map((arg) => arg.toString(16)).join(' ')}`;
}

function compare(twin: Twin): void {
  const answers = runC(twin);
  expect(answers.length).toBe(twin.steps.length * 2);
  for (const [i, step] of twin.steps.entries()) {
    const native = { result: answers[i * 2], digest: Number(answers[i * 2 + 1]) };
    expect(native, describeStep(step, i)).toEqual({ result: step.result, digest: step.digest });
  }
}

describe.each([
  { what: 'a guest that plays by the rules or tries to get around them', hostile: false },
  { what: "a guest that also writes the monitor's own memory", hostile: true },
])('$what', ({ hostile }) => {
  const seeds = Array.from({ length: settings.cases }, (_, i) => settings.seed + i);
  it.each(seeds)('seed %i', (seed) => {
    const twin = new Twin();
    try {
      const generator = new Generator(twin, new Random(seed), hostile);
      while (twin.steps.length < STEPS) generator.step();
      compare(twin);
      // Otherwise it would be a test of refusals; one that broke its own tables may well get nothing else.
      const accepted = twin.steps.filter(({ kind, result }) => kind !== KIND.POKE && result === 0n).length;
      if (!hostile) expect(accepted).toBeGreaterThan(STEPS / 10);
    } finally {
      twin.close();
    }
  });
});
