/** Guests with several vCPUs: all are used, go down and come up, and answer as one does. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDomain } from 'xenner';
import { BootedGuest } from './lib/guest.js';
import { compile, initramfs, type KernelName, kernel, scratch } from './lib/images.js';

const dir = scratch('smp');
const ramdisk = join(dir, 'initramfs.cpio');
const threads = join(dir, 'threads');
const COMPLAINTS = 'BUG|WARNING:|Oops|Call Trace|multicall|soft lockup|rcu.*stall|Stuck';
const TIMEOUT_MS = 240_000;

beforeAll(() => {
  compile('threads', threads);
  initramfs(ramdisk, { [threads]: threads });
});
afterAll(() => rmSync(dir, { recursive: true }));

/** As many children as work at once, of which each answers the same. */
const storm = (children: number) =>
  `for i in $(seq ${children}); do (for j in 1 2 3; do seq 1 2000 | md5sum; done) & done; wait`;

describe.each<{ name: KernelName; vcpus: number; fastPaths: boolean }>([
  { name: 'bookworm', vcpus: 2, fastPaths: true },
  { name: 'bookworm', vcpus: 4, fastPaths: false },
  { name: 'bullseye', vcpus: 3, fastPaths: true },
  { name: 'bookworm-cloud', vcpus: 16, fastPaths: true },
  { name: 'backports', vcpus: 8, fastPaths: true },
])('$vcpus vCPUs, kernel $name, fast paths: $fastPaths', ({ name, vcpus, fastPaths }) => {
  it('all work, one goes down and comes up, nothing is amiss', { timeout: TIMEOUT_MS }, async (ctx) => {
    const image = kernel(name);
    if ('missing' in image) return ctx.skip(image.missing);
    const guest = await BootedGuest.boot({ kernel: image.path, ramdisk, vcpus, fastPaths });
    try {
      expect(await guest.output('nproc')).toBe(`${vcpus}\n`);
      const answers = (await guest.output(storm(2 * vcpus), TIMEOUT_MS)).trim().split('\n');
      expect(answers).toEqual(new Array(6 * vcpus).fill(answers[0]));
      expect(await guest.output(threads)).toMatch(/\S/);
      const online = '/sys/devices/system/cpu/cpu1/online';
      for (let round = 0; round < 2; round++) {
        await guest.output(`echo 0 > ${online}`);
        expect(await guest.output('nproc')).toBe(`${vcpus - 1}\n`);
        await guest.output(`echo 1 > ${online}`);
        expect(await guest.output('taskset 2 grep -c ^processor /proc/cpuinfo')).toBe(`${vcpus}\n`);
      }
      // Every vCPU has had time of its own.
      const ticks = await guest.output("grep '^cpu[0-9]' /proc/stat | awk '$2 + $4 > 0' | wc -l");
      expect(Number(ticks)).toBe(vcpus);
      expect(await guest.output(`dmesg | grep -E "${COMPLAINTS}" || true`)).toBe('');
      expect(await guest.powerOff()).toEqual({ reason: 'poweroff' });
    } finally {
      await guest.domain.destroy();
    }
  });
});

it.each([0, 17, 1.5, Number.NaN])('%d vCPUs are refused', async (vcpus) => {
  await expect(createDomain({ kernel: '/dev/null', vcpus })).rejects.toMatchObject({ code: 'EVCPU_LIMIT' });
});
