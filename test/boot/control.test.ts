/** What a tool stack asks a guest for, by xenstore. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { BootedGuest, PROMPT } from './lib/guest.js';
import { initramfs, kernel, scratch } from './lib/images.js';

const dir = scratch('control');
const ramdisk = join(dir, 'initramfs.cpio');
const image = kernel('bookworm');
const TIMEOUT_MS = 180_000;
let guest: BootedGuest;

beforeAll(() => void initramfs(ramdisk));
afterAll(() => rmSync(dir, { recursive: true }));
beforeEach(async () => {
  if ('missing' in image) throw new Error(image.missing);
  guest = await BootedGuest.boot({ kernel: image.path, ramdisk, vcpus: 4, name: 'controlled' });
}, TIMEOUT_MS);
afterEach(() => guest.domain.destroy());

it('fewer vCPUs, and more again', { timeout: TIMEOUT_MS }, async () => {
  const { control } = guest.domain;
  // Linux takes vCPUs out of use by itself; those that it may use again udev puts in use, which is not here.
  const cpus = '/sys/devices/system/cpu';
  const online = `for cpu in ${cpus}/cpu[123]; do [ ! -e $cpu/online ] || echo 1 >$cpu/online; done 2>/dev/null`;
  for (const count of [2, 4, 1, 3]) {
    control.setVcpus(count);
    await guest.output(
      `until [ $(nproc) = ${count} ]; do sleep 0.1; [ $(nproc) -gt ${count} ] || ${online}; done`,
    );
  }
  for (const count of [0, 5, 1.5, NaN])
    expect(() => control.setVcpus(count)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
});

it('less memory, and more again', { timeout: TIMEOUT_MS }, async () => {
  const { control } = guest.domain;
  const total = async () => Number(await guest.output("awk '/^MemTotal/ { print $2 }' /proc/meminfo"));
  const before = await total();
  control.setMemory(128);
  await guest.output(
    `until [ $(awk '/^MemTotal/ { print $2 }' /proc/meminfo) -lt ${before - 120 * 1024} ]; do sleep 0.1; done`,
  );
  control.setMemory(256);
  await guest.output(
    `until [ $(awk '/^MemTotal/ { print $2 }' /proc/meminfo) -ge ${before} ]; do sleep 0.1; done`,
  );
  expect(() => control.setMemory(257)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
});

it('a key of SysRq', { timeout: TIMEOUT_MS }, async () => {
  await guest.output('dmesg -n 7');
  guest.domain.control.sysrq('h');
  await guest.script.expect(/sysrq: HELP/);
  expect(() => guest.domain.control.sysrq('hh')).toThrow(expect.objectContaining({ code: 'EINVAL' }));
});

it('a reboot, and the end', { timeout: TIMEOUT_MS }, async () => {
  guest.domain.control.shutdown('reboot');
  await guest.script.expect(/Restarting system/);
  await guest.script.expect(PROMPT, TIMEOUT_MS);
  guest.domain.control.shutdown('poweroff');
  expect(await guest.ended).toEqual({ reason: 'poweroff' });
  expect(() => guest.domain.control).toThrow(expect.objectContaining({ code: 'ENOTRUNNING' }));
});

it('a name and a UUID, which the guest finds', { timeout: TIMEOUT_MS }, async () => {
  const { domain } = guest;
  expect(await guest.output('cat /sys/hypervisor/uuid')).toBe(`${domain.uuid}\n`);
  expect(domain.xenstore.client().read(`/vm/${domain.uuid}/name`)).toBe('controlled');
});
