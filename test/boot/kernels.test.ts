/** Debian's stock kernels, unmodified, from the builder to a shell and a clean power-off. */
import { rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BootedGuest } from './lib/guest.js';
import { initramfs, KERNELS, kernel, scratch } from './lib/images.js';

const dir = scratch('kernels');
const ramdisk = join(dir, 'initramfs.cpio');

/** What a kernel logs when something is wrong with it or with us. */
const COMPLAINTS =
  'BUG|WARNING:|Oops|Call Trace|insecure W.X|unhandled|segfault|general protection|I/O error|soft lockup';

beforeAll(() => void initramfs(ramdisk));
afterAll(() => rmSync(dir, { recursive: true }));

describe.each(KERNELS)('kernel %s', (name) => {
  it('boots to a shell, knows that it is on Xen, and powers off', async (ctx) => {
    const image = kernel(name);
    if ('missing' in image) return ctx.skip(image.missing);
    const guest = await BootedGuest.boot({ kernel: image.path, ramdisk });
    try {
      const release = basename(image.path).replace('vmlinuz-', '');
      expect(await guest.output('uname -r')).toBe(`${release}\n`);
      expect(await guest.output('cat /sys/hypervisor/type')).toBe('xen\n');
      expect(await guest.output('dmesg | grep -c "Hypervisor detected: Xen PV"')).toBe('1\n');
      expect(await guest.output(`dmesg | grep -E "${COMPLAINTS}" || true`)).toBe('');
      const hostBefore = Date.now() / 1000;
      const epoch = Number(await guest.output('date +%s'));
      expect(epoch).toBeGreaterThan(hostBefore - 5);
      expect(epoch).toBeLessThan(Date.now() / 1000 + 1);
      const slept = await guest.output(
        'a=$(cut -d" " -f1 /proc/uptime); sleep 1; cut -d" " -f1 /proc/uptime; echo $a',
      );
      const [after = 0, before = 0] = slept.split('\n').map(Number);
      expect(after - before).toBeGreaterThanOrEqual(1);
      expect(after - before).toBeLessThan(30);
      expect(await guest.powerOff()).toEqual({ reason: 'poweroff' });
    } finally {
      await guest.domain.destroy();
    }
  });
});
