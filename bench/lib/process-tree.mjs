// CPU time and memory of a process and everything below it, from /proc.
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ is 100 on every Linux on x86-64. */
const MS_PER_TICK = 10;

/**
 * @typedef {{ parent: number, cpuMs: number }} Stat
 * @param {number} pid
 * @returns {Stat | undefined} undefined for a process that is gone
 */
function readStat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command's name is in parentheses and may hold anything, so count from the last one: proc(5), field 3 follows.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
    return { parent: Number(fields[1]), cpuMs: ticks * MS_PER_TICK };
  } catch {
    return undefined;
  }
}

/**
 * User and system time of a process, its living descendants, and the dead ones that were waited for.
 * @param {number} root
 */
export function treeCpuMs(root) {
  /** @type {Map<number, Stat>} */
  const stats = new Map();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? readStat(Number(name)) : undefined;
    if (stat) stats.set(Number(name), stat);
  }
  let total = 0;
  for (const [pid, stat] of stats) {
    let up = pid;
    while (up !== root && stats.has(up)) up = stats.get(up)?.parent ?? 0;
    if (up === root) total += stat.cpuMs;
  }
  return total;
}

/**
 * CPU time of the threads of one process that are still there, to the nanosecond where ticks would be too coarse.
 * @param {number} pid
 */
export function threadsCpuMs(pid) {
  let total = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    total += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1e6;
  }
  return total;
}

/**
 * Resident memory of one process by kind, in KiB. Guest RAM of ours is shared memory; QEMU's is anonymous.
 * @param {number} pid
 */
export function residentKiB(pid) {
  const text = readFileSync(`/proc/${pid}/status`, 'latin1');
  /** @param {string} name */
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
  return { anon: field('RssAnon'), file: field('RssFile'), shmem: field('RssShmem') };
}
