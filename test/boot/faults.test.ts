/** What a guest sees of a host that fails: errors of its disk and silence on its network, and all is well when the host is again. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type BlockImage, blockDevice, type Device, netDevice, openImage, openPasstPort } from 'xenner';
import { BOOT_TIMEOUT_MS, BootedGuest } from './lib/guest.js';
import { drivers, initramfs, kernel, scratch } from './lib/images.js';

const MIB = 2 ** 20;
const dir = scratch('faults');
const ramdisk = join(dir, 'initramfs.cpio');
const image = kernel('bookworm');
const title = 'missing' in image ? `a host (skipped: ${image.missing})` : 'a host';
/** A tmpfs of a size, and a loop device, take root. */
const notRoot = process.getuid!() !== 0;
const timeout = 2 * BOOT_TIMEOUT_MS;

const undo: (() => unknown)[] = [];
beforeAll(() => {
  if (!('missing' in image)) initramfs(ramdisk, { '/lib/drivers': drivers('bookworm') });
});
afterEach(async () => {
  for (const back of undo.splice(0).reverse()) await back();
});
afterAll(() => rmSync(dir, { recursive: true }));

async function boot(devices: readonly Device[], modules: readonly string[]): Promise<BootedGuest> {
  const config = {
    kernel: (image as { path: string }).path,
    ramdisk,
    engine: 'soft',
    memoryMiB: 192,
  } as const;
  const guest = await BootedGuest.boot(config, devices);
  undo.push(() => guest.domain.destroy());
  for (const name of modules) await guest.output(`insmod /lib/drivers/${name}.ko`);
  return guest;
}

/** A guest with that file as its disk. */
async function withDisk(
  path: string,
  format: 'raw' | 'qcow2',
): Promise<{ guest: BootedGuest; disk: BlockImage }> {
  const disk = await openImage(path, { format });
  // A test that cares has closed it by itself.
  undo.push(() => disk.close().catch(() => {}));
  const guest = await boot([blockDevice({ image: disk, name: 'xvda' })], ['xen-blkfront']);
  await guest.output('until [ -b /dev/xvda ]; do sleep 0.1; done');
  return { guest, disk };
}

/** A tmpfs of so many MiB. */
function small(mib: number): string {
  const folder = join(dir, 'small');
  mkdirSync(folder, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'xenner-faults', folder]);
  undo.push(() => execFileSync('umount', [folder]));
  return folder;
}

/** Past the guest's cache. @returns dd's exit status and what it said */
const write = (guest: BootedGuest, mib: number, skip = 0) =>
  guest.script.run(`dd if=/dev/zero bs=1M count=${mib} 2>/dev/null | tr '\\0' x | dd of=/dev/xvda bs=64k seek=${skip * 16} \
    iflag=fullblock conv=fsync`);
const read = (guest: BootedGuest, mib: number) =>
  guest.script.run(`echo 3 >/proc/sys/vm/drop_caches; head -c ${mib * MIB} /dev/xvda | tr -d x | wc -c`);

