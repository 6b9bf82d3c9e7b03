/** Sizes of pages as commands take them. */
import { InvalidArgumentError } from 'commander';
import { scaledBytes } from '../volume/volumes.js';

/** KiB, also where no unit is said. */
export function pageKiB(text: string): number {
  const kib = /^\d+$/.test(text) ? Number(text) : scaledBytes(text) / 1024;
  if (!Number.isSafeInteger(kib) || kib === 0 || kib >= 2 ** 32)
    throw new InvalidArgumentError('no size of a page: 2M is one.');
  return kib;
}
