/** A guest that works hard is saved and restored many times, and notices nothing: neither its memory, its FPU nor its clocks. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { restoreDomain } from 'xenner';
import { BootedGuest } from './lib/guest.js';
import { compile, initramfs, kernel, scratch } from './lib/images.js';

const dir = scratch('save-load');
const ramdisk = join(dir, 'initramfs.cpio');
const image = kernel('bookworm');
const file = join(dir, 'guest.save');
const ROUNDS = 12;
const TIMEOUT_MS = 300_000;

beforeAll(() => {
  const steady = compile('steady', join(dir, 'steady'));
  initramfs(ramdisk, { '/bin/steady': steady });
});
afterAll(() => rmSync(dir, { recursive: true }));

it.for([
  { vcpus: 1, fastPaths: true },
  { vcpus: 4, fastPaths: true },
  { vcpus: 2, fastPaths: false },
])('$vcpus vCPUs, fast paths: $fastPaths', { timeout: TIMEOUT_MS }, async ({ vcpus, fastPaths }, ctx) => {
  if ('missing' in image) return ctx.skip(image.missing);
  let guest = await BootedGuest.boot({ kernel: image.path, ramdisk, vcpus, fastPaths });
  try {
    const busy = 'while :; do ls -lR /proc/1 | md5sum >/dev/null 2>&1; done';
    guest.script.send(`(${busy}) & steady ${vcpus} &\n`);
    for (let round = 0; round < ROUNDS; round++) {
      await guest.script.expect(/steady \d+\r?\n(.*\n)*?steady \d+\r?\n/);
      const { transcript } = guest.script;
      await guest.domain.save(file, { continue: round % 3 === 0 });
      if (round % 3 === 0) await guest.domain.destroy();
      expect(transcript).not.toMatch(/WRONG|BUG|Oops/);
      guest = new BootedGuest(await restoreDomain(file, { verify: true }));
    }
    await guest.script.expect(/steady \d+\r?\n/);
    guest.script.send('killall steady; echo en""ded\n');
    await guest.script.expect(/ended/);
    expect(await guest.output('dmesg | grep -E "BUG|WARNING:|Oops|rcu.*stall" || true')).toBe('');
    expect(await guest.powerOff()).toEqual({ reason: 'poweroff' });
  } finally {
    await guest.domain.destroy();
  }
});
