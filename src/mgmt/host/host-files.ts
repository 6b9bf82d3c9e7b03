/** The host as its kernel tells of it: /sys, /proc and /dev, or a folder with such in it. */
import { accessSync, closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { numberedEntries, readHostFile, readHostNumber } from '../../base/host-files.js';
import { MAX_HOST_CPUS, MAX_PROCFS_BYTES } from '../../base/limits.js';
import { exclusively } from '../state/exclusively.js';
import { HostError } from './errors.js';

/** Paths are from the root, without a slash at the beginning. What cannot be read, or makes no sense, is undefined. */
export class HostFiles {
  /** @param root the folder that has `sys`, `proc` and `dev` */
  constructor(readonly root = '/') {}

  path(path: string): string {
    return join(this.root, path);
  }

  exists(path: string): boolean {
    try {
      accessSync(this.path(path), constants.F_OK);
      return true;
    } catch {
      return false;
    }
  }

  /** A file of sysfs, without blanks around it. */
  text(path: string): string | undefined {
    return readHostFile(this.path(path))?.trim();
  }

  /** A file of procfs. */
  long(path: string): string | undefined {
    return readHostFile(this.path(path), MAX_PROCFS_BYTES);
  }

  number(path: string): number | undefined {
    return readHostNumber(this.path(path));
  }

  /** `0-3,8`, in order. */
  list(path: string): number[] | undefined {
    const text = this.text(path);
    return text === undefined ? undefined : parseList(text);
  }

  numbered(directory: string, pattern: RegExp): number[] {
    return numberedEntries(this.path(directory), pattern);
  }

  /**
   * @param what that is set, for the message
   * @throws HostError EACCES: whose right it is; VIR_ERR_SYSTEM_ERROR: the kernel does not take it
   */
  write(path: string, value: string | number, what: string): void {
    try {
      const fd = openSync(this.path(path), constants.O_WRONLY | constants.O_TRUNC | constants.O_NONBLOCK);
      try {
        writeSync(fd, String(value));
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      throw writeFailure(error as NodeJS.ErrnoException, what, this.path(path));
    }
  }
}

/**
 * Keeps other processes that ask for the same file from doing so meanwhile.
 * @throws HostError (rejection) EACCES, VIR_ERR_NO_SUPPORT; XennerError EBUSY
 */
export async function aloneWith<T>(host: HostFiles, path: string, what: string, act: () => T): Promise<T> {
  try {
    closeSync(openSync(host.path(path), constants.O_RDWR | constants.O_NONBLOCK));
  } catch (error) {
    throw writeFailure(error as NodeJS.ErrnoException, what, host.path(path));
  }
  return exclusively(host.path(path), act);
}

export const THIS_HOST = new HostFiles();

function writeFailure(cause: NodeJS.ErrnoException, what: string, path: string): HostError {
  switch (cause.code) {
    case 'EACCES':
    case 'EPERM':
      return new HostError('EACCES', `no right to set ${what}`, `only root may write ${path}`, { cause });
    case 'EROFS':
      return new HostError(
        'EACCES',
        `cannot set ${what}: ${path} is read-only here`,
        'a container has no right to',
        {
          cause,
        },
      );
    case 'ENOENT':
      return new HostError('VIR_ERR_NO_SUPPORT', `this kernel has no ${what}`, undefined, { cause });
    case 'EINVAL':
    case 'ERANGE':
      return new HostError('VIR_ERR_INVALID_ARG', `the kernel does not take this as ${what}`, undefined, {
        cause,
      });
    default:
      return new HostError('VIR_ERR_SYSTEM_ERROR', `cannot set ${what}: ${cause.message}`, undefined, {
        cause,
      });
  }
}

/** Of CPUs or nodes, as the kernel prints them (Documentation/admin-guide/cputopology.rst); undefined if it is no such list. */
export function parseList(text: string): number[] | undefined {
  if (text.trim() === '') return [];
  const all = new Set<number>();
  for (const range of text.trim().split(',')) {
    const [, first, last = first] = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(range) ?? [];
    if (first === undefined || Number(last) >= MAX_HOST_CPUS) return undefined;
    for (let each = Number(first); each <= Number(last); each++) all.add(each);
  }
  return [...all].sort((a, b) => a - b);
}

/** The other way round, as libvirt writes it too (virBitmapFormat). */
export function formatList(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const each of numbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === each - 1) last[1] = each;
    else ranges.push([each, each]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}
