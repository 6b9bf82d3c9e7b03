/** Disks of old hosts' guests, laid out by the tools that laid them out then, with a kernel and a ramdisk in the places of theirs. */
import { writeFileSync } from 'node:fs';
import { config, extOf, partitioned } from '../../unit/guestfs/lib/boot-disks.js';
import { run } from '../../unit/guestfs/lib/images.js';

const UUID = '11111111-1111-1111-1111-111111111111';

export interface BootFile {
  readonly kernel: Buffer;
  readonly ramdisk: Buffer;
}

/** CentOS 5: GRUB in a /boot of its own, ext3, behind an MBR of cylinders. */
export function centos(path: string, { kernel, ramdisk }: BootFile): string {
  const files = {
    '/grub/grub.conf': config('centos-5.lst'),
    '/vmlinuz-2.6.18-371.el5xen': kernel,
    '/initrd-2.6.18-371.el5xen.img': ramdisk,
  };
  const boot = extOf(`${path}.boot`, files, ['-t', 'ext3'], 24);
  return partitioned(path, 32, { sfdisk: 'label: dos\n63,49152,83,*\n' }, [[63, boot]]);
}

/** Debian 12: GRUB 2 and all else in one ext4. */
export function debian(path: string, files: BootFile): string {
  return partitioned(path, 32, { sfdisk: 'label: dos\n2048,49152,83,*\n' }, [
    [2048, debianRoot(path, files)],
  ]);
}

function debianRoot(path: string, { kernel, ramdisk }: BootFile): string {
  const files = {
    '/boot/grub/grub.cfg': config('debian-12.cfg'),
    '/boot/vmlinuz-6.1': kernel,
    '/boot/initrd.img-6.1': ramdisk,
  };
  return extOf(`${path}.root`, files, ['-t', 'ext4', '-U', UUID], 24);
}

/** Alpine: extlinux on the third partition of a GPT. */
export function alpine(path: string, { kernel, ramdisk }: BootFile): string {
  const files = {
    '/boot/extlinux.conf': config('alpine.conf'),
    '/boot/vmlinuz-virt': kernel,
    '/boot/initramfs-virt': ramdisk,
    '/boot/extra': Buffer.alloc(512),
  };
  const root = extOf(`${path}.root`, files, ['-t', 'ext4'], 24);
  const sgdisk = ['-a', '1', '-n', '1:2048:+1M', '-n', '2:8192:+1M', '-n', '3:16384:+24M', '-A', '3:set:2'];
  return partitioned(path, 40, { sgdisk }, [[16384, root]]);
}

/** Debian in a logical volume of LVM2, the only partition's. @returns undefined where there are no loop devices */
export function debianOnLvm(path: string, files: BootFile): string | undefined {
  const start = 2048;
  partitioned(path, 40, { sfdisk: `label: dos\n${start},,8e\n` }, []);
  let device: string;
  try {
    device = run('losetup', ['-f', '--show', '-o', `${start * 512}`, path]).trim();
  } catch {
    return undefined;
  }
  try {
    // Of this machine's own volumes and settings nothing is looked at.
    const own = `devices { filter=["a|^${device}$|","r|.*|"] use_devicesfile=0 } backup { backup=0 archive=0 }`;
    const lvm = (command: string, ...words: string[]) =>
      run('lvm', [command, '--config', own, '--driverloaded', 'n', ...words]);
    lvm('vgcreate', '-s', '1M', 'vg', device);
    lvm('lvcreate', '-an', '-Zn', '-Wn', '-L', '24M', '-n', 'root', 'vg');
    const first = Number(lvm('pvs', '--noheadings', '--nosuffix', '--units', 'b', '-o', 'pe_start'));
    const seek = `seek=${start * 512 + first}`;
    run('dd', [
      `if=${debianRoot(path, files)}`,
      `of=${path}`,
      'bs=64k',
      'oflag=seek_bytes',
      seek,
      'conv=notrunc',
    ]);
  } finally {
    run('losetup', ['-d', device]);
  }
  return path;
}

/** GRUB as a PV kernel that has its one entry in itself. */
export function pvGrub(path: string, cmdline: string): string {
  const entry = [
    'set root=(xen/xvda,msdos1)',
    `linux /boot/vmlinuz-6.1 ${cmdline}`,
    'initrd /boot/initrd.img-6.1',
    'boot',
  ];
  writeFileSync(`${path}.cfg`, `${entry.join('\n')}\n`);
  const modules = ['part_msdos', 'ext2', 'linux', 'normal', 'xzio', 'gzio'];
  run('grub-mkimage', ['-O', 'x86_64-xen', '-p', '/', '-c', `${path}.cfg`, '-o', path, ...modules]);
  return path;
}
