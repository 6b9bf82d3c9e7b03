/** Guests of up to 4 GiB see the memory that they were given, and it holds what is written to it. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDomain } from 'xenner';
import { BootedGuest } from './lib/guest.js';
import { compile, initramfs, kernel, scratch } from './lib/images.js';

const dir = scratch('memory');
const ramdisk = join(dir, 'initramfs.cpio');
const image = kernel('bookworm');

/** What the kernel itself and its table of pages take; the rest has to be the user's. */
const kernelShareMiB = (memoryMiB: number) => 64 + memoryMiB / 32;

beforeAll(() => void initramfs(ramdisk, { '/bin/fill': compile('fill', join(dir, 'fill')) }));
afterAll(() => rmSync(dir, { recursive: true }));

it('a guest too small for its kernel is refused with what it needs', async (ctx) => {
  if ('missing' in image) return ctx.skip(image.missing);
  const refused = createDomain({ kernel: image.path, ramdisk, memoryMiB: 64 });
  await expect(refused).rejects.toThrow(/kernel \(\d+ MiB\).* need \d+ MiB.* 64 MiB; give it more memory$/);
});

describe.each([100, 256, 1024, 4096])('a guest of %d MiB', (memoryMiB) => {
  it('boots and can use it', async (ctx) => {
    if ('missing' in image) return ctx.skip(image.missing);
    const guest = await BootedGuest.boot({ kernel: image.path, ramdisk, memoryMiB });
    try {
      const total = Number(await guest.output("awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo"));
      expect(total).toBeLessThanOrEqual(memoryMiB);
      expect(total).toBeGreaterThanOrEqual(memoryMiB - kernelShareMiB(memoryMiB));
      const free = Number(await guest.output("awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo"));
      const fill = Math.max(1, Math.floor(free * 0.6));
      expect(await guest.output(`fill ${fill}`)).toBe(`${fill * 256} pages kept what was written\n`);
      expect((await guest.powerOff()).reason).toBe('poweroff');
    } finally {
      await guest.domain.destroy();
    }
  });
});
