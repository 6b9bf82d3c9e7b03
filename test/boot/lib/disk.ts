/** A private copy of the recipe's disk, and what stands on it as e2fsprogs see it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './images.js';

/** Of the one partition, in bytes. */
const PARTITION_AT = 1048576;
const RECIPE_TIMEOUT_MS = 900_000;

export class DebianDisk {
  private constructor(
    readonly path: string,
    readonly format: 'raw' | 'qcow2',
    readonly kernel: string,
    readonly ramdisk: string,
    private readonly dir: string,
  ) {}

  /** Made in `dir`, or why it cannot be. */
  static make(dir: string, format: 'raw' | 'qcow2'): DebianDisk | { missing: string } {
    const options = { encoding: 'utf8', timeout: RECIPE_TIMEOUT_MS } as const;
    const { status, stdout, stderr } = spawnSync('bash', [join(ROOT, 'images/disk.sh'), 'raw'], options);
    if (status !== 0)
      return { missing: `a disk: ${stderr.trim().split('\n').at(-1) || 'images/disk.sh hangs'}` };
    const recipe = stdout.trim();
    const path = join(dir, `disk.${format}`);
    execFileSync('qemu-img', ['convert', '-O', format, recipe, path]);
    const names = debugfs(recipe, 'ls -p /boot').split('/');
    const take = (prefix: string) => {
      const name = names.find((each) => each.startsWith(prefix))!;
      debugfs(recipe, `dump /boot/${name} ${join(dir, prefix)}`);
      return join(dir, prefix);
    };
    return new DebianDisk(path, format, take('vmlinuz'), take('initrd.img'), dir);
  }

  /** The guest is gone: the image is in order, and so is the file system. @returns the MD5 of a file */
  md5Of(file: string): string {
    const raw = join(this.dir, 'after.raw');
    if (this.format === 'qcow2') execFileSync('qemu-img', ['check', '-q', this.path]);
    execFileSync('qemu-img', ['convert', '-O', 'raw', this.path, raw]);
    execFileSync('e2fsck', ['-fn', partition(raw)], { stdio: 'pipe' });
    const out = join(this.dir, 'file');
    debugfs(raw, `dump ${file} ${out}`);
    return createHash('md5').update(readFileSync(out)).digest('hex');
  }
}

const partition = (image: string) => `${image}?offset=${PARTITION_AT}`;

function debugfs(image: string, command: string): string {
  return execFileSync('debugfs', ['-R', command, partition(image)], { encoding: 'utf8', stdio: 'pipe' });
}
