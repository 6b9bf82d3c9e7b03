/**
 * A folder as people have them: disks that tools of others made, in the formats of others, and configurations in the words of xm, xl
 * and libvirt. All of them are booted at the same time, each by `xenner create FILE`.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { qemuImg } from '../unit/storage/scratch.js';
import type { Cli } from './lib/cli.js';
import { BOOT_TIMEOUT_MS } from './lib/guest.js';
import { drivers, initramfs, ROOT } from './lib/images.js';
import { kernelPath, LiveHost, missing, nobody, onConsole, output, xenner } from './lib/life.js';
import { alpine, centos, debian, debianOnLvm, pvGrub } from './lib/old-disks.js';

const host = new LiveHost('folder');
const { dir, ramdisk } = host;
const at = (name: string) => join(dir, name);
const title = missing === undefined ? 'a folder' : `a folder (skipped: ${missing})`;
const TIMEOUT_MS = 8 * BOOT_TIMEOUT_MS;

afterEach(() => host.destroyAll());
afterAll(() => host.remove());

/** One configuration, and what its guest has to show. */
interface Machine {
  readonly name: string;
  /** Behind `xenner create`. */
  readonly words: readonly string[];
  readonly cmdline: string;
  /** What the tools put on the disk. */
  readonly raw: string;
}

function written(name: string, text: string): string {
  writeFileSync(at(name), text);
  return at(name);
}

/** xm's: Python. */
function xmCentos(raw: string): Machine {
  const cfg = `import os.path
dom = "old%d" % 1
base = os.path.join("${dir}", "")
name = dom
memory = 64 * 2
bootloader = "/usr/bin/pygrub"
disk = []
for part in ["xvda"]:
    disk.append("file:%s%s.img,%s,w" % (base, "centos", part))
vif = [ '' ]
on_crash = 'preserve'
`;
  const cmdline = 'ro root=/dev/VolGroup00/LogVol00 rhgb quiet';
  return { name: 'old1', words: [written('old1', cfg)], cmdline, raw };
}

/** xl's, with a qcow2 over a compressed one. */
function xlDebian(raw: string): Machine {
  qemuImg('convert', '-c', '-O', 'qcow2', raw, at('base.qcow2'));
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', at('debian.qcow2'));
  const cfg = `name = "debian"\nmemory = 128\nbootloader = 'pygrub'\nbootloader_args = [ '-q', '--output-format=sxp' ]
disk = [ 'tap:qcow2:${at('debian.qcow2')},xvda,w' ]\n`;
  const cmdline = 'root=UUID=11111111-1111-1111-1111-111111111111 ro quiet splash vt.handoff=7';
  return { name: 'debian', words: [written('debian.cfg', cfg)], cmdline, raw };
}

/** libvirt's, as virt-install has it, with a VHD. */
function libvirtAlpine(raw: string): Machine {
  qemuImg('convert', '-O', 'vpc', '-o', 'subformat=dynamic,force_size=on', raw, at('alpine.vhd'));
  const xml = `<domain type="xen">
  <name>alpine</name>
  <memory>131072</memory>
  <vcpu>2</vcpu>
  <bootloader>/usr/bin/pygrub</bootloader>
  <os><type arch="x86_64" machine="xenpv">linux</type></os>
  <on_reboot>restart</on_reboot>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="vpc" cache="writethrough"/>
      <source file="${at('alpine.vhd')}"/>
      <target dev="xvda" bus="xen"/>
    </disk>
    <interface type="network"><source network="default"/><mac address="00:16:3e:11:22:33"/></interface>
    <console type="pty"><target type="xen"/></console>
  </devices>
</domain>
`;
  return {
    name: 'alpine',
    words: [written('alpine.xml', xml)],
    cmdline: 'root=/dev/xvda3 quiet',
    raw,
  };
}

/** An image that is encrypted. */
function encrypted(raw: string): Machine {
  const key = written('key', 'a password');
  const luks = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10';
  qemuImg(
    'convert',
    '--object',
    `secret,id=s,file=${key}`,
    '-O',
    'qcow2',
    '-o',
    luks,
    raw,
    at('crypt.qcow2'),
  );
  const cfg = `name = "crypt"\nmemory = 128\nbootloader = "pygrub"
disk = [ 'format=qcow2,vdev=sda,access=rw,password-file=${key},target=${at('crypt.qcow2')}' ]\n`;
  const cmdline = 'ro root=/dev/VolGroup00/LogVol00 rhgb quiet';
  return { name: 'crypt', words: [written('crypt.cfg', cfg)], cmdline, raw };
}

function ofCfg(name: string, raw: string, boot: string, cmdline: string): Machine {
  const cfg = `name = "${name}"\nmemory = 128\n${boot}\ndisk = [ '${raw},raw,xvda,r' ]\n`;
  return { name, words: [written(`${name}.cfg`, cfg)], cmdline, raw };
}

