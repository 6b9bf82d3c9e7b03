// kvm-exits-boot, kvm-exits-idle: how often a guest needs the hypervisor until its /init runs, and while it does nothing.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const GUEST = fileURLToPath(new URL('counted-guest.mjs', import.meta.url));
const BOOT_GOAL = 150;
const IDLE_GOAL = 'under 10';

/** @typedef {{ exits: Record<string, number>, kicks: number }} Stats */

/** @param {Stats} stats */
function count({ exits, kicks }) {
  return Object.values(exits).reduce((sum, each) => sum + each, kicks);
}

/** Most frequent first. @param {Stats} stats */
function kinds({ exits, kicks }) {
  const all = Object.entries({ ...exits, kicks }).filter(([, each]) => each > 0);
  return all
    .sort(([, a], [, b]) => b - a)
    .map(([name, each]) => `${name} ${each}`)
    .join(', ');
}

/**
 * @param {import('./machines.mjs').Lab} lab
 * @param {import('./machines.mjs').LabImage} image
 * @param {(name: string) => boolean} wanted
 */
export function benchExits(lab, { kernel, ramdisk, memoryMiB }, wanted) {
  if (!wanted('kvm-exits-boot') && !wanted('kvm-exits-idle')) return;
  const argv = [process.execPath, GUEST, kernel, ramdisk, String(memoryMiB)];
  const [program = '', ...args] = lab.inside(argv);
  /** @type {{ boot: Stats, bootMs: number, idle: Stats, idleSeconds: number }} */
  const { boot, bootMs, idle, idleSeconds } = JSON.parse(execFileSync(program, args, { encoding: 'utf8' }));
  if (wanted('kvm-exits-boot')) {
    console.log(`kvm-exits-boot: ${count(boot)} (goal ${BOOT_GOAL})`);
    console.log(`  ${kinds(boot)}`);
    console.log(`  the guest itself took ${bootMs} ms; the rest of kvm-boot-* is the launcher's`);
  }
  if (wanted('kvm-exits-idle')) {
    console.log(`kvm-exits-idle: ${(count(idle) / idleSeconds).toFixed(1)} a second (goal ${IDLE_GOAL})`);
    console.log(`  in ${idleSeconds} s: ${kinds(idle) || 'none'}`);
  }
}
