/** Configurations in the shapes that distributions make, on file systems that real tools make: what would be booted. */
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { defaultIndex, extractBoot, selectBoot } from '../../../src/mgmt/guestfs/boot.js';
import { openGuestDisk } from '../../../src/mgmt/guestfs/guest-disk.js';
import { readBootConfig } from '../../../src/mgmt/guestfs/loader/find-config.js';
import { parsePygrubArgs } from '../../../src/mgmt/guestfs/pygrub-options.js';
import { config, extOf, type Files, openImage, partitioned } from './lib/boot-disks.js';
import { missing } from './lib/host-tree.js';
import { closeDisks, openRaw, scratch } from './lib/images.js';

const UUID = '11111111-1111-1111-1111-111111111111';
const needs = missing('mke2fs', 'sfdisk', 'sgdisk');

/** Each file says its own name. */
const kernels = (...paths: string[]): Files =>
  Object.fromEntries(paths.map((path) => [path, `this is ${path}`]));

describe.skipIf(needs)(`boot entries${needs ? ` (${needs})` : ''}`, () => {
  const folder = scratch('boot');
  afterEach(closeDisks);
  afterAll(folder.remove);

  const whole = async (files: Files, options: string[] = []) =>
    openImage(extOf(folder.path('whole'), files, options));
  const mbr = async (files: Files, options: string[] = ['-U', UUID]) => {
    const image = extOf(folder.path('part'), files, options);
    return openImage(
      partitioned(folder.path('disk'), 16, { sfdisk: 'label: dos\n2048,,83,*\n' }, [[2048, image]]),
    );
  };

  const DEBIAN = {
    ...kernels(
      '/boot/vmlinuz-6.1',
      '/boot/initrd.img-6.1',
      '/boot/vmlinuz-5.10',
      '/boot/initrd.img-5.10',
      '/boot/microcode.img',
    ),
    '/boot/grub/grub.cfg': config('debian-12.cfg'),
  };

  it("Debian 12: entries, submenus, the default, and Xen's own entry", async () => {
    const read = await readBootConfig(await mbr(DEBIAN));
    const file = (path: string) => ({ volume: 'hd0,msdos1', path });
    expect(read).toMatchObject({
      loader: 'grub2',
      path: '/boot/grub/grub.cfg',
      volume: 'hd0,msdos1',
      preferred: [0],
      timeoutS: 5,
    });
    expect(read.entries).toEqual([
      {
        title: 'Debian GNU/Linux',
        menus: [],
        kernel: file('/boot/vmlinuz-6.1'),
        ramdisks: [file('/boot/initrd.img-6.1')],
        args: `root=UUID=${UUID} ro quiet splash vt.handoff=7`,
      },
      {
        title: 'Debian GNU/Linux, with Linux 6.1.0-18-amd64',
        menus: ['Advanced options for Debian GNU/Linux'],
        kernel: file('/boot/vmlinuz-6.1'),
        ramdisks: [file('/boot/microcode.img'), file('/boot/initrd.img-6.1')],
        args: `root=UUID=${UUID} ro quiet`,
      },
      {
        title: 'Debian GNU/Linux, with Linux 5.10 (recovery mode)',
        menus: ['Advanced options for Debian GNU/Linux'],
        kernel: file('/boot/vmlinuz-5.10'),
        ramdisks: [file('/boot/initrd.img-5.10')],
        args: 'root=/dev/xvda1 ro single',
      },
      {
        title: 'Debian GNU/Linux, with Xen 4.17-amd64 and Linux 6.1.0-18-amd64',
        menus: ['Advanced options for Debian GNU/Linux (with Xen hypervisor)'],
        kernel: file('/boot/vmlinuz-6.1'),
        ramdisks: [file('/boot/initrd.img-6.1')],
        args: 'placeholder root=/dev/xvda1 ro quiet',
      },
    ]);
  });

  it.each([
    ['a path of ids', 'gnulinux-advanced-1111>gnulinux-5.10-recovery-1111', 2],
    ['a path of numbers', '1>1', 2],
    [
      'a path of titles',
      'Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 5.10 (recovery mode)',
      2,
    ],
    ['a submenu', '1', 1],
    ['an id alone, as nobody should write', 'gnulinux-5.10-recovery-1111', 2],
    ['nothing that there is', 'gone', 0],
  ])('grubenv names %s', async (_name, saved, index) => {
    const block = `# GRUB Environment Block\nnext_entry=${saved}\n`.padEnd(1024, '#');
    const read = await readBootConfig(await mbr({ ...DEBIAN, '/boot/grub/grubenv': block }));
    expect(defaultIndex(read)).toBe(index);
  });

  it('a custom.cfg is included; what it says counts', async () => {
    const custom = `set default='mine'\nset timeout=0\nmenuentry "mine" {\n search --set=root --file /boot/vmlinuz-5.10\n linux ($root)/boot/vmlinuz-5.10 a="b c" 'd e'\n}\n`;
    const read = await readBootConfig(await mbr({ ...DEBIAN, '/boot/grub/custom.cfg': custom }));
    expect(read.entries[defaultIndex(read)]).toMatchObject({ title: 'mine', args: 'a=b c d e' });
    expect(read.timeoutS).toBe(0);
  });

  it('CentOS 7: /boot is a volume of its own, found by its UUID beside one that comes first', async () => {
    const boot = extOf(
      folder.path('p2'),
      {
        ...kernels('/vmlinuz-3.10', '/initramfs-3.10.img', '/vmlinuz-rescue', '/initramfs-rescue.img'),
        '/grub2/grub.cfg': config('centos-7.cfg'),
        '/grub2/grubenv':
          '# GRUB Environment Block\nsaved_entry=CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)\n#####',
      },
      ['-U', '22222222-2222-2222-2222-222222222222'],
    );
    const other = extOf(folder.path('p1'), kernels('/etc/fstab'));
    const image = partitioned(
      folder.path('disk'),
      32,
      { sfdisk: 'label: dos\n2048,16384,83\n20480,16384,83\n' },
      [
        [2048, other],
        [20480, boot],
      ],
    );
    const selection = await selectBoot(await openImage(image), {});
    expect(selection).toMatchObject({
      title: 'CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)',
      cmdline: 'root=/dev/mapper/centos-root ro crashkernel=auto rd.lvm.lv=centos/root LANG=en_US.UTF-8',
      config: { volume: 'hd0,msdos2', timeoutS: 1 },
    });
    expect((await selection.kernel.read(0, 21)).toString()).toBe('this is /vmlinuz-3.10');
  });

  it('Fedora: entries in files of their own, the newest first, with variables of grubenv', async () => {
    const entry = (version: string, more: string) =>
      `title Fedora Linux (${version})\nversion ${version}\nlinux /vmlinuz-${version}\ninitrd /initramfs-${version}.img $tuned_initrd\noptions $kernelopts ${more}\ngrub_users $grub_users\n`;
    const versions = ['5.9.16-200', '5.10.7-200', '5.10.10-200'];
    const image = partitioned(folder.path('disk'), 32, { sgdisk: ['-n1:2048:+1M', '-n2:8192:+16M'] }, [
      [
        8192,
        extOf(
          folder.path('p'),
          {
            ...kernels(
              ...versions.flatMap((version) => [`/vmlinuz-${version}`, `/initramfs-${version}.img`]),
            ),
            '/grub2/grub.cfg': config('fedora.cfg'),
            '/grub2/grubenv':
              '# GRUB Environment Block\nsaved_entry=0123-5.10.7-200\nkernelopts=root=/dev/mapper/fedora-root ro rhgb\nmenu_auto_hide=1\nboot_success=1\n####',
            ...Object.fromEntries(
              versions.map((version) => [`/loader/entries/0123-${version}.conf`, entry(version, 'quiet')]),
            ),
            '/loader/entries/readme': 'title no entry\n',
          },
          ['-U', '33333333-3333-3333-3333-333333333333'],
        ),
      ],
    ]);
    const read = await readBootConfig(await openImage(image));
    expect(read.entries.map(({ title }) => title)).toEqual([
      'Fedora Linux (5.10.10-200)',
      'Fedora Linux (5.10.7-200)',
      'Fedora Linux (5.9.16-200)',
    ]);
    expect(read).toMatchObject({ volume: 'hd0,gpt2', preferred: [1], timeoutS: 1 });
    expect(read.entries[1]).toEqual({
      title: 'Fedora Linux (5.10.7-200)',
      menus: [],
      kernel: { volume: 'hd0,gpt2', path: '/vmlinuz-5.10.7-200' },
      ramdisks: [{ volume: 'hd0,gpt2', path: '/initramfs-5.10.7-200.img' }],
      args: 'root=/dev/mapper/fedora-root ro rhgb quiet',
    });
  });

  it("CentOS 5: GRUB legacy, Xen's own entry, the fallback, another loader", async () => {
    const files = { ...kernels('/vmlinuz-2.6.18-398.el5xen'), '/grub/grub.conf': config('centos-5.lst') };
    const read = await readBootConfig(await mbr(files));
    expect(read).toMatchObject({ loader: 'grub', preferred: [1, 0], timeoutS: 5 });
    expect(read.entries).toEqual([
      {
        title: 'CentOS (2.6.18-398.el5xen)',
        menus: [],
        kernel: { volume: 'hd0,msdos1', path: '/vmlinuz-2.6.18-398.el5xen' },
        ramdisks: [{ volume: 'hd0,msdos1', path: '/initrd-2.6.18-398.el5xen.img' }],
        args: 'ro root=/dev/VolGroup00/LogVol00',
      },
      {
        title: 'CentOS (2.6.18-371.el5) with Xen',
        menus: [],
        kernel: { volume: 'hd0,msdos1', path: '/vmlinuz-2.6.18-371.el5xen' },
        ramdisks: [{ volume: 'hd0,msdos1', path: '/initrd-2.6.18-371.el5xen.img' }],
        args: 'ro root=/dev/VolGroup00/LogVol00 rhgb quiet',
      },
      { title: 'Other', menus: [], ramdisks: [], args: '' },
    ]);
  });

  it.each([
    ['a disk without partitions', whole],
    ['a partition', mbr],
  ])('Debian 5 and EC2: menu.lst on %s', async (_name, make) => {
    const disk = await make({
      ...kernels(
        '/boot/vmlinuz-2.6.26-2-xen-amd64',
        '/boot/initrd.img-2.6.26-2-xen-amd64',
        '/boot/vmlinuz-2.6.18-6-xen-amd64',
      ),
      '/boot/grub/menu.lst': config('debian-5.lst'),
      '/boot/grub/default': '1\n#\n#\n',
    });
    const selection = await selectBoot(disk, {});
    expect(selection).toMatchObject({
      cmdline: 'root=/dev/xvda1 ro single',
      ramdisks: [],
      config: { timeoutS: 3 },
    });
    for (const entry of ['0', '2']) {
      const chosen = await selectBoot(disk, { entry });
      expect((await chosen.kernel.read(0, 8)).toString()).toBe('this is ');
    }
  });

  it('Alpine: extlinux with a menu, an included file, Xen, and ramdisks in its arguments', async () => {
    const read = await readBootConfig(
      await whole({
        ...kernels('/boot/vmlinuz-virt'),
        '/boot/extlinux.conf': config('alpine.conf'),
        '/boot/more.conf': 'label more\n\tlinux ../vmlinuz-more a\n\tappend -\n',
      }),
    );
    const file = (path: string) => ({ volume: 'hd0', path });
    expect(read).toMatchObject({ loader: 'extlinux', preferred: [1], timeoutS: 3 });
    expect(read.entries).toEqual([
      {
        title: 'Linux grsec',
        menus: [],
        kernel: file('/boot/vmlinuz-grsec'),
        ramdisks: [file('/boot/initramfs-grsec')],
        args: 'root=UUID=44444444-4444-4444-4444-444444444444 modules=ext4 quiet rootfstype=ext4',
      },
      {
        title: 'Linux virt',
        menus: [],
        kernel: file('/boot/vmlinuz-virt'),
        ramdisks: [file('/boot/initramfs-virt'), file('/boot/extra')],
        args: 'root=/dev/xvda3 quiet',
      },
      {
        title: 'Xen',
        menus: [],
        kernel: file('/boot/vmlinuz-virt'),
        ramdisks: [file('/boot/initramfs-virt')],
        args: 'root=/dev/xvda3',
      },
      { title: 'memtest', menus: [], ramdisks: [], args: '' },
      { title: 'more', menus: [], kernel: file('/boot/../vmlinuz-more'), ramdisks: [], args: 'a' },
    ]);
  });

  it('the active partition comes first, and a damaged configuration is no reason to stop', async () => {
    const broken = extOf(folder.path('p1'), {
      '/boot/grub/grub.cfg': 'if true; then\nmenuentry "x" {',
      '/boot/grub/menu.lst': 'title first\nkernel /k first',
    });
    const active = extOf(folder.path('p2'), {
      '/boot/grub/grub.cfg': 'menuentry a {\nchainloader +1\n}\n',
      '/boot/grub/menu.lst': 'title second\nkernel /k second',
    });
    const table = { sfdisk: 'label: dos\n2048,16384,83\n20480,16384,83,*\n' };
    const image = partitioned(folder.path('disk'), 32, table, [
      [2048, broken],
      [20480, active],
    ]);
    expect(await readBootConfig(await openImage(image))).toMatchObject({
      volume: 'hd0,msdos2',
      entries: [{ title: 'second' }],
      notes: ['(hd0,msdos2)/boot/grub/grub.cfg has no kernel to boot'],
    });
    // As pygrub's --offset has it.
    const from = async (sector: number) => (await openGuestDisk(await openRaw(image), sector * 512)).volumes;
    const at = async (sector: number) =>
      (await from(sector)).map(({ name, files }) => [name, files !== undefined]);
    expect(await at(2048)).toEqual([['hd0,msdos1', true]]);
    expect(await at(20480)).toEqual([['hd0,msdos2', true]]);
    expect(await at(2049)).toEqual([['hd0', false]]);
    await expect(from(65536)).rejects.toMatchObject({ code: 'EUSAGE' });
    const whole = partitioned(folder.path('whole'), 32, { sfdisk: 'label: dos\n' }, [[3000, broken]]);
    expect((await readBootConfig(await openGuestDisk(await openRaw(whole), 3000 * 512))).volume).toBe('hd0');
  });

  it("pygrub's arguments", async () => {
    const disk = await mbr(DEBIAN);
    const by = async (...argv: string[]) => selectBoot(disk, parsePygrubArgs(argv));
    expect((await by('--entry=2', '--args=console=hvc0')).cmdline).toBe(
      'root=/dev/xvda1 ro single console=hvc0',
    );
    expect(
      (await by('-q', '--entry', 'Debian GNU/Linux', '--output=/x', '--output-format', 'sxp')).title,
    ).toBe('Debian GNU/Linux');
    expect(
      await by('--kernel=/boot/vmlinuz-5.10', '--ramdisk=/boot/initrd.img-5.10', '--args=root=/dev/xvda1'),
    ).toMatchObject({
      title: '/boot/vmlinuz-5.10',
      cmdline: 'root=/dev/xvda1',
      ramdisks: [{ sizeBytes: 29 }],
    });
    await expect(by('--kernel=/nothing')).rejects.toMatchObject({ code: 'EGUEST_NO_FILE' });
    await expect(by('--entry=17')).rejects.toMatchObject({ code: 'EBOOT_NO_ENTRY' });
    for (const wrong of ['--offset=x', '--offset=-1', '--nonsense', '/dev/xvda', '-l', '-n', '--isconfig'])
      await expect(by(wrong), wrong).rejects.toMatchObject({ code: 'EUSAGE' });
    const said: string[] = [];
    const argv = [
      '-i',
      '--debug',
      '--output=-',
      '--output-format=simple',
      '--runas=1000',
      '--offset',
      '32256',
    ];
    expect(parsePygrubArgs(argv, (text) => said.push(text))).toEqual({ isQuiet: false, offset: 32256 });
    expect(said.map((text) => /--\S+?(?=:)/.exec(text)?.[0])).toEqual([
      '--output',
      '--output-format',
      '--runas',
      '--debug',
    ]);
  });

  it("copies kernel and ramdisks into a folder of the user's own, and nothing when it cannot", async () => {
    const disk = await mbr(DEBIAN);
    const extracted = await extractBoot(await selectBoot(disk, { entry: '1' }), dirname(folder.path('x')));
    expect(statSync(extracted.directory).mode & 0o777).toBe(0o700);
    expect(readFileSync(extracted.kernel, 'utf8')).toBe('this is /boot/vmlinuz-6.1');
    expect(readFileSync(extracted.ramdisk!, 'latin1')).toBe(
      'this is /boot/microcode.img\0this is /boot/initrd.img-6.1',
    );
    expect(extracted.entries).toHaveLength(4);
    rmSync(extracted.directory, { recursive: true });

    // Too long a kernel to be in the cache, on a disk that cannot be read any more.
    const selection = await selectBoot(
      await mbr({ ...DEBIAN, '/boot/vmlinuz-6.1': Buffer.alloc(2 ** 20, 'k') }),
      {},
    );
    await closeDisks();
    const before = readdirSync(dirname(folder.path('x')));
    await expect(extractBoot(selection, dirname(folder.path('x')))).rejects.toThrow();
    expect(readdirSync(dirname(folder.path('x')))).toEqual(before);
  });

  it('says what it found when there is nothing to boot', async () => {
    await expect(readBootConfig(await whole({ '/boot/grub/grub.cfg': 'set a=b\n' }))).rejects.toThrow(
      /no boot loader configuration.*\(hd0\)\/boot\/grub\/grub\.cfg has no kernel/,
    );
  });
});
