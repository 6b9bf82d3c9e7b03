/**
 * An image that is built beside the name it will have, and gets it when it is whole: whoever opens that name finds the old image or the
 * new one, whatever happens. Beside it lies a lock, which its builder holds; what a killed process leaves has a lock that nobody
 * holds, and the next one in that folder removes it.
 */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  fstatSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { syncDirectory } from '../../../base/files.js';
import { isAloneWith, openLock } from '../../state/exclusively.js';
import { STAGING_PREFIX } from '../pool/staging.js';
import { StorageFile } from '../storage-file.js';

const LOCK_SUFFIX = '.lock';
const PERMISSIONS = 0o7777;

/**
 * @param path a file, or where one will be; not a device
 * @param build makes the image at a path of the same folder
 * @throws (rejection) XennerError ELOCKED: the old image is in use; what build() throws; system errors
 */
export async function replaceImage(path: string, build: (path: string) => Promise<void>): Promise<void> {
  const before = statSync(path, { throwIfNoEntry: false });
  const name = before === undefined ? path : realpathSync(path);
  const old =
    before === undefined ? undefined : await StorageFile.open(name, { readOnly: true, lock: 'write' });
  try {
    const folder = dirname(name);
    removeLeftovers(folder);
    const { staged, lock } = claim(folder);
    try {
      await build(staged);
      if (before !== undefined) takeAttributes(staged, before);
      renameSync(staged, name);
      syncDirectory(folder);
    } finally {
      rmSync(staged, { force: true });
      rmSync(`${staged}${LOCK_SUFFIX}`, { force: true });
      closeSync(lock);
    }
  } finally {
    await old?.close();
  }
}

function claim(folder: string): { staged: string; lock: number } {
  for (;;) {
    const staged = join(folder, `${STAGING_PREFIX}${randomBytes(8).toString('hex')}`);
    const lock = openLock(`${staged}${LOCK_SUFFIX}`);
    if (isAloneWith(lock) && fstatSync(lock).nlink > 0) return { staged, lock };
    closeSync(lock);
  }
}

/** Best effort: what cannot be removed is not in the way. */
function removeLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(STAGING_PREFIX) || !name.endsWith(LOCK_SUFFIX)) continue;
    try {
      removeUnheld(join(folder, name));
    } catch {}
  }
}

function removeUnheld(lockFile: string): void {
  const lock = openLock(lockFile);
  try {
    if (!isAloneWith(lock)) return;
    rmSync(lockFile.slice(0, -LOCK_SUFFIX.length), { force: true });
    rmSync(lockFile);
  } finally {
    closeSync(lock);
  }
}

/** Whoever could use the old image can use the new one. Only root gives files away. */
function takeAttributes(path: string, { mode, uid, gid }: Stats): void {
  if (process.geteuid?.() === 0) chownSync(path, uid, gid);
  chmodSync(path, mode & PERMISSIONS);
}
