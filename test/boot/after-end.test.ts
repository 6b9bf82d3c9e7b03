/** What becomes of domains: saved and restored in processes of their own, and each action of on_poweroff, on_reboot and on_crash. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Cli } from './lib/cli.js';
import { BOOT_TIMEOUT_MS, PROMPT } from './lib/guest.js';
import { initramfs } from './lib/images.js';
import { info, kernelPath, LiveHost, missing, nobody, onConsole, output, until, xenner } from './lib/life.js';

const host = new LiveHost('end');
const { dir, ramdisk } = host;
const MIB = 1024 * 1024;
const dumps = join(dir, 'dumps');
const title = missing === undefined ? 'a domain' : `a domain (skipped: ${missing})`;

beforeAll(() => {
  process.env.XENNER_DUMP_DIR = dumps;
  initramfs(ramdisk);
});
afterEach(() => host.destroyAll());
afterAll(() => {
  delete process.env.XENNER_DUMP_DIR;
  host.remove();
});

interface Listed {
  readonly name: string;
  readonly state: string;
}
const list = async () => JSON.parse(await output('list', '--json')) as Listed[];

/** What the guest's shell prints. */
const shell = (name: string, command: string) =>
  onConsole(name, async ({ script }) => (await script.run(command)).output);

/** Its kernel panics; resolves when that has been dealt with as `done` says. */
async function crash(name: string, done: (all: readonly Listed[]) => boolean): Promise<void> {
  await onConsole(name, async ({ script }) => {
    script.send('echo c >/proc/sysrq-trigger\n');
    await until(list, done);
  });
}

const bannerAt = async (name: string) =>
  (await shell(name, "grep ' linux_banner$' /proc/kallsyms | cut -d ' ' -f 1")).trim();

/** GDB finds its way in it, and so does who knows Xen's sections. */
function checkCore(path: string, banner: string): void {
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 60_000 });
  const seen = run(
    'gdb',
    '-batch',
    '-nx',
    '-c',
    path,
    '-ex',
    'info threads',
    '-ex',
    `x/s 0x${banner}`,
    '-ex',
    'p/x $cs',
  );
  expect(seen).toMatch(/^\* 1 +(?:LWP|Thread|process) 1/m);
  expect(seen).toMatch(/"Linux version \d/);
  expect(seen).toMatch(/\$1 = 0xe06\d/);
  const sections = run('readelf', '-WS', path);
  const of = (name: string) => {
    const [, offset, size] = new RegExp(`${name} +\\w+ +0+ (\\w+) (\\w+) `).exec(sections)!;
    return { offset: Number.parseInt(offset!, 16), size: Number.parseInt(size!, 16) };
  };
  const nrPages = of('.xen_p2m').size / 16;
  expect(nrPages).toBe((128 * MIB) / 4096);
  expect(of('.xen_pages').size).toBe(nrPages * 4096);
  expect(of('.xen_shared_info').size).toBe(3136);
  // The second note is Xen's header: magic of a PV guest, vCPUs, pages, their size.
  const words = readSync64(path, of('.note.Xen').offset + 32, 4);
  expect(words).toEqual([0xf00febedn, BigInt(of('.xen_prstatus').size / 5168), BigInt(nrPages), 4096n]);
  // A page behind the kernel's first, which the guest has where Xen gave it.
  expect(readSync64(path, of('.xen_p2m').offset + 16 * 5000, 2)).toEqual([5000n, 5000n]);
}

function readSync64(path: string, position: number, count: number): bigint[] {
  const words = new BigUint64Array(count);
  const fd = openSync(path, 'r');
  readSync(fd, words, 0, count * 8, position);
  closeSync(fd);
  return [...words];
}

