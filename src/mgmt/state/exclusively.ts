/** Locks between processes, by files that hold nothing else: they end with the process that has them. */
import { closeSync, constants, openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { XennerError } from '../../base/errors.js';
import { isRangeShared, shareRange } from '../../kvm/index.js';

/** What is done under a lock takes milliseconds, but for commands of the host, which have bounds of their own. */
const LOCK_TIMEOUT_MS = 20_000;
const LOCK_RETRY_MS = 20;

export function openLock(file: string): number {
  return openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
}

/**
 * Takes the lock, which is a shared one. False: others have it too, and whoever finds that lets go of it by closing `fd`; of two at
 * once, one at least finds the other.
 */
export function isAloneWith(fd: number): boolean {
  return shareRange(fd, 0, 1) && !isRangeShared(fd, 0, 1);
}

/**
 * Who is not alone tries again some time later.
 *
 * @throws XennerError (rejection) EBUSY
 */
export async function exclusively<T>(lockFile: string, act: () => T | Promise<T>): Promise<T> {
  for (const until = Date.now() + LOCK_TIMEOUT_MS; ; ) {
    const fd = openLock(lockFile);
    try {
      if (isAloneWith(fd)) return await act();
    } finally {
      closeSync(fd);
    }
    if (Date.now() > until) throw new XennerError('EBUSY', `${lockFile} is locked by another process`);
    await delay(Math.random() * LOCK_RETRY_MS);
  }
}
