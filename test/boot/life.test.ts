/** Domains in processes of their own: started by configurations, found, asked, and gone without a trace however they end. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Cli } from './lib/cli.js';
import { BOOT_TIMEOUT_MS, PROMPT } from './lib/guest.js';
import { initramfs } from './lib/images.js';
import { info, kernelPath, LiveHost, missing, nobody, onConsole, output, until, xenner } from './lib/life.js';

const host = new LiveHost('life');
const { dir, runDir, ramdisk } = host;
const config = (name: string, more?: string) => host.config(name, more);
const disk = (name: string) => host.disk(name);
const title = missing === undefined ? 'a domain' : `a domain (skipped: ${missing})`;

beforeAll(() => void initramfs(ramdisk));
afterEach(() => host.destroyAll());
afterAll(() => host.remove());

describe.skipIf(missing !== undefined)(title, () => {
  it('is created, listed, paused, renamed and destroyed', async () => {
    expect(await output('create', '-e', '-f', config('one', 'memory = 256\n'), 'memory=128')).toBe('');
    expect(await output('list')).toMatch(
      /^Name {40}ID {3}Mem VCPUs\tState\tTime\(s\)\none {38} +\d+ +128 +1 {5}(r-----|-b----) +\d+\.\d\n$/,
    );
    const domid = (await output('domid', 'one')).trim();
    expect(await output('domname', domid)).toBe('one\n');
    expect((await xenner('create', config('one'))).stderr).toMatch(
      /^xenner: domain one runs already, with ID \d+\n$/,
    );
    await output('pause', 'one');
    expect(await output('list', 'one')).toMatch(/ {5}--p--- /);
    await output('unpause', domid);
    expect(await onConsole('one', (cli) => cli.script.run('echo $((6 * 7))'))).toMatchObject({
      output: '42\n',
    });
    await output('rename', 'one', 'two');
    const home = `/local/domain/${domid}`;
    const nodes = (await output('xenstore-ls', '-f', 'two', home)).split('\n');
    expect(nodes).toEqual(expect.arrayContaining([`${home}/name = "two"`, `${home}/domid = "${domid}"`]));
    expect(await output('xenstore-ls', 'two', '/local')).toContain(`\n ${domid} = ""\n`);
    expect((await xenner('xenstore-ls', 'two', '/no')).stderr).toBe(
      'xenner: there is no "/no" in its xenstore\n',
    );
    expect((await xenner('domid', 'one')).stderr).toMatch(/^xenner: there is no domain "one"; .*\n$/);
    const { pid } = await info('two');
    await output('destroy', '-f', 'two');
    expect(readdirSync(runDir).sort()).toEqual(['last-domid', 'lock']);
    await until(
      async () => existsSync(`/proc/${pid}/exe`),
      (alive) => !alive,
    );
  });

  it('obeys shutdown and reboot, and keeps its ID over a reboot', async () => {
    await output('create', config('obeys'));
    const before = await info('obeys');
    await onConsole('obeys', async ({ script }) => {
      expect((await script.run('touch /tmp/mark')).status).toBe(0);
      await output('reboot', '-w', 'obeys');
      await script.expect(/init: running/, BOOT_TIMEOUT_MS);
      await script.expect(PROMPT, BOOT_TIMEOUT_MS);
      expect((await script.run('test -e /tmp/mark')).status).toBe(1);
    });
    expect(await info('obeys')).toMatchObject({ domid: before.domid, pid: before.pid });
    await output('shutdown', '-F', '-w', 'obeys');
    await nobody();
  });

  it('that is killed leaves nothing, and its disk is free', async () => {
    const cfg = config('killed', `disk = ["${disk('killed.img')},raw,xvda,w"]\n`);
    await output('create', cfg);
    const refused = await xenner('create', cfg, 'name=other');
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/killed\.img is in use by process \d+/),
    });
    const { pid } = await info('killed');
    process.kill(pid, 'SIGKILL');
    await nobody();
    expect(readdirSync(runDir).sort()).toEqual(['last-domid', 'lock']);
    await output('create', cfg);
  });

  it('has its name and number alone', async () => {
    const cfg = config('same');
    const same = await Promise.all([1, 2, 3].map(() => xenner('create', cfg)));
    expect(same.map(({ status }) => status).sort()).toEqual([0, 1, 1]);
    for (const { status, stderr } of same)
      if (status === 1) expect(stderr).toMatch(/^xenner: domain same runs already/);
    await output('create', config('beside'));
    expect((await info('beside')).domid).not.toBe((await info('same')).domid);
    expect((await xenner('rename', 'beside', 'same')).stderr).toMatch(/domain same runs already/);
    expect((await xenner('rename', 'beside', '../x')).stderr).toMatch(/no name for a domain/);
  });

  it('boots what its disk says, by pygrub', async () => {
    const root = join(dir, 'root');
    mkdirSync(join(root, 'boot/grub'), { recursive: true });
    copyFileSync(kernelPath, join(root, 'boot/vmlinuz'));
    copyFileSync(ramdisk, join(root, 'boot/initrd'));
    writeFileSync(
      join(root, 'boot/grub/menu.lst'),
      'default 0\ntitle Linux\nroot (hd0)\nkernel /boot/vmlinuz console=hvc0 quiet from-menu\ninitrd /boot/initrd\n',
    );
    const path = disk('root.img');
    truncateSync(path, 64 * 1024 * 1024);
    execFileSync('mkfs.ext4', ['-q', '-F', '-d', root, path], { timeout: 60_000 });
    const cfg = join(dir, 'grub.cfg');
    writeFileSync(cfg, `name = "grub"\nmemory = 128\nbootloader = "pygrub"\ndisk = ["${path},raw,xvda,w"]\n`);
    await output('create', cfg);
    const cmdline = () =>
      onConsole('grub', async (cli) => (await cli.script.run('cat /proc/cmdline')).output);
    expect(await cmdline()).toMatch(/ from-menu/);
  });

  it('that crashes is preserved where that is wanted', async () => {
    await output('create', config('crash', 'on_crash = "preserve"\n'));
    await onConsole('crash', async (cli) => {
      cli.script.send('echo c >/proc/sysrq-trigger\n');
      await until(
        () => output('list'),
        (list) => list.includes('---sc-'),
      );
    });
    expect((await xenner('pause', 'crash')).stderr).toBe('xenner: the domain does not run\n');
    await output('destroy', 'crash');
    expect(await output('list', '--json')).toBe('[]\n');
  });

  it('in the foreground ends by a signal', async () => {
    const cli = new Cli(['create', '-F', config('front')]);
    await until(
      () => output('list', '--json'),
      (list) => list.includes('"front"'),
    );
    cli.child.kill();
    expect(await cli.end()).toEqual({ status: 0, signal: null });
    expect(readdirSync(runDir).sort()).toEqual(['last-domid', 'lock']);
  });

  it('takes disks and gives them back, and what is said of them', async () => {
    await output('create', config('disks'));
    await output('block-attach', 'disks', `${disk('plug.img')},raw,xvdb,w`);
    expect(await output('block-list', 'disks')).toMatch(
      /^Vdev {2}BE {2}handle state evt-ch ring-ref BE-path +Format Access Path\n51728 0 +\d+ +\d +-1 +-1 +\/local\/domain\/0\/backend\/vbd\/\d+\/51728 raw +w +\S+plug\.img\n$/,
    );
    const again = await xenner('block-attach', 'disks', `${disk('twice.img')},raw,xvdb,w`);
    expect(again.stderr).toMatch(/^xenner: there are two devices vbd\/51728\n$/);
    expect((await xenner('block-detach', 'disks', 'xvdc')).stderr).toMatch(/has no disk "xvdc"/);
    await output('block-detach', '--force', 'disks', 'xvdb');
    // What is not done of what was said is named.
    const shared = await xenner('block-attach', 'disks', disk('shared.img'), 'raw', 'xvdd', 'w!');
    expect(shared).toMatchObject({
      status: 0,
      stderr: expect.stringMatching(/^xenner: block-attach: w!: .*refused.*\n$/),
    });
    await output('block-detach', '-f', 'disks', 'xvdd');
    expect(JSON.parse(await output('block-list', '--json', 'disks'))).toEqual([]);
  });

  it('does with vCPUs and memory what it is asked for, and is saved', async () => {
    const spec = `${disk('asked.img')},raw,xvda,w`;
    await output('create', config('asked', `vcpus = 2\ndisk = ["${spec}"]\n`));
    const file = join(dir, 'asked.save');
    await onConsole('asked', async ({ script }) => {
      const cpus = async () => (await script.run('nproc')).output.trim();
      expect(await cpus()).toBe('2');
      await output('vcpu-set', 'asked', '1');
      await until(cpus, (count) => count === '1');
      expect((await xenner('vcpu-set', 'asked', '3')).stderr).toMatch(/1 to 2 can be in use/);
      await output('mem-set', 'asked', '100');
      const { hostMemoryMiB } = await until(
        () => info('asked'),
        ({ currentMemoryMiB }) => currentMemoryMiB === 100,
      );
      expect(await output('list', 'asked')).toMatch(/\nasked +\d+ +100 +1 /);
      expect((await output('top', '-b', '-i', '0')).split('\n')[1]).toMatch(/ 102400 .* 131072 /);
      // With the launcher's own.
      expect(hostMemoryMiB).toBeGreaterThan(50);
      expect(hostMemoryMiB).toBeLessThan(300);
      const { domid } = await info('asked');
      expect(domid).toBeGreaterThan(1);
      const home = await output('xenstore-ls', '-f', 'asked', `/local/domain/${domid}`);
      expect(home).toContain(`/local/domain/${domid}/memory/target = "102400"`);
      expect((await xenner('mem-set', 'asked', '1g')).stderr).toMatch(/1 to 128 can be its target/);
      expect((await xenner('sysrq', 'asked', '?')).stderr).toMatch(/one letter or digit/);
      await output('save', '-c', 'asked', file);
      expect(await cpus()).toBe('1');
    });
    await output('save', 'asked', file);
    await nobody();
    const restored = new Cli(['restore', '-F', file, '--disk', spec]);
    expect((await restored.script.run('nproc')).output).toBe('1\n');
    expect((await xenner('create', config('asked', `disk = ["${spec}"]\n`))).stderr).toMatch(
      /asked\.img is in use by/,
    );
    restored.child.kill();
    await restored.end();
  });

  it('whose process hangs is destroyed all the same', async () => {
    await output('create', config('hangs', `disk = ["${disk('hangs.img')},raw,xvda,w"]\n`));
    const { pid } = await info('hangs');
    process.kill(pid, 'SIGSTOP');
    expect(await output('list', 'hangs')).toMatch(/\nhangs +\d+ +128 +1 /);
    await output('destroy', 'hangs');
    await nobody();
    await until(
      async () => existsSync(`/proc/${pid}/exe`),
      (alive) => !alive,
    );
  });

  it('tells what it uses', async () => {
    const nic = 'vif = ["mac=00:16:3e:00:00:07"]\n';
    await output(
      'create',
      host.config('busy', `vcpus = 2\n${nic}disk = ["${disk('busy.img')},raw,xvda,w"]\n`),
    );
    await onConsole('busy', async ({ script }) => {
      await output('vcpu-set', 'busy', '1');
      await until(
        async () => (await script.run('nproc')).output,
        (count) => count === '1\n',
      );
      script.send('while :; do :; done\n');
      await until(
        () => output('vcpu-list', 'busy'),
        (list) => /^busy +\d+ +0 +- +r-- +[1-9]\d*\.\d all \/ all$/m.test(list),
      );
    });
    expect(await output('vcpu-list')).toMatch(
      /^Name +ID {2}VCPU {3}CPU State +Time\(s\) Affinity \(Hard \/ Soft\)\nbusy .*\nbusy +\d+ +1 +- +--p /,
    );
    const [head, first, , second, end] = (await output('top', '-b', '-i', '2', '-d', '1')).split('\n');
    const names = head!.trim().split(/ +/);
    expect(names).toHaveLength(19);
    const value = (line: string, name: string) => line.trim().split(/ +/)[names.indexOf(name)];
    for (const line of [first!, second!]) {
      expect(['NAME', 'MEM(k)', 'VCPUS', 'NETS', 'VBDS'].map((name) => value(line, name))).toEqual([
        'busy',
        '131072',
        '2',
        '1',
        '1',
      ]);
      expect(Number(value(line, 'CPU(sec)'))).toBeGreaterThan(0);
    }
    // It has a CPU, or what others leave of one.
    expect(Number(value(second!, 'CPU(%)'))).toBeGreaterThan(0);
    expect(end).toBe('');
  });

  it('is not moved by clients that send anything', async () => {
    await output('create', config('fuzz'));
    const { domid } = await info('fuzz');
    let seed = 0x5eed;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    const pieces = [
      '{',
      '}',
      '"',
      'id',
      ':',
      '1',
      '\n',
      'null',
      '[',
      '"version":1',
      '"command":"constructor"',
      '\0',
    ];
    const whole = [
      '{"version":1,"id":1,"command":"rename","arguments":{"name":7}}\n',
      '{"version":1,"id":1,"command":"__proto__"}\n',
      '{"version":1,"id":1,"command":"save","arguments":{"path":"relative"}}\n',
      '{"version":1,"id":1,"command":"mem-set","arguments":{"memoryMiB":1e999}}\n',
      '{"version":2,"id":1,"command":"destroy"}\n',
    ];
    for (let client = 0; client < 60; client++) {
      const socket = createConnection(join(runDir, String(domid), 'control'));
      const closed = new Promise((resolve) => socket.on('close', resolve));
      socket.on('error', () => {});
      socket.resume();
      for (let i = random(30); i > 0; i--)
        socket.write(random(3) === 0 ? whole[random(whole.length)]! : pieces[random(pieces.length)]!);
      socket.end();
      await closed;
    }
    expect(await info('fuzz')).toMatchObject({ domid, state: 'running' });
  });
});

describe('what cannot be started or found is one line', () => {
  it.each([
    ['no such file', ['create', join(dir, 'nothing.cfg')], 1, /nothing\.cfg/],
    ['no such domain', ['console', 'nobody'], 1, /no domain "nobody"/],
    ['no domain named', ['shutdown'], 2, /name one domain, or say --all/],
    [
      'a disk of nothing',
      ['run', '--kernel', 'x', '--disk', 'bogus'],
      2,
      /--disk: "bogus": the device has no name/,
    ],
    ['a wrong address', ['network-attach', 'nobody', 'mac=x'], 2, /network-attach: mac: "x" is no MAC/],
    ['a size of nothing', ['mem-set', 'nobody', 'much'], 2, /a number is needed/],
    ['a size of two units', ['mem-set', 'nobody', '100mb'], 2, /a number is needed/],
    ['no configuration', ['create'], 2, /missing required argument 'file'/],
    ['a console of another kind', ['console', '-t', 'serial', 'nobody'], 2, /choices are pv/],
  ] as const)('%s', async (_, args, status, about) => {
    const ran = await xenner(...args);
    expect(ran).toMatchObject({ status, stdout: '' });
    expect(ran.stderr).toMatch(about);
    expect(ran.stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it.each([
    ['a name that leads elsewhere', 'name = ".."\n', /no name for a domain/],
    ['no such kernel', 'kernel = "/nowhere/vmlinuz"\n', /\/nowhere\/vmlinuz/],
    ['no such disk', 'disk = ["/nowhere/disk,raw,xvda,w"]\n', /\/nowhere\/disk/],
    ['no such bridge', 'vif = ["bridge=nobridge0"]\n', /nobridge0|passt/],
  ])('%s', async (_, more, about) => {
    const ran = await xenner('create', config('broken', more));
    expect(ran).toMatchObject({ stdout: '' });
    expect(ran.stderr).toMatch(about);
    expect(ran.status).toBe(1);
    expect(readdirSync(runDir).filter((name) => /^\d+$|^log/.test(name))).toEqual([]);
  });
});
