/** The boot loader's menu on the console of a domain that is being made, as pygrub shows it. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Cli } from './lib/cli.js';
import { BOOT_TIMEOUT_MS, PROMPT } from './lib/guest.js';
import { initramfs } from './lib/images.js';
import { kernelPath, LiveHost, missing, nobody, output, until, xenner } from './lib/life.js';

const host = new LiveHost('menu');
const { dir, ramdisk } = host;
const title = missing === undefined ? 'create -c' : `create -c (skipped: ${missing})`;
const MENU = /Boot entries of \S*menu\.lst/;

beforeAll(() => void initramfs(ramdisk));
afterEach(() => host.destroyAll());
afterAll(() => host.remove());

/** A disk whose menu has two entries, and a configuration that boots it. */
function config(name: string, timeout: string, more = ''): string {
  const root = join(dir, name);
  mkdirSync(join(root, 'boot/grub'), { recursive: true });
  copyFileSync(kernelPath, join(root, 'boot/vmlinuz'));
  copyFileSync(ramdisk, join(root, 'boot/initrd'));
  const entry = (word: string) =>
    `title ${word}\nroot (hd0)\nkernel /boot/vmlinuz console=hvc0 quiet ${word}\ninitrd /boot/initrd\n`;
  writeFileSync(join(root, 'boot/grub/menu.lst'), `default 0\n${timeout}${entry('first')}${entry('second')}`);
  const image = host.disk(`${name}.img`);
  truncateSync(image, 64 * 1024 * 1024);
  execFileSync('mkfs.ext4', ['-q', '-F', '-d', root, image], { timeout: 60_000 });
  const path = join(dir, `${name}.cfg`);
  const disk = `disk = ["${image},raw,xvda,w"]\n`;
  writeFileSync(path, `name = "${name}"\nmemory = 128\nbootloader = "pygrub"\n${disk}${more}`);
  return path;
}

async function word({ script }: Cli): Promise<string> {
  await script.expect(PROMPT, BOOT_TIMEOUT_MS);
  return (await script.run('cat /proc/cmdline')).output.trim().split(' ').slice(2).join(' ');
}

describe.skipIf(missing !== undefined)(title, { timeout: 4 * BOOT_TIMEOUT_MS }, () => {
  it('boots the entry that the user chooses, at each start', async () => {
    const cli = new Cli(['create', '-c', config('choice', 'timeout 3600\n')]);
    await cli.script.expect(MENU, BOOT_TIMEOUT_MS);
    await cli.script.expect(/boots in 3600 s/);
    cli.script.send('j');
    await cli.script.expect(/> second/);
    cli.script.send('\r');
    expect(await word(cli)).toBe('second');
    cli.script.send('reboot\n');
    await cli.script.expect(MENU, BOOT_TIMEOUT_MS);
    cli.script.send('e');
    await cli.script.expect(/Enter: boot with this command line/);
    cli.script.send(' edited\r');
    expect(await word(cli)).toBe('first edited');
    cli.script.send('poweroff\n');
    expect(await cli.end(BOOT_TIMEOUT_MS)).toMatchObject({ status: 0 });
    await nobody();
  });

  it('boots the default when the time is over, and at once where nobody looks', async () => {
    const path = config('timeout', 'timeout 1\n');
    const cli = new Cli(['create', '-c', path]);
    await cli.script.expect(MENU, BOOT_TIMEOUT_MS);
    expect(await word(cli)).toBe('first');
    cli.script.send('poweroff\n');
    await cli.end(BOOT_TIMEOUT_MS);
    await nobody();
    await output('create', config('unseen', ''));
    const seen = new Cli(['console', 'unseen']);
    expect(await word(seen)).toBe('first');
    expect(seen.stdout).not.toMatch(MENU);
    seen.child.kill();
    await seen.end();
  });

  it('does what bootloader_args say', async () => {
    const args = 'bootloader_args = ["--entry=second", "--args=more"]\n';
    const cli = new Cli(['create', '-c', config('args', 'timeout 3600\n', args)]);
    expect(await word(cli)).toBe('second more');
    expect(cli.stdout).not.toMatch(MENU);
    cli.child.kill();
    await cli.end();
    const wrong = await xenner('create', config('wrong', '', 'bootloader_args = ["--nonsense"]\n'));
    expect(wrong).toMatchObject({ status: 1, stderr: expect.stringMatching(/pygrub: .*nonsense/) });
  });

  it('is destroyed in its menu without a trace', async () => {
    const cli = new Cli(['create', '-c', config('gone', '')]);
    await cli.script.expect(MENU, BOOT_TIMEOUT_MS);
    await output('destroy', 'gone');
    const { status } = await cli.end(BOOT_TIMEOUT_MS);
    expect({ status, stderr: cli.stderr }).toEqual({
      status: 1,
      stderr: 'xenner: the domain was destroyed in its boot menu\n',
    });
    await until(
      () => output('list', '--json'),
      (list) => list === '[]\n',
    );
  });
});
