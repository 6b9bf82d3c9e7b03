/** What a disk's back end writes into guest memory is what the guest runs, whatever it ran there before. */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { blockDevice, openImage } from 'xenner';
import { BootedGuest } from './lib/guest.js';
import { compile, drivers, initramfs, kernel, scratch } from './lib/images.js';

const PAGE = 4096;
const PAGES = 8;
const ROUNDS = 4;
/** As they are read: the first half of a page gives one of them, the other half the other. */
const NUMBERS = Array.from({ length: PAGES * ROUNDS }, (_, i) => `${i % PAGES} ${100 + (i % PAGES)}\n`);
const dir = scratch('disk-code');
const ramdisk = join(dir, 'initramfs.cpio');

/** mov eax, number; ret */
function returning(number: number): Buffer {
  const code = Buffer.from([0xb8, 0, 0, 0, 0, 0xc3]);
  code.writeUInt32LE(number, 1);
  return code;
}

beforeAll(() => {
  const bytes = Buffer.alloc(PAGES * PAGE);
  for (let i = 0; i < PAGES; i++) {
    returning(i).copy(bytes, i * PAGE);
    returning(100 + i).copy(bytes, i * PAGE + PAGE / 2);
  }
  writeFileSync(join(dir, 'disk.raw'), bytes);
  execFileSync('qemu-img', ['convert', '-Oqcow2', join(dir, 'disk.raw'), join(dir, 'disk.qcow2')]);
});
afterAll(() => rmSync(dir, { recursive: true }));

it.each([
  { format: 'raw', vcpus: 1 },
  { format: 'qcow2', vcpus: 2 },
] as const)('code from a disk, $format, $vcpus vCPUs', { timeout: 200_000 }, async ({ format, vcpus }) => {
  const image = kernel('bookworm');
  if ('missing' in image) throw new Error(image.missing);
  initramfs(ramdisk, {
    '/bin/disk-code': compile('disk-code', join(dir, 'disk-code')),
    '/lib/drivers': drivers('bookworm'),
  });
  const disk = await openImage(join(dir, `disk.${format}`), { format });
  const device = blockDevice({ image: disk, name: 'xvda' });
  const guest = await BootedGuest.boot({ kernel: image.path, ramdisk, vcpus, memoryMiB: 256 }, [device]);
  try {
    await guest.output('insmod /lib/drivers/xen-blkfront.ko; until [ -b /dev/xvda ]; do sleep 0.1; done');
    expect(await guest.output('disk-code /dev/xvda')).toBe(NUMBERS.join(''));
    await guest.powerOff();
  } finally {
    await guest.domain.destroy();
    await disk.close();
  }
});
