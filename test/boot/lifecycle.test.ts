/** How a guest of the library ends and starts again, and how a start fails. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDomain, XennerError } from 'xenner';
import { BOOT_TIMEOUT_MS, BootedGuest, PROMPT } from './lib/guest.js';
import { initramfs, kernel, scratch } from './lib/images.js';

const dir = scratch('lifecycle');
const ramdisk = join(dir, 'initramfs.cpio');
const image = kernel('bookworm');
const kernelPath = 'path' in image ? image.path : '';

beforeAll(() => void initramfs(ramdisk));
afterAll(() => rmSync(dir, { recursive: true }));

describe('a guest', () => {
  it('that reboots starts anew, with new memory', async (ctx) => {
    if ('missing' in image) return ctx.skip(image.missing);
    const guest = await BootedGuest.boot({ kernel: kernelPath, ramdisk });
    let reboots = 0;
    guest.domain.on('reboot', () => reboots++);
    try {
      for (let round = 1; round <= 2; round++) {
        expect((await guest.script.run('test -e /tmp/mark')).status).toBe(1);
        await guest.output('touch /tmp/mark');
        guest.script.send('reboot\n');
        await guest.script.expect(/init: running/, BOOT_TIMEOUT_MS);
        await guest.script.expect(PROMPT, BOOT_TIMEOUT_MS);
        expect(reboots).toBe(round);
      }
      expect(await guest.powerOff()).toEqual({ reason: 'poweroff' });
    } finally {
      await guest.domain.destroy();
    }
  });

  it('that reboots ends where reboots are to end it', async (ctx) => {
    if ('missing' in image) return ctx.skip(image.missing);
    const guest = await BootedGuest.boot({ kernel: kernelPath, ramdisk, onReboot: 'end' });
    guest.script.send('reboot\n');
    expect(await guest.ended).toEqual({ reason: 'reboot' });
  });

  it('that panics reports a crash with registers, stack and code', async (ctx) => {
    if ('missing' in image) return ctx.skip(image.missing);
    const guest = await BootedGuest.boot({ kernel: kernelPath, ramdisk });
    guest.script.send('echo c >/proc/sysrq-trigger\n');
    const { reason, crash } = await guest.ended;
    expect(reason).toBe('crash');
    expect(crash?.registers.rip).toBeGreaterThan(0xffffffff80000000n);
    expect(crash?.stack.length).toBeGreaterThan(0);
    expect(crash?.code.length).toBeGreaterThan(0);
    expect(guest.domain.consoleTail).toMatch(/Kernel panic - not syncing: sysrq triggered crash/);
  });

  it('can be destroyed at any time, twice, and with another one beside it', async (ctx) => {
    if ('missing' in image) return ctx.skip(image.missing);
    const [one, two] = await Promise.all([
      BootedGuest.boot({ kernel: kernelPath, ramdisk }),
      BootedGuest.boot({ kernel: kernelPath, ramdisk }),
    ]);
    await Promise.all([one.domain.destroy(), one.domain.destroy()]);
    expect(await one.ended).toEqual({ reason: 'destroyed' });
    expect(await two.output('echo still here')).toBe('still here\n');
    const young = await createDomain({ kernel: kernelPath, ramdisk });
    await young.destroy();
    expect(await young.wait()).toEqual({ reason: 'destroyed' });
    expect(await two.powerOff()).toEqual({ reason: 'poweroff' });
  });
});

describe('a start fails with one line and a code', () => {
  const text = join(dir, 'text');
  writeFileSync(text, 'This is no kernel.\n'.repeat(1000));

  it.for<{ name: string; config: Parameters<typeof createDomain>[0] }>([
    { name: 'no such kernel', config: { kernel: join(dir, 'nothing') } },
    { name: 'a folder as kernel', config: { kernel: dir } },
    { name: 'text as kernel', config: { kernel: text } },
    { name: 'an ELF program as kernel', config: { kernel: process.execPath } },
    { name: 'an empty kernel', config: { kernel: '/dev/null' } },
    { name: 'no such ramdisk', config: { kernel: kernelPath, ramdisk: join(dir, 'nothing') } },
    { name: 'too little memory', config: { kernel: kernelPath, memoryMiB: 8 } },
    { name: 'memory of no size', config: { kernel: kernelPath, memoryMiB: Number.NaN } },
    { name: 'an endless command line', config: { kernel: kernelPath, cmdline: 'x'.repeat(5000) } },
  ])('$name', async ({ config }, ctx) => {
    if ('missing' in image) return ctx.skip(image.missing);
    const error = await createDomain(config).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(XennerError);
    expect((error as XennerError).code).toMatch(/^E[A-Z_]+$/);
    expect((error as XennerError).code).not.toBe('EINTERNAL');
    expect((error as XennerError).message.trim()).not.toMatch(/\n/);
  });
});
