/** Disks with a file system, or several, and files in them that a test names. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type GuestDisk, openGuestDisk } from '../../../../src/mgmt/guestfs/guest-disk.js';
import { blank, mke2fs, openRaw, run } from './images.js';

const CONFIGS = fileURLToPath(new URL('../configs', import.meta.url));

export function config(name: string): string {
  return readFileSync(join(CONFIGS, name), 'utf8');
}

export type Files = Readonly<Record<string, string | Buffer>>;

/** A folder with these files and nothing else. */
export function folderOf(folder: string, files: Files): string {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [path, contents] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), contents);
  }
  return folder;
}

/** An ext4 file system with these files. */
export function extOf(path: string, files: Files, options: string[] = [], megabytes = 8): string {
  return mke2fs(path, megabytes, options, folderOf(`${path}.d`, files));
}

/** A disk by sfdisk's or sgdisk's own words, with images put at sectors of 512 bytes. */
export function partitioned(
  path: string,
  megabytes: number,
  table: { sfdisk: string } | { sgdisk: string[] },
  images: ReadonlyArray<readonly [sector: number, image: string]>,
): string {
  blank(path, megabytes * 2 ** 20);
  if ('sfdisk' in table) run('sfdisk', ['-q', path], table.sfdisk);
  else run('sgdisk', [...table.sgdisk, path]);
  for (const [sector, image] of images)
    run('dd', [
      `if=${image}`,
      `of=${path}`,
      'bs=512',
      `seek=${sector}`,
      'conv=notrunc,sparse',
      'status=none',
    ]);
  return path;
}

export async function openImage(path: string): Promise<GuestDisk> {
  return openGuestDisk(await openRaw(path));
}
