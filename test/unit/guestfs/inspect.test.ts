/** `xenner inspect` on disks, as a user starts it. */
import { afterAll, describe, expect, it } from 'vitest';
import { Cli } from '../../boot/lib/cli.js';
import { config, extOf, partitioned } from './lib/boot-disks.js';
import { missing } from './lib/host-tree.js';
import { blank, run, scratch } from './lib/images.js';

const needs = missing('mke2fs', 'sfdisk', 'qemu-img');
describe.skipIf(needs)(`xenner inspect DISK${needs ? ` (${needs})` : ''}`, () => {
  const folder = scratch('inspect');
  afterAll(folder.remove);

  async function inspect(
    ...args: string[]
  ): Promise<{ stdout: string; stderr: string; status: number | null }> {
    const cli = new Cli(['inspect', ...args]);
    const { status } = await cli.end();
    return { stdout: cli.stdout, stderr: cli.stderr, status };
  }

  it('prints volumes and boot entries, of raw images and others', async () => {
    const uuid = '55555555-5555-5555-5555-555555555555';
    const boot = extOf(folder.path('boot'), { '/grub/grub.conf': config('centos-5.lst') }, [
      '-L',
      'b\x1bt',
      '-U',
      uuid,
    ]);
    const table = { sfdisk: 'label: dos\n2048,16384,83,*\n20480,8192,82\n' };
    const disk = partitioned(folder.path('disk'), 16, table, [[2048, boot]]);
    const raw = await inspect(disk);
    expect(raw).toMatchObject({ status: 0, stderr: '' });
    expect(raw.stdout).toBe(
      `disk of 16.0 MiB, partition table: mbr

hd0,msdos1  8.0 MiB  at 1048576   ext2  type 83, active, label b\\x1bt, uuid ${uuid}
hd0,msdos2  4.0 MiB  at 10485760  -     type 82

boot loader: grub, (hd0,msdos1)/grub/grub.conf, waits 5 s
  0  CentOS (2.6.18-398.el5xen)
     kernel  (hd0,msdos1)/vmlinuz-2.6.18-398.el5xen ro root=/dev/VolGroup00/LogVol00
     ramdisk (hd0,msdos1)/initrd-2.6.18-398.el5xen.img
* 1  CentOS (2.6.18-371.el5) with Xen
     kernel  (hd0,msdos1)/vmlinuz-2.6.18-371.el5xen ro root=/dev/VolGroup00/LogVol00 rhgb quiet
     ramdisk (hd0,msdos1)/initrd-2.6.18-371.el5xen.img
  2  Other
     no kernel
`,
    );
    run('qemu-img', ['convert', '-O', 'qcow2', '-c', disk, folder.path('disk.qcow2')]);
    const qcow2 = await inspect('--json', folder.path('disk.qcow2'));
    expect(JSON.parse(qcow2.stdout)).toMatchObject({
      sizeBytes: 16 * 2 ** 20,
      partitionTable: 'mbr',
      volumes: [{ holds: 'ext2', uuid }, { name: 'hd0,msdos2' }],
      boot: {
        entries: [{ isDefault: false }, { isDefault: true, title: 'CentOS (2.6.18-371.el5) with Xen' }, {}],
      },
    });
  });

  it('a disk with nothing to boot is told as such, and what is no disk as before', async () => {
    const disk = extOf(folder.path('empty'), { '/etc/fstab': '' });
    expect(await inspect(disk)).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/no boot loader configuration/),
    });
    expect(await inspect(blank(folder.path('zeros'), 2 ** 20))).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(/^xenner: .*kernel/),
    });
    expect(await inspect(folder.path('nothing'))).toMatchObject({ status: 1, stdout: '' });
  });
});