/** Xen's own example; what is of the host in it is said in the words behind it. */
function xenExample(raw: string): Machine | undefined {
  const script = join(ROOT, 'scripts/lib/xl-examples.sh');
  const { status, stdout } = spawnSync('bash', [script], { encoding: 'utf8', timeout: 110_000 });
  if (status !== 0) return undefined;
  const boot = [`kernel="${kernelPath}"`, `ramdisk="${ramdisk}"`, `disk=["${raw},raw,xvda,rw"]`];
  const words = [join(stdout.trim(), 'xlexample.pvlinux'), ...boot];
  return { name: 'example.pvlinux', words, cmdline: 'root=/dev/xvda1', raw };
}

/** At the shell: what it was booted with, and that all of its disk is what was put there. What xl calls sda is Linux's xvda too. */
async function look({ script }: Cli, { raw, name, cmdline }: Machine): Promise<void> {
  expect((await script.run('cat /proc/cmdline')).output.trim(), name).toBe(cmdline);
  const disk = 'insmod /lib/drivers/xen-blkfront.ko; until [ -b /dev/xvda ]; do sleep 0.1; done';
  const { output: sum } = await script.run(
    `dmesg -n 1; ${disk}; head -c ${statSync(raw).size} /dev/xvda | md5sum`,
    BOOT_TIMEOUT_MS,
  );
  expect(sum.slice(0, 32), name).toBe(createHash('md5').update(readFileSync(raw)).digest('hex'));
}

describe.skipIf(missing !== undefined)(title, { timeout: TIMEOUT_MS }, () => {
  beforeAll(() => void initramfs(ramdisk, { '/lib/drivers': drivers('bookworm') }));

  it('of old guests runs', async () => {
    const files = { kernel: readFileSync(kernelPath), ramdisk: readFileSync(ramdisk) };
    const onCentos = centos(at('centos.img'), files);
    const onDebian = debian(at('debian.img'), files);
    const onLvm = debianOnLvm(at('lvm.img'), files);
    const grub = `kernel = "${pvGrub(at('grub-x86_64-xen.bin'), 'console=hvc0 quiet pvgrub')}"`;
    const uuid = 'root=UUID=11111111-1111-1111-1111-111111111111 ro quiet splash vt.handoff=7';
    const machines = [
      xmCentos(onCentos),
      xlDebian(onDebian),
      libvirtAlpine(alpine(at('alpine.img'), files)),
      encrypted(onCentos),
      ofCfg('pvgrub', onDebian, grub, 'console=hvc0 quiet pvgrub'),
      onLvm && ofCfg('lvm', onLvm, 'bootloader = "pygrub"', uuid),
      xenExample(host.disk('guest-volume')),
    ].filter((machine): machine is Machine => Boolean(machine));
    for (const { words, name } of machines) {
      const { status, stderr } = await xenner('create', ...words);
      expect(status, `${name}: ${stderr}`).toBe(0);
    }
    const list = JSON.parse(await output('list', '--json')) as { name: string }[];
    expect(list.map(({ name }) => name)).toEqual(machines.map(({ name }) => name));
    for (const machine of machines) await onConsole(machine.name, (cli) => look(cli, machine));
    await output('shutdown', '-a', '-w');
    await nobody();
  });

  it('with CDs runs, and nobody writes to them', async () => {
    const cd = Buffer.alloc(1024 * 1024, 'a CD');
    writeFileSync(at('cd.iso'), cd);
    // A drive without a medium is left out.
    const drives = [
      `file:${at('cd.iso')},hdc:cdrom,r`,
      `vdev=xvdd,access=w,cdrom,target=${at('cd.iso')}`,
      'vdev=xvde,cdrom',
    ];
    await output('create', host.config('cd', `disk = ${JSON.stringify(drives)}\n`));
    await onConsole('cd', async ({ script }) => {
      const wait = 'until [ -b /dev/xvdc ] && [ -b /dev/xvdd ]; do sleep 0.1; done';
      await script.run(`dmesg -n 1; insmod /lib/drivers/xen-blkfront.ko; ${wait}`);
      const sum = createHash('md5').update(cd).digest('hex');
      expect((await script.run('cd /dev; md5sum xvdc xvdd; cd')).output).toBe(`${sum}  xvdc\n${sum}  xvdd\n`);
      expect((await script.run('cat /sys/block/xvd*/ro')).output).toBe('1\n1\n');
      expect((await script.run('echo x >/dev/xvdd')).output).toMatch(/not permitted/);
    });
    expect(readFileSync(at('cd.iso')).equals(cd)).toBe(true);
    await output('destroy', 'cd');
  });
});
