/**
 * A logical volume that gets its contents bears the mark of the process that makes it, and is no volume of the pool's until that is
 * taken away, which is one change to LVM's metadata. What a killed process leaves has the mark of a process that there is not.
 */
import { readFileSync } from 'node:fs';
import { type LogicalVolume, logicalVolumes, MARK } from './lvm.js';
import { run } from './program.js';

/** Of this process: no other one has it, nor will have it. */
export function makerMark(): string {
  return `${MARK}${bootId()}:${process.pid}:${startOf(process.pid)}`;
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}

/** In ticks since the host's start (proc(5), /proc/PID/stat); undefined: there is no such process. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function isAlive(mark: string): boolean {
  const [boot, pid, start] = mark.slice(MARK.length).split(':');
  return boot === bootId() && /^\d{1,10}$/.test(pid ?? '') && start === startOf(Number(pid));
}

/** Takes away what killed processes were about to make; answers what is left. */
export async function removeLeftovers(group: string): Promise<LogicalVolume[]> {
  const left: LogicalVolume[] = [];
  for (const volume of await logicalVolumes(group)) {
    const isLeftover = volume.marks.length > 0 && !volume.marks.some(isAlive);
    if (isLeftover) await run('lvremove', ['--force', '--yes', `${group}/${volume.name}`]);
    else left.push(volume);
  }
  return left;
}
