/** A Debian guest saved, and restored in this process and in others: it goes on where it was. */
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { restoreDomain } from 'xenner';
import { Cli } from './lib/cli.js';
import { BOOT_TIMEOUT_MS, BootedGuest, PROMPT } from './lib/guest.js';
import { initramfs, kernel, scratch } from './lib/images.js';

const dir = scratch('save');
const ramdisk = join(dir, 'initramfs.cpio');
const image = kernel('bookworm');
const kernelPath = 'path' in image ? image.path : '';
const file = join(dir, 'guest.save');
const TIMEOUT_MS = 240_000;

beforeAll(() => void initramfs(ramdisk));
afterAll(() => rmSync(dir, { recursive: true }));

const boot = (vcpus = 1) => BootedGuest.boot({ kernel: kernelPath, ramdisk, vcpus });

/** Saves it, and goes on with it. */
async function again(guest: BootedGuest): Promise<BootedGuest> {
  await guest.domain.save(file);
  expect(await guest.ended).toEqual({ reason: 'saved' });
  return new BootedGuest(await restoreDomain(file));
}

describe.skipIf('missing' in image)('missing' in image ? `skipped: ${image.missing}` : 'a guest', () => {
  it.each([1, 4])('with %i vCPUs goes on, again and again', { timeout: TIMEOUT_MS }, async (vcpus) => {
    let guest = await boot(vcpus);
    try {
      await guest.output('echo before > /tmp/mark');
      for (let round = 1; round <= 3; round++) {
        guest = await again(guest);
        const lines = await guest.output(`echo ${round} >> /tmp/mark; cat /tmp/mark | wc -l; nproc`);
        expect(lines).toBe(`${round + 1}\n${vcpus}\n`);
      }
      expect(await guest.output('dmesg | grep -E "BUG|WARNING:|Oops|rcu.*stall|Stuck" || true')).toBe('');
      expect(await guest.powerOff()).toEqual({ reason: 'poweroff' });
    } finally {
      await guest.domain.destroy();
    }
  });

  it('does not see the time that it was away, but in the wall clock', { timeout: TIMEOUT_MS }, async () => {
    const AWAY_S = 4;
    let guest = await boot();
    try {
      const uptime = async () => Number((await guest.output('cut -d" " -f1 /proc/uptime')).trim());
      const before = await uptime();
      await guest.domain.save(file);
      const asleep = Date.now();
      while (Date.now() - asleep < AWAY_S * 1000) await new Promise((done) => setTimeout(done, 100));
      const restored = performance.now();
      guest = new BootedGuest(await restoreDomain(file));
      const after = await uptime();
      // All that can have passed for the guest is what passed here without the time away, and a slow machine's before that.
      expect(after).toBeGreaterThanOrEqual(before);
      const here = (performance.now() - restored) / 1000;
      expect(after - before - here).toBeLessThan(AWAY_S);
    } finally {
      await guest.domain.destroy();
    }
  });

  it('goes on after a save that it need not have noticed, and there are two then', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const guest = await boot();
    try {
      await guest.output('echo one > /tmp/mark');
      await guest.domain.save(file, { continue: true });
      await guest.output('echo two > /tmp/mark');
      const twin = new BootedGuest(await restoreDomain(file, { verify: true }));
      expect(await twin.output('cat /tmp/mark')).toBe('one\n');
      expect(await guest.output('cat /tmp/mark')).toBe('two\n');
      expect(await twin.powerOff()).toEqual({ reason: 'poweroff' });
      expect(await guest.powerOff()).toEqual({ reason: 'poweroff' });
    } finally {
      await guest.domain.destroy();
    }
  });

  it('is paused, and goes on', { timeout: TIMEOUT_MS }, async () => {
    const guest = await boot(2);
    try {
      await guest.domain.pause();
      await guest.domain.pause();
      guest.script.send('echo typed\n');
      await guest.domain.save(file, { continue: true });
      expect(guest.domain.consoleTail).not.toMatch(/typed\r?\n/);
      await guest.domain.unpause();
      await guest.script.expect(/typed\r?\ntyped\r?\n/);
      await guest.domain.destroy();
      expect(await guest.ended).toEqual({ reason: 'destroyed' });
    } finally {
      await guest.domain.destroy();
    }
  });

  it('reboots after it was restored, and can be destroyed', { timeout: TIMEOUT_MS }, async () => {
    const guest = await again(await boot());
    try {
      guest.script.send('reboot\n');
      await guest.script.expect(/init: running/, BOOT_TIMEOUT_MS);
      await guest.script.expect(PROMPT, BOOT_TIMEOUT_MS);
      await guest.domain.destroy();
      expect(await guest.ended).toEqual({ reason: 'destroyed' });
    } finally {
      await guest.domain.destroy();
    }
  });
});

describe.skipIf('missing' in image)('xenner run --save-on-exit, xenner restore', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s', { timeout: TIMEOUT_MS }, async (signal) => {
    const run = ['run', '--kernel', kernelPath, '--ramdisk', ramdisk, '--cmdline', 'console=hvc0 quiet'];
    const first = new Cli([...run, '--save-on-exit', file]);
    await first.script.expect(PROMPT, BOOT_TIMEOUT_MS);
    first.script.send('echo kept > /tmp/mark; echo mar"ked"\n');
    await first.script.expect(/marked/);
    first.child.kill(signal);
    expect(await first.end()).toEqual({ status: 0, signal: null });
    expect(first.stderr).toBe('');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    for (let round = 0; round < 2; round++) {
      const next = new Cli(['restore', '-F', file, '--save-on-exit', file]);
      next.script.send('cat /tmp/mark; echo ro"und"\n');
      await next.script.expect(/kept\r?\nround/, BOOT_TIMEOUT_MS);
      next.child.kill(signal);
      expect(await next.end()).toEqual({ status: 0, signal: null });
    }
    const last = new Cli(['restore', '-F', '--verify', file]);
    last.script.send('poweroff\n');
    expect(await last.end(BOOT_TIMEOUT_MS)).toEqual({ status: 0, signal: null });
  });
});
