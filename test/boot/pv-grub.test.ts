/** GRUB as a PV kernel: it reads the guest's disk through its own front end, and puts the guest's kernel in its own place. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Cli } from './lib/cli.js';
import { BOOT_TIMEOUT_MS, PROMPT } from './lib/guest.js';
import { initramfs } from './lib/images.js';
import { kernelPath, LiveHost, missing, nobody } from './lib/life.js';

/** Of Debian's package grub-xen-host, as xl's pvgrub64 is. */
const GRUB = '/usr/lib/grub-xen/grub-x86_64-xen.bin';
const why = missing ?? (existsSync(GRUB) ? undefined : 'no grub-xen-host');
const title = why === undefined ? 'pv-grub' : `pv-grub (skipped: ${why})`;
const MIB = 1024 * 1024;
const host = new LiveHost('pvg');
const { dir, ramdisk } = host;

beforeAll(() => void initramfs(ramdisk));
afterEach(() => host.destroyAll());
afterAll(() => host.remove());

/** An MBR with one ext4, in it a menu of two entries that waits for a key. */
function partitioned(): string {
  const root = join(dir, 'root');
  mkdirSync(join(root, 'boot/grub'), { recursive: true });
  copyFileSync(kernelPath, join(root, 'boot/vmlinuz'));
  copyFileSync(ramdisk, join(root, 'boot/initrd'));
  const entry = (word: string) =>
    `menuentry ${word} {\n  linux /boot/vmlinuz console=hvc0 quiet ${word}\n  initrd /boot/initrd\n}\n`;
  writeFileSync(join(root, 'boot/grub/grub.cfg'), `set timeout=-1\n${entry('first')}${entry('second')}`);
  const path = join(dir, 'disk.raw');
  execFileSync('truncate', ['-s', '64M', path]);
  execFileSync('sfdisk', ['-q', path], {
    input: 'start=2048, type=83, bootable\n',
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  execFileSync('mkfs.ext4', ['-q', '-F', '-d', root, '-E', `offset=${MIB}`, path, '63M'], {
    timeout: 60_000,
  });
  return path;
}

describe.skipIf(why !== undefined)(title, { timeout: 8 * BOOT_TIMEOUT_MS }, () => {
  it('boots what its menu says, again and again', async () => {
    const cfg = join(dir, 'grub.cfg');
    const disk = `disk = ["${partitioned()},raw,xvda,w"]\n`;
    writeFileSync(cfg, `name = "pvg"\nkernel = "${GRUB}"\nmemory = 256\nvcpus = 2\n${disk}`);
    const cli = new Cli(['create', '-c', cfg]);
    const { script } = cli;
    const boot = async (keys: string, word: string) => {
      await script.expect(/Use the .* keys to select/, BOOT_TIMEOUT_MS);
      await script.expect(/second/, BOOT_TIMEOUT_MS);
      script.send(keys);
      await script.expect(PROMPT, BOOT_TIMEOUT_MS);
      expect((await script.run('cat /proc/cmdline; nproc')).output).toBe(`console=hvc0 quiet ${word}\n2\n`);
    };
    await boot('\r', 'first');
    script.send('reboot\n');
    // Ctrl-N is GRUB's other key for down.
    await boot('\x0e\r', 'second');
    script.send('poweroff\n');
    expect(await cli.end(BOOT_TIMEOUT_MS)).toMatchObject({ status: 0 });
    await nobody();
  });
});
