/**
 * Locks of image files, as QEMU takes them (block/file-posix.c, docs/system/images.rst): whoever has an image open holds a shared
 * lock on byte 100 + n for each permission n that it uses, and on byte 200 + n for each that it does not let others use. Then it
 * looks whether others have the opposite bytes. So qemu-img and we refuse each other's writers.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { XennerError } from '../../base/errors.js';
import { MAX_LOCK_SEARCH_DESCRIPTORS } from '../../base/limits.js';
import { isRangeShared, shareRange } from '../../kvm/index.js';

const RAW_LOCK_PERM_BASE = 100;
const RAW_LOCK_SHARED_BASE = 200;

/** Bit numbers of BLK_PERM_* (include/block/block-common.h). */
const CONSISTENT_READ = 0;
const WRITE = 1;
const RESIZE = 3;

/**
 * `write`: nobody else may write. `read`: nobody may write meanwhile. `shared-read`: somebody may; what is read may be torn.
 * `none`: no lock is taken or looked for.
 */
export type LockMode = 'write' | 'read' | 'shared-read' | 'none';

const USES: Record<LockMode, readonly number[]> = {
  write: [CONSISTENT_READ, WRITE, RESIZE],
  read: [CONSISTENT_READ],
  'shared-read': [CONSISTENT_READ],
  none: [],
};
const DENIES: Record<LockMode, readonly number[]> = {
  write: [WRITE, RESIZE],
  read: [WRITE, RESIZE],
  'shared-read': [],
  none: [],
};

/** How long the kernel takes at most to end a killed process's requests, which keep its files open and locked. */
const PATIENCE_MS = 1000;
const PAUSE_MS = 5;

/**
 * Held until the descriptor is closed. Locks that no process is seen to hold are waited for: of a process that was killed they go
 * with the last request that it had under way (io_uring(7)). @throws XennerError ELOCKED; the descriptor has to be closed then, too
 */
export async function lockImage(fd: number, path: string, mode: LockMode): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !isLocked(fd, mode); await delay(PAUSE_MS)) {
    const holders = lockHolders(fd, path);
    if (holders.length === 0 && performance.now() < end) continue;
    const by = holders.length > 0 ? ` by ${holders.join(', ')}` : '';
    throw new XennerError(
      'ELOCKED',
      `${path} is in use${by}: ${mode === 'write' ? 'only one may write it, and nobody read it meanwhile' : 'it is being written'}`,
      'stop what uses it, or use another image',
    );
  }
}

/** Whether all that the mode needs is held now, and is nobody else's. */
function isLocked(fd: number, mode: LockMode): boolean {
  const take = (base: number, bits: readonly number[]) => bits.every((bit) => shareRange(fd, base + bit, 1));
  const meets = (base: number, bits: readonly number[]) =>
    bits.some((bit) => isRangeShared(fd, base + bit, 1));
  return (
    take(RAW_LOCK_PERM_BASE, USES[mode]) &&
    take(RAW_LOCK_SHARED_BASE, DENIES[mode]) &&
    !meets(RAW_LOCK_SHARED_BASE, USES[mode]) &&
    !meets(RAW_LOCK_PERM_BASE, DENIES[mode])
  );
}

/**
 * Who has locks on the file: such a lock names no process, and /proc/locks neither, but /proc/PID/fdinfo/FD tells what each
 * descriptor holds (proc(5)). What may not be read is left out.
 */
function lockHolders(fd: number, path: string): string[] {
  const file = statOf(`/proc/self/fd/${fd}`);
  if (file === undefined) return [];
  const found: string[] = [];
  let budget = MAX_LOCK_SEARCH_DESCRIPTORS;
  for (const pid of namesIn('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const other of namesIn(`/proc/${pid}/fd`)) {
      if (budget-- === 0) return found;
      if (Number(pid) === process.pid && Number(other) === fd) continue;
      const stat = statOf(`/proc/${pid}/fd/${other}`);
      if (stat?.ino !== file.ino || stat.dev !== file.dev) continue;
      if (!/^lock:.*OFDLCK/m.test(textOf(`/proc/${pid}/fdinfo/${other}`))) continue;
      found.push(Number(pid) === process.pid ? 'this process' : `process ${pid} (${nameOf(pid) || path})`);
      break;
    }
  }
  return found;
}

const nameOf = (pid: string) => textOf(`/proc/${pid}/comm`).trim();

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function statOf(path: string): { ino: bigint; dev: bigint } | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
