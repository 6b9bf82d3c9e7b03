/**
 * A place in a pool's folder where a volume becomes whole before it gets its name: a hidden folder with a lock in it, which whoever
 * builds there holds. What a killed process leaves has a lock that nobody holds, and the next one removes it.
 */
import {
  closeSync,
  fstatSync,
  linkSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { isAloneWith, openLock } from '../../state/exclusively.js';
import { PoolError, quoted } from './errors.js';

export const STAGING_PREFIX = '.xenner-new-';
const ATTEMPTS = 16;
/** Of link(2), where a file system has no links. */
const NO_LINKS = ['EPERM', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

/** @param build makes the volume at a path. @throws PoolError VIR_ERR_STORAGE_VOL_EXIST; what build() throws; system errors */
export async function buildStaged(
  path: string,
  folder: string,
  build: (path: string) => Promise<void>,
): Promise<void> {
  removeLeftovers(folder);
  const { place, lock } = claim(folder);
  try {
    const staged = join(place, basename(path));
    await build(staged);
    giveName(staged, path);
  } finally {
    rmSync(place, { recursive: true, force: true });
    closeSync(lock);
  }
}

function claim(folder: string): { place: string; lock: number } {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const place = mkdtempSync(join(folder, STAGING_PREFIX));
    let lock: number;
    try {
      lock = openLock(join(place, 'lock'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      rmSync(place, { recursive: true, force: true });
      throw error;
    }
    if (isAloneWith(lock) && fstatSync(lock).nlink > 0) return { place, lock };
    closeSync(lock);
  }
  throw new PoolError('VIR_ERR_OPERATION_FAILED', `no place to build in can be had below ${quoted(folder)}`);
}

/** Best effort: what cannot be removed is not in the way. */
export function removeLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(STAGING_PREFIX)) continue;
    const place = join(folder, name);
    try {
      if (!lstatSync(place).isDirectory()) continue;
      const lock = openLock(join(place, 'lock'));
      if (isAloneWith(lock)) rmSync(place, { recursive: true, force: true });
      closeSync(lock);
    } catch {}
  }
}

/** Only if nothing has the name. */
function giveName(staged: string, path: string): void {
  try {
    linkSync(staged, path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'EEXIST') throw exists(path);
    if (!NO_LINKS.includes(code)) throw error;
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) throw exists(path);
    renameSync(staged, path);
  }
}

export function exists(path: string): PoolError {
  return new PoolError(
    'VIR_ERR_STORAGE_VOL_EXIST',
    `storage volume ${quoted(basename(path))} exists already`,
  );
}
