/**
 * A kernel that writes anything into the monitor, the memory that it shares with the hypervisor and its own tables, and
 * takes ring 0 (test/fuzz/breaker). Whatever becomes of it, the launcher lives, says how the domain ended, or can destroy
 * it at once; it keeps nothing of it, and an ordinary guest runs afterwards.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, expect, it, vi } from 'vitest';
import { buildKernel, setting, startKernel } from './kernels.js';

const SEED = setting('SEED', 1);
const COUNT = setting('BREAKERS', 40);
/** Most end in some milliseconds; one that spins for ever has this long. */
const PATIENCE_MS = 300;
const DESTROY_MS = 10_000;
const TIMEOUT_MS = 60_000 + COUNT * 1000;
/** After the first ones, when everything has been loaded and heaps have grown; memory goes when it is collected. */
const WARM_UP = 20;
const MAX_GROWTH_KIB = 96 * 1024;

let breaker: string;
let hello: string;
beforeAll(() => {
  breaker = buildKernel('fuzz/breaker');
  hello = buildKernel('guest/hello');
});

const openFiles = () => readdirSync('/proc/self/fd').length;
const residentKiB = () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'latin1'))![1]);

/** How a domain ended: why it crashed, the guest's own end, or that it had to be destroyed. */
async function endOf(kernel: string, cmdline: string, fastPaths: boolean, vcpus = 1): Promise<string> {
  const domain = await startKernel(kernel, cmdline, fastPaths, vcpus);
  const start = Date.now();
  const late = setTimeout(() => void domain.destroy(), PATIENCE_MS);
  const { reason, crash } = await domain.wait();
  clearTimeout(late);
  expect(Date.now() - start, cmdline).toBeLessThan(PATIENCE_MS + DESTROY_MS);
  return crash?.why ?? reason;
}

it(`${COUNT} kernels break their monitors, one in four with several vCPUs`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const ends = new Map<string, number>();
  let [files, kib] = [0, 0];
  for (let seed = SEED; seed < SEED + COUNT; seed++) {
    const vcpus = seed % 4 === 3 ? 3 : 1;
    const end = await endOf(breaker, `seed=${seed} vcpus=${vcpus}`, seed % 2 === 0, vcpus);
    // Nothing that the engine itself did not expect.
    expect(end, `seed ${seed}`).not.toMatch(/engine cannot go on/);
    ends.set(end, (ends.get(end) ?? 0) + 1);
    if (seed === SEED + Math.min(WARM_UP, COUNT - 1)) [files, kib] = [openFiles(), residentKiB()];
  }
  // A thread that has ended its domain goes a moment later.
  await vi.waitFor(() => expect(openFiles()).toBeLessThanOrEqual(files), { timeout: DESTROY_MS });
  expect(residentKiB() - kib).toBeLessThan(MAX_GROWTH_KIB);
  // Breaking it is what most of them come to, in more than one way.
  expect([...ends.keys()].length, [...ends].join('; ')).toBeGreaterThan(Math.min(3, COUNT / 10));
  expect(ends.get('poweroff') ?? 0).toBeLessThanOrEqual(COUNT / 2 + 1);
  expect(await endOf(hello, '', true)).toBe('poweroff');
});
