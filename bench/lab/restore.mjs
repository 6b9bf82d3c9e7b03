// kvm-restore-*: bench/restore.mjs on a real KVM.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const INSIDE = fileURLToPath(new URL('restore-inside.mjs', import.meta.url));

/**
 * @param {import('./machines.mjs').Lab} lab
 * @param {string} guest test/guest/bench-restore
 * @param {number} runs
 * @param {(name: string) => boolean} wanted
 */
export function benchRestoreInLab(lab, guest, runs, wanted) {
  if (!wanted('kvm-restore')) return;
  const [program = '', ...args] = lab.inside([process.execPath, INSIDE, guest, String(runs)]);
  process.stdout.write(execFileSync(program, args, { encoding: 'utf8' }));
}
