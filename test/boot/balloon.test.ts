/** Memory that a guest gives back is the host's, by the kernel's own count, and the guest gets it back when it may. */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Domain, restoreDomain } from 'xenner';
import { BOOT_TIMEOUT_MS, BootedGuest } from './lib/guest.js';
import { compile, initramfs, kernel, scratch } from './lib/images.js';

const dir = scratch('balloon');
const ramdisk = join(dir, 'initramfs.cpio');
const image = kernel('bookworm');
const title = 'missing' in image ? `a guest (skipped: ${image.missing})` : 'a guest';
const PAGES_PER_MIB = 256;
const TIMEOUT_MS = 4 * BOOT_TIMEOUT_MS;

beforeAll(() => void initramfs(ramdisk, { '/bin/fill': compile('fill', join(dir, 'fill')) }));
afterAll(() => rmSync(dir, { recursive: true }));

/** Guest memory that is in the host's, in MiB: a memfd's, or what a restored guest has written to. */
function inUse(kind: 'RssShmem' | 'RssAnon'): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(new RegExp(`^${kind}:\\s+(\\d+) kB$`, 'm').exec(status)![1]) / 1024;
}

const current = (domain: Domain, memoryMiB: number) => memoryMiB - domain.stats().freePages / PAGES_PER_MIB;

/** Asks for so much, and waits until the guest has it. */
async function balloon({ domain }: BootedGuest, ofMiB: number, targetMiB: number): Promise<void> {
  domain.control.setMemory(targetMiB);
  while (current(domain, ofMiB) !== targetMiB) await delay(50);
}

const fill = async (guest: BootedGuest, mib: number) =>
  expect(await guest.output(`fill ${mib}`)).toBe(`${mib * PAGES_PER_MIB} pages kept what was written\n`);

describe.skipIf('missing' in image)(title, () => {
  const boot = (memoryMiB: number) =>
    BootedGuest.boot({ kernel: (image as { path: string }).path, ramdisk, memoryMiB, engine: 'soft' });

  it('gives memory back, is saved without it, and has it again', { timeout: TIMEOUT_MS }, async () => {
    let guest = await boot(512);
    try {
      await fill(guest, 320);
      const before = inUse('RssShmem');
      expect(before).toBeGreaterThan(320);
      await balloon(guest, 512, 160);
      // What Xen's tables take is small.
      expect(inUse('RssShmem')).toBeLessThan(168);
      await fill(guest, 48);
      expect(inUse('RssShmem')).toBeLessThan(168);

      const file = join(dir, 'small.save');
      await guest.domain.save(file);
      expect(statSync(file).blocks / 2048).toBeLessThan(168);
      guest = new BootedGuest(await restoreDomain(file, { engine: 'soft' }));
      expect(current(guest.domain, 512)).toBe(160);
      const restored = inUse('RssAnon');
      await balloon(guest, 512, 512);
      await fill(guest, 320);
      const full = inUse('RssAnon');
      expect(full - restored).toBeGreaterThan(320);
      await balloon(guest, 512, 160);
      expect(full - inUse('RssAnon')).toBeGreaterThan(250);
      await fill(guest, 48);
      expect((await guest.powerOff()).reason).toBe('poweroff');
    } finally {
      await guest.domain.destroy();
    }
  });

  it('asked for more than it can give gives what it can, and lives', { timeout: TIMEOUT_MS }, async () => {
    const guest = await boot(160);
    try {
      guest.domain.control.setMemory(1);
      // The kernel keeps what it cannot do without; whatever it finds itself unable to run must not be its end.
      while (current(guest.domain, 160) > 100) await delay(50);
      expect(await guest.output('echo $((6 * 7))')).toBe('42\n');
      expect(await guest.output('echo $((6 * 7))')).toBe('42\n');
      await balloon(guest, 160, 160);
      await fill(guest, 48);
      expect((await guest.powerOff()).reason).toBe('poweroff');
    } finally {
      await guest.domain.destroy();
    }
  });

  it('is asked for no more than it may have', { timeout: TIMEOUT_MS }, async () => {
    const guest = await boot(160);
    try {
      for (const memoryMiB of [0, 161, -1, 1.5, Number.NaN, Infinity])
        expect(() => guest.domain.control.setMemory(memoryMiB)).toThrow(/1 to 160 can be its target/);
      // Written to xenstore by somebody else: the guest asks for frames, and there are none.
      const store = guest.domain.xenstore.client();
      store.write('/local/domain/1/memory/target', 4096 * 1024);
      store.close();
      await fill(guest, 48);
      expect(guest.domain.stats().freePages).toBe(0);
      expect((await guest.powerOff()).reason).toBe('poweroff');
    } finally {
      await guest.domain.destroy();
    }
  });
});
