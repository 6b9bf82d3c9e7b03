/** What a domain's process has used, as /proc tells it (proc(5)). */
import { readdirSync, readFileSync } from 'node:fs';
import { totalmem } from 'node:os';

/** USER_HZ, which is 100 on every architecture that Linux has had Xen on. */
const TICKS_PER_SECOND = 100;

export const PAGES_PER_MIB = 256;

/** From the third field on: what is in parentheses before may hold anything. */
function statFields(path: string): string[] {
  try {
    const text = readFileSync(path, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

/** Of all its threads; NaN when it has just ended. */
export function cpuSeconds(pid: number): number {
  const fields = statFields(`/proc/${pid}/stat`);
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Memory of the host's that it has now, in MiB: its guest's, and about 60 MiB of its own; NaN when it has just ended. */
export function residentMiB(pid: number): number {
  try {
    const [, pages] = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ');
    return Math.round(Number(pages) / PAGES_PER_MIB);
  } catch {
    return Number.NaN;
  }
}

/** Whether any thread but the main one, which answers us, is on a CPU or waits for one. */
export function isBusy(pid: number): boolean {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return false;
  }
  return threads.some(
    (thread) => thread !== String(pid) && statFields(`/proc/${pid}/task/${thread}/stat`)[0] === 'R',
  );
}

export function hostMemoryKiB(): number {
  return Math.floor(totalmem() / 1024);
}