describe.skipIf(missing !== undefined)(title, { timeout: 4 * BOOT_TIMEOUT_MS }, () => {
  it('of pygrub is restored in a process of its own, and boots anew from its disk', async () => {
    const root = join(dir, 'root');
    mkdirSync(join(root, 'boot/grub'), { recursive: true });
    copyFileSync(kernelPath, join(root, 'boot/vmlinuz'));
    copyFileSync(ramdisk, join(root, 'boot/initrd'));
    const entry = 'title Linux\nroot (hd0)\nkernel /boot/vmlinuz console=hvc0 quiet\ninitrd /boot/initrd\n';
    writeFileSync(join(root, 'boot/grub/menu.lst'), `default 0\ntimeout 0\n${entry}`);
    const image = host.disk('root.img');
    truncateSync(image, 64 * 1024 * 1024);
    execFileSync('mkfs.ext4', ['-q', '-F', '-d', root, image], { timeout: 60_000 });
    const cfg = join(dir, 'grub.cfg');
    writeFileSync(
      cfg,
      `name = "grub"\nmemory = 128\nbootloader = "pygrub"\ndisk = ["${image},raw,xvda,w"]\n`,
    );
    await output('create', cfg);
    await output('block-attach', 'grub', `${host.disk('more.img')},raw,xvdb,w`);
    await shell('grub', 'touch /tmp/mark');
    await output('rename', 'grub', 'grub2');
    const file = join(dir, 'grub.save');
    await output('save', 'grub2', file);
    await nobody();

    await output('restore', '-p', file);
    expect(await list()).toMatchObject([{ name: 'grub2', state: '--p---' }]);
    expect((await xenner('restore', file)).stderr).toMatch(/^xenner: domain grub2 runs already/);
    await output('unpause', 'grub2');
    const disks = JSON.parse(await output('block-list', '--json', 'grub2')) as { vdev: string }[];
    expect(disks.map(({ vdev }) => vdev)).toEqual(['xvda', 'xvdb']);
    // What it printed before is not on its console any more.
    const cli = new Cli(['console', 'grub2']);
    const { script } = cli;
    expect((await script.run('test -e /tmp/mark')).status).toBe(0);
    await output('reboot', '-w', 'grub2');
    await script.expect(/init: running/, BOOT_TIMEOUT_MS);
    await script.expect(PROMPT, BOOT_TIMEOUT_MS);
    expect((await script.run('test -e /tmp/mark')).status).toBe(1);
    await output('shutdown', '-w', 'grub2');
    expect(await cli.end()).toMatchObject({ status: 0 });
    await nobody();
  });

  it('that run saved wants a configuration to be restored with, and is joined by -c', async () => {
    const file = join(dir, 'run.save');
    const run = ['run', '--kernel', kernelPath, '--ramdisk', ramdisk, '--cmdline', 'console=hvc0 quiet'];
    const first = new Cli([...run, '--memory', '96', '--save-on-exit', file]);
    await first.script.expect(PROMPT, BOOT_TIMEOUT_MS);
    await first.script.run('touch /tmp/mark');
    first.child.kill();
    await first.end();
    expect(await xenner('restore', file)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/does not say what the domain is to be.*restore it with --foreground/),
    });
    const cli = new Cli(['restore', '-c', host.config('given'), file]);
    expect((await cli.script.run('ls /tmp/mark')).output).toBe('/tmp/mark\n');
    expect(await output('list', 'given')).toMatch(/^given +\d+ +96 /m);
    cli.script.send('poweroff\n');
    expect(await cli.end(BOOT_TIMEOUT_MS)).toMatchObject({ status: 0 });
    await nobody();
  });

  it('has cores written of it: of one that runs, and of one that crashed', async () => {
    await output('create', host.config('core', 'vcpus = 2\non_crash = "coredump-destroy"\n'));
    const banner = await bannerAt('core');
    const file = join(dir, 'live.core');
    const cli = new Cli(['console', 'core']);
    await cli.script.expect(/<<0>>/);
    await output('dump-core', 'core', file);
    checkCore(file, banner);
    rmSync(file);
    // It runs on.
    cli.script.send('echo al"ive"\n');
    await cli.script.expect(/alive/);
    cli.child.kill();
    expect((await xenner('dump-core', 'core', '/nowhere/core')).stderr).toMatch(
      /cannot save to \/nowhere\/core/,
    );
    await crash('core', (all) => all.length === 0);
    checkCore(join(dumps, 'core.core'), banner);
    expect(readdirSync(dumps)).toEqual(['core.core']);
    rmSync(dumps, { recursive: true });
  });

  it('starts anew after a core was written', async () => {
    await output('create', host.config('again', 'on_crash = "coredump-restart"\n'));
    const before = await info('again');
    await onConsole('again', async ({ script }) => {
      script.send('echo c >/proc/sysrq-trigger\n');
      await script.expect(/init: running/, BOOT_TIMEOUT_MS);
      await script.expect(PROMPT, BOOT_TIMEOUT_MS);
      expect(readdirSync(dumps)).toEqual(['again.core']);
      expect((await script.run('echo $((6 * 7))')).output).toBe('42\n');
    });
    expect(await info('again')).toMatchObject({ pid: before.pid, state: 'running' });
  });

  it('is preserved under another name, and starts under its own', async () => {
    const spec = `disk = ["${host.disk('renamed.img')},raw,xvda,w"]\n`;
    await output('create', host.config('renamed', `on_crash = "rename-restart"\n${spec}`));
    const before = await info('renamed');
    const banner = await bannerAt('renamed');
    const isOther = ({ name, state }: Listed) => /^renamed-\d{8}T\d{6}Z$/.test(name) && state === '---sc-';
    await crash('renamed', (all) => all.some(isOther) && all.some(({ name }) => name === 'renamed'));
    const [kept] = (await list()).filter(isOther);
    expect(await shell('renamed', 'echo $((6 * 7))')).toBe('42\n');
    const [old, fresh] = [await info(kept!.name), await info('renamed')];
    expect(old).toMatchObject({ domid: before.domid, pid: before.pid });
    expect(fresh.domid).not.toBe(before.domid);
    const file = join(dir, 'kept.core');
    await output('dump-core', kept!.name, file);
    checkCore(file, banner);
    await output('destroy', kept!.name);
    expect((await list()).map(({ name }) => name)).toEqual(['renamed']);
  });

  it('is preserved when it powers off, and destroyed when it reboots, where that is wanted', async () => {
    await output('create', host.config('kept', 'on_poweroff = "preserve"\non_reboot = "destroy"\n'));
    await output('shutdown', '-w', 'kept');
    await until(list, ([only]) => only?.state === '---s--');
    await output('destroy', 'kept');
    await output('create', host.config('kept', 'on_reboot = "destroy"\n'));
    await output('reboot', '-w', 'kept');
    await nobody();
  });
});
