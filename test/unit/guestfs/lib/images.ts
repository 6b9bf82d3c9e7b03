/** Disks and file systems, made by the programs that make real ones. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CachedDisk } from '../../../../src/mgmt/guestfs/byte-source.js';
import { openExt } from '../../../../src/mgmt/guestfs/ext/ext-file-system.js';
import type { FileSystem } from '../../../../src/mgmt/guestfs/file-system.js';
import { GuestFiles } from '../../../../src/mgmt/guestfs/guest-files.js';
import { openImage } from '../../../../src/mgmt/storage/open-image.js';
import type { BlockImage } from '../../../../src/xenner/backend/block/block-image.js';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const ENV = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, MKE2FS_CONFIG: '/dev/null' };

/** A folder of this test file's, below build/; remove() takes it away. */
export function scratch(name: string): { path: (file: string) => string; remove: () => void } {
  mkdirSync(join(ROOT, 'build/guestfs'), { recursive: true });
  const folder = mkdtempSync(join(ROOT, 'build/guestfs', `${name}-`));
  return {
    path: (file) => join(folder, file),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Runs a program to its end; it must succeed. */
export function run(program: string, args: readonly string[], input = ''): string {
  return execFileSync(program, args, {
    env: ENV,
    input,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 100_000,
    maxBuffer: 2 ** 26,
  });
}

export function blank(path: string, bytes: number): string {
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}

/** `options` as mke2fs has them. */
export function mke2fs(path: string, megabytes: number, options: readonly string[], tree?: string): string {
  blank(path, megabytes * 2 ** 20);
  run('mke2fs', ['-q', '-F', ...(tree === undefined ? [] : ['-d', tree]), ...options, path]);
  return path;
}

/** A file system of this machine's kernel, filled by `use`; undefined where that cannot be had. */
export function mounted<T>(image: string, use: (folder: string) => T): T | undefined {
  const folder = `${image}.mnt`;
  mkdirSync(folder, { recursive: true });
  try {
    run('mount', ['-o', 'loop', image, folder]);
  } catch {
    return undefined;
  }
  try {
    return use(folder);
  } finally {
    run('umount', [folder]);
  }
}

export function copy(from: string, to: string): string {
  run('cp', ['--sparse=always', from, to]);
  return to;
}

const open: BlockImage[] = [];

export async function openRaw(path: string): Promise<BlockImage> {
  const disk = await openImage(path, { format: 'raw', readOnly: true });
  open.push(disk);
  return disk;
}

export async function closeDisks(): Promise<void> {
  await Promise.all(open.splice(0).map((disk) => disk.close()));
}

type Opener = typeof openExt;

/** The files of an image that is one file system. */
export async function filesOf(path: string, opener: Opener = openExt): Promise<GuestFiles> {
  const fileSystem: FileSystem | undefined = await opener(new CachedDisk(await openRaw(path)));
  if (fileSystem === undefined) throw new Error(`${path} is no such file system`);
  return new GuestFiles(fileSystem);
}
