// hypercall-ts, hypercall-fast, syscall-empty: one hypercall handled in TypeScript, one in the monitor, and a system call that
// does nothing, measured by a PV kernel of our own that prints "NAME: N ns".
import { existsSync } from 'node:fs';
import { Guest, ROOT } from './lib/guest.mjs';
import { median, printSkip } from './lib/report.mjs';

const TIMEOUT_MS = 60_000;

/** @param {string} kernel */
async function measure(kernel) {
  const guest = new Guest([
    process.execPath,
    `${ROOT}dist/cli/main.js`,
    'run',
    '--kernel',
    kernel,
    '--memory',
    '64',
  ]);
  const ended = await Promise.race([
    guest.exited,
    new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS, 'hangs')),
  ]);
  await guest.kill();
  const found = [...guest.console.transcript.matchAll(/^((?:hypercall|syscall)-[a-z-]+): (\d+) ns\r*$/gm)];
  if (found.length === 0) throw new Error(`${kernel} printed no figure: ${ended} ${guest.errors}`);
  return found.map(([, name = '', value]) => ({ name, ns: Number(value) }));
}

/**
 * @param {string} kernel
 * @param {number} runs
 */
export async function benchHypercall(kernel, runs) {
  if (!existsSync(kernel)) return printSkip('hypercall', `no ${kernel}`);
  /** @type {Map<string, number[]>} */
  const all = new Map();
  for (let run = 0; run < runs; run++) {
    for (const { name, ns } of await measure(kernel)) all.set(name, [...(all.get(name) ?? []), ns]);
  }
  for (const [name, values] of all) console.log(`${name}: ${median(values).toFixed(0)} ns`);
}
