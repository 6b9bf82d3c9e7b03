/** xl and we make the same of a configuration, or both refuse it. */
import { readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { toLibxl } from '../../../../src/mgmt/domain/config/json.js';
import { readConfig } from '../../../../src/mgmt/domain/config/read.js';
import { bootable } from '../../../../src/mgmt/domain/definition.js';
import { fuzzSettings, Random } from '../../../fuzz/random.js';
import { xlTool } from './xl-tool.js';

const xl = xlTool();
const CORPUS = fileURLToPath(new URL('corpus/', import.meta.url));
const HEAD = 'name = "n"\nkernel = "/k"\nmemory = 256\nvcpus = 1\n';

/** What we have no word for, and what is random. */
const THEIRS: Readonly<Record<string, readonly string[]>> = {
  '': ['vfbs', 'vkbs', 'pcidevs', 'vtpms', 'channels'],
  c_info: ['driver_domain', 'run_hotplug_scripts', 'ssid_label', 'ssidref'],
  b_info:
    'claim_mode numa_placement nomigrate disable_migrate tsc_mode localtime rtc_timeoffset cpuid vcpu_hard_affinity vcpu_soft_affinity max_grant_frames type.pv arch_arm arch_x86 device_model_version exec_ssidref'.split(
      ' ',
    ),
};

function comparable(config: Record<string, unknown>, uuid: boolean): unknown {
  const copy = structuredClone(config) as Record<string, Record<string, unknown>>;
  for (const [of, names] of Object.entries(THEIRS)) {
    for (const name of names) delete (of === '' ? copy : copy[of])?.[name];
  }
  if (!uuid) delete copy.c_info?.uuid;
  const built = copy.b_info ?? {};
  if (built.cmdline === '') delete built.cmdline;
  if (typeof built.bootloader === 'string') built.bootloader = basename(built.bootloader);
  // A drive that is empty by its format still has the path that was said.
  for (const disk of (copy.disks ?? []) as unknown as Record<string, unknown>[]) {
    if (disk.pdev_path === '') delete disk.pdev_path;
    else if (typeof disk.pdev_path === 'string') disk.pdev_path = resolve('/', disk.pdev_path);
    // libxl's backendtype and flags do not show in what a guest has.
    for (const name of ['backend', 'direct_io_safe', 'trusted', 'grant_usage']) delete disk[name];
  }
  for (const nic of (copy.nics ?? []) as unknown as Record<string, unknown>[]) delete nic.nictype;
  return copy;
}

function expectSame(text: string): void {
  const theirs = xl!(text);
  const { definition } = readConfig(Buffer.from(text), { folder: '/' });
  const ours = bootable(definition) ? toLibxl(definition) : undefined;
  const uuid = /^uuid\b/m.test(text);
  const their = 'config' in theirs ? comparable(theirs.config, uuid) : undefined;
  const our = ours && comparable(ours, uuid);
  expect(our, `${text}\n${JSON.stringify(theirs)}\n${JSON.stringify(definition.notes)}`).toEqual(their);
}

describe.skipIf(xl === undefined)('beside xl (skipped where xen-utils cannot be downloaded)', () => {
  it.each(['xl-pv.cfg', 'xl-pvgrub.cfg', 'xm-etch-web1.cfg', 'xen-tools-wheezy.cfg'])('%s', (name) => {
    // The shim has no CPUs to choose from. xl has no vcpus where none are said; it leaves relative targets alone, and xm's block scripts look in /dev.
    const text = readFileSync(CORPUS + name, 'utf8')
      .replace(/phy:(?!\/)/g, 'phy:/dev/')
      .replace(/^cpus.*$/m, '');
    expectSame(/^vcpus/m.test(text) ? text : `${text}\nvcpus = 1\n`);
  });

  it.each([
    'vcpus=2\nmaxvcpus=4',
    'vcpus=4\nmaxvcpus=2',
    'vcpus="0x2"',
    'memory="512"',
    'memory=01000',
    'maxmem=1024',
    'on_crash="preserve"\non_reboot="destroy"\non_poweroff="rename-restart"\non_watchdog="coredump-restart"',
    'on_crash="explode"',
    'on_reboot="soft-reset"\non_soft_reset="destroy"',
    'root="/dev/xvda1 ro"',
    'root="/dev/xvda1"\nextra="quiet"',
    'extra=""',
    'root="a"\nextra="b"\ncmdline="c"',
    'extra="a\\tb \\\\ \\"q\\""',
    "extra='it\"s'",
    'ramdisk="/r"',
    'bootloader="pygrub"\nbootloader_args=["--kernel=/a b", "-q"]',
    'bootloader="pygrub"\nbootloader_args="-q  --entry=1"',
    'cpu_weight=512\ncap=50',
    'uuid="01234567-89ab-cdef-0123-456789ABCDEF"',
    'uuid="0123"',
    'type="pv"',
    'type="hvm"\nbuilder="generic"',
    'builder="generic"',
    'builder="nonsense"',
    'disk=[]\nvif=[]',
    'vif=["",""]',
    'vif=["mac=00:16:3e:0:1:2"]',
    'vif=["bridge=a, script=b,ip=1.2.3.4 5.6.7.8,vifname=v,model=e1000,gatewaydev=g,mtu=1400,devid=3"]',
    'vif=["mac=00:16:3e:00:00:01","mac=00:16:3e:00:00:02",]',
    'memory = 300; vcpus = 3',
    'memory = 300 # MiB\n# vcpus = 2\n\n   vcpus = 1',
    'disk = [ "file:/a,xvda,w",\n  # a comment\n  "file:/b,xvdb,w"\n ]',
  ])('%s', (text) => {
    expectSame(HEAD + text);
  });

  it.each([
    '10Mb/s',
    '250KB/s',
    '1MB/s@20ms',
    '1GB/s',
    '800b/s',
    '100B/s@1s',
    '1MB/s@100',
    '5Mb/s@3us',
    '1234567Kb/s@7ms',
  ])('rate=%s', (rate) => {
    expectSame(`${HEAD}vif=["rate=${rate}"]`);
  });

  it.each([
    '/dev/vg/guest-volume,,hda',
    '/dev/vg/guest-volume,raw,hda,rw',
    'format=raw, vdev=hda, access=rw, target=/dev/vg/guest-volume',
    'raw:/dev/vg/guest-volume,hda,w',
    '/root/image.iso,,hdc,cdrom',
    '/root/image.iso,,hdc,,cdrom',
    '/root/image.iso,raw,hdc,devtype=cdrom',
    'format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/image.iso',
    'raw:/root/image.iso,hdc:cdrom,ro',
    ',hdc:cdrom,r',
    ',empty,hdc:cdrom,r',
    'vdev=hdc,cdrom',
    'tap:aio:/a/b,xvda1,w',
    'tap:qcow2:/a/b,xvda,r',
    'tap2:vhd:/a/b,xvda,w',
    'tapdisk:/a,xvda,w',
    'file:/a,sda1,w',
    'phy:/dev/sda7,xvda7,w',
    '/a,qcow2,xvda,w,discard',
    '/a,qed,xvda,no-discard,ro',
    '/a,qcow,xvda',
    'vdev=xvda,target=/a, b = c,,',
    'target=/a,vdev=xvda',
    '/a,vhdx,xvda',
    '/a,raw,xvda,rx',
    '/a,raw,xvda,rw,more',
    'bogus:/a,xvda,w',
    'vdev=xvda',
    '/a,raw',
    '/a',
    'vdev=xvda,bogus=1,target=/a',
    'devtype=floppy,vdev=xvda,target=/a',
    'vdev=xvda,format=qcow2,format=raw,target=/a',
    'vdev=xvda,vdev=xvdb,target=/a',
    '/a,raw,xvda,w,target=/b',
    'direct-io-safe,/a,raw,xvda,w',
    '',
  ])('disk %s', (spec) => {
    expectSame(`${HEAD}disk=[${JSON.stringify(spec)}]`);
  });

  it.each([
    ['xl passes over what is no number', 'memory="a"'],
    ['to xl, a rate of no byte in its interval is none', 'vif=["rate=8b/s"]'],
  ])('we alone refuse: %s', (_, text) => {
    expect(xl!(HEAD + text)).toHaveProperty('config');
    expect(bootable(readConfig(Buffer.from(HEAD + text)).definition)).toBe(false);
  });

  it.each([
    ['\\x41, which xl means to take (NUMERIC_CHAR in libxlu_cfg.c)', 'extra="\\x41"'],
    ['an access that xm had', 'disk=["phy:/dev/a,xvda,w!"]'],
    ['names in capitals, which are variables to xm', 'A="b"\nextra=A'],
  ])('xl alone refuses: %s', (_, text) => {
    expect(xl!(HEAD + text)).toHaveProperty('refused');
    expect(bootable(readConfig(Buffer.from(HEAD + text)).definition)).toBe(true);
  });

  it('disks put together by chance', () => {
    const { cases, seed } = fuzzSettings(100);
    const random = new Random(seed);
    const parts = [
      'raw',
      'qcow2',
      '',
      'xvda',
      'hdc:cdrom',
      'w',
      'ro',
      'cdrom',
      'discard',
      'vdev=xvdb',
      'access=r',
    ];
    const starts = ['file:/a', '/dev/b', 'tap:aio:/c', 'phy:/dev/d', 'raw:/e', '', 'format=vhd', 'qcow2:/f'];
    for (let i = 0; i < cases; i++) {
      const words = [random.pick(starts)];
      while (random.below(5) !== 0 && words.length < 6) words.push(random.pick(parts));
      if (random.below(4) === 0) words.push('target=/x,y');
      const spec = words.join(random.pick([',', ', ']));
      const text = `${HEAD}disk=[${JSON.stringify(spec)}]`;
      // libxl looks at the device's name, and for its medium, only when it makes the device.
      const theirs = xl!(text);
      const [disk] = 'config' in theirs ? (theirs.config.disks as Record<string, string>[]) : [];
      const later = !/^(?:xvd|hd)/.test(disk?.vdev ?? '') || !(disk?.pdev_path || disk?.is_cdrom);
      if (disk !== undefined && later) {
        expect(bootable(readConfig(Buffer.from(text)).definition), text).toBe(false);
      } else {
        expectSame(text);
      }
    }
  });
});
