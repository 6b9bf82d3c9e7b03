/** A folder of this machine, and whether a guest's file system has the same in it. */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { GuestFiles } from '../../../../src/mgmt/guestfs/guest-files.js';
import { Random } from '../../../fuzz/random.js';

export function noise(seed: number, bytes: number): Buffer {
  const random = new Random(seed);
  const data = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) data.writeUInt32LE(random.next(), at);
  return data;
}

/** A file with `pieces` pieces of data and holes of `stride` bytes from one to the next. */
export function sparse(path: string, pieces: number, stride: number, pieceBytes: number): void {
  const fd = openSync(path, 'w');
  for (let i = 0; i < pieces; i++) writeSync(fd, noise(i, pieceBytes), 0, pieceBytes, i * stride);
  ftruncateSync(fd, pieces * stride);
  closeSync(fd);
}

/** What file systems treat in different ways: long and short links, files with holes (`pieces`), long names, many files, none. */
export function makeTree(root: string, options: { directoryFiles: number; pieces: number }): void {
  mkdirSync(join(root, 'boot/grub'), { recursive: true });
  mkdirSync(join(root, 'empty'));
  mkdirSync(join(root, 'many'));
  writeFileSync(join(root, 'boot/grub/menu.lst'), 'title a\nkernel /boot/vmlinuz\n');
  writeFileSync(join(root, 'boot/vmlinuz'), noise(1, 3_000_001));
  writeFileSync(join(root, 'nothing'), '');
  writeFileSync(join(root, 'tiny'), 'a few bytes');
  writeFileSync(join(root, 'small'), noise(2, 150));
  writeFileSync(join(root, 'ümläut-€'), 'name');
  writeFileSync(join(root, `long-${'n'.repeat(250)}`), 'name');
  symlinkSync('boot/vmlinuz', join(root, 'vmlinuz'));
  symlinkSync(`${'./'.repeat(30)}`.slice(0, 59), join(root, 'link-59'));
  symlinkSync(`${'./'.repeat(30)}`.slice(0, 60), join(root, 'link-60'));
  symlinkSync(`${'./'.repeat(500)}boot/vmlinuz`, join(root, 'link-1012'));
  if (options.pieces > 0) {
    sparse(join(root, 'holes'), options.pieces, 16_384, 4096);
    sparse(join(root, 'far'), 3, 20_000_000, 100);
  }
  for (let i = 0; i < options.directoryFiles; i++)
    writeFileSync(join(root, 'many', `file-${i}-${'x'.repeat(i % 40)}`), `${i}`);
}

/** Every name, kind, link and byte below `path` is the same; where there are many files, of 100 of them. */
export async function expectSame(
  files: GuestFiles,
  host: string,
  path = '/',
  ignore: string[] = [],
): Promise<void> {
  const names = readdirSync(join(host, path)).sort();
  const guest = (await files.readdir(path)).filter((name) => !ignore.includes(name)).sort();
  expect(guest, path).toEqual(names);
  // Each path is looked up from the root on, so that of many files only some can be.
  const step = Math.ceil(names.length / 100);
  for (const name of names.filter((_, index) => index % step === 0)) {
    const inner = join(path, name);
    const stat = lstatSync(join(host, inner));
    if (stat.isDirectory()) {
      await expectSame(files, host, inner);
    } else if (stat.isSymbolicLink()) {
      expect(await files.readlink(inner), inner).toBe(readlinkSync(join(host, inner)));
    } else {
      expect(await files.stat(inner), inner).toMatchObject({
        kind: 'file',
        sizeBytes: stat.size,
        mode: stat.mode,
      });
      const same = (await files.readFile(inner, 256 * 2 ** 20)).equals(readFileSync(join(host, inner)));
      expect(same, `contents of ${inner}`).toBe(true);
    }
  }
}

/** Why a test cannot run: a program that is not installed, or undefined. */
export function missing(...programs: string[]): string | undefined {
  const folders = ['/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  const absent = programs.filter((program) => !folders.some((folder) => existsSync(join(folder, program))));
  return absent.length > 0 ? `not installed: ${absent.join(', ')}` : undefined;
}