describe.skipIf('missing' in image)(title, () => {
  it.skipIf(notRoot).each(['raw', 'qcow2'] as const)(
    'whose disk is full: %s',
    { timeout },
    async (format) => {
      const folder = small(16);
      const path = join(folder, `disk.${format}`);
      execFileSync('qemu-img', ['create', '-q', '-f', format, path, '64M']);
      const { guest, disk } = await withDisk(path, format);
      expect(await write(guest, 8)).toMatchObject({ status: 0 });
      const failed = await write(guest, 32, 8);
      expect(failed.output).toMatch(/error/i);
      expect(failed.status).not.toBe(0);
      // What there was is there.
      expect(await read(guest, 8)).toEqual({ output: '0\n', status: 0 });
      execFileSync('mount', ['-o', 'remount,size=96m', folder]);
      expect(await write(guest, 32, 8)).toMatchObject({ status: 0 });
      expect(await read(guest, 40)).toEqual({ output: '0\n', status: 0 });
      expect((await guest.powerOff()).reason).toBe('poweroff');
      await disk.close();
      if (format === 'qcow2') execFileSync('qemu-img', ['check', '-q', path]);
    },
  );

  it.skipIf(notRoot)('whose device fails', { timeout }, async ({ skip }) => {
    const folder = small(16);
    const backing = join(folder, 'backing');
    writeFileSync(backing, Buffer.alloc(8 * MIB, 'x'));
    truncateSync(backing, 64 * MIB);
    const { status, stdout, stderr } = spawnSync('losetup', ['--show', '-f', backing], { encoding: 'utf8' });
    skip(status !== 0, `no loop device: ${stderr}`);
    const loop = stdout.trim();
    undo.push(() => execFileSync('losetup', ['-d', loop]));
    const { guest, disk } = await withDisk(loop, 'raw');
    expect(await read(guest, 8)).toEqual({ output: '0\n', status: 0 });
    // The page cache takes it; what the device cannot keep comes out when it is flushed. Linux takes a flush that fails for one
    // that is not supported, and says that all is well: so from then on nothing can be written.
    await write(guest, 32, 8);
    expect((await write(guest, 1)).output).toMatch(/error/i);
    // The kernel answers with EIO what lies beyond the end of a loop's file.
    truncateSync(backing, 4 * MIB);
    execFileSync('blockdev', ['--flushbufs', loop]);
    expect((await read(guest, 8)).output).toMatch(/Input\/output error/);
    expect(await read(guest, 4)).toEqual({ output: '0\n', status: 0 });
    expect((await guest.powerOff()).reason).toBe('poweroff');
    await expect(disk.close()).rejects.toMatchObject({ code: 'EIO' });
  });

  it('where somebody makes the image shorter', { timeout }, async () => {
    const path = join(dir, 'shrinks.raw');
    writeFileSync(path, Buffer.alloc(16 * MIB, 'x'));
    const { guest, disk } = await withDisk(path, 'raw');
    truncateSync(path, 4 * MIB);
    expect((await read(guest, 16)).output).toMatch(/Input\/output error/);
    expect(await read(guest, 4)).toEqual({ output: '0\n', status: 0 });
    expect(await write(guest, 16)).toMatchObject({ status: 0 });
    expect(await read(guest, 16)).toEqual({ output: '0\n', status: 0 });
    expect((await guest.powerOff()).reason).toBe('poweroff');
    await disk.close();
  });

  it('whose passt is killed', { timeout }, async () => {
    const before = children();
    const port = await openPasstPort();
    undo.push(() => port.close());
    const [passt] = children().filter((pid) => !before.includes(pid));
    const nic = netDevice(port, { mac: '00:16:3e:00:00:01', handle: 0 });
    const guest = await boot([nic], ['xen-netfront']);
    await guest.output('until [ -d /sys/class/net/eth0 ]; do sleep 0.1; done; ip link set eth0 up');
    expect(await guest.output('udhcpc -nq -i eth0 -s /bin/true 2>&1')).toMatch(/obtained/);
    process.kill(passt!, 'SIGKILL');
    while (children().includes(passt!)) await delay(20);
    expect((await guest.script.run('udhcpc -nq -t 2 -T 1 -i eth0 -s /bin/true 2>&1')).output).toMatch(
      /no lease/,
    );
    expect(await guest.output('echo $((6 * 7))')).toBe('42\n');
    await guest.domain.detach(nic);
    await guest.output('until [ ! -d /sys/class/net/eth0 ]; do sleep 0.1; done');
    const another = await openPasstPort();
    undo.push(() => another.close());
    guest.domain.attach(netDevice(another, { mac: '00:16:3e:00:00:01', handle: 0 }));
    await guest.output('until [ -d /sys/class/net/eth0 ]; do sleep 0.1; done; ip link set eth0 up');
    expect(await guest.output('udhcpc -nq -i eth0 -s /bin/true 2>&1')).toMatch(/obtained/);
    expect((await guest.powerOff()).reason).toBe('poweroff');
  });
});

/** Processes that this one has started. */
function children(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          / \(passt[^)]*\) [A-Z] (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1] ===
          `${process.pid}`
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}
