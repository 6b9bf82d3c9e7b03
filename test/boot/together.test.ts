/** Guests beside each other in one process, and what is left of one whose launcher is killed. */
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CLI } from './lib/cli.js';
import { BootedGuest, PROMPT } from './lib/guest.js';
import { initramfs, kernel, scratch } from './lib/images.js';

const dir = scratch('together');
const ramdisk = join(dir, 'initramfs.cpio');
const image = kernel('bookworm');
const TIMEOUT_MS = 180_000;

beforeAll(() => void initramfs(ramdisk));
afterAll(() => rmSync(dir, { recursive: true }));

it('two guests of one process work at once, and one goes on when the other ends', {
  timeout: TIMEOUT_MS,
}, async (ctx) => {
  if ('missing' in image) return ctx.skip(image.missing);
  const config = { kernel: image.path, ramdisk };
  const guests = await Promise.all([BootedGuest.boot(config), BootedGuest.boot({ ...config, vcpus: 2 })]);
  try {
    const work = (name: string) => `hostname ${name}; for i in 1 2 3; do seq 1 2000 | md5sum; done; hostname`;
    const answers = await Promise.all(guests.map((guest, i) => guest.output(work(`guest${i}`))));
    const [sum] = answers[0]!.split('\n');
    expect(answers).toEqual([0, 1].map((i) => `${`${sum}\n`.repeat(3)}guest${i}\n`));
    expect(await guests[0].powerOff()).toEqual({ reason: 'poweroff' });
    expect(await guests[1].output('hostname')).toBe('guest1\n');
    expect(await guests[1].powerOff()).toEqual({ reason: 'poweroff' });
  } finally {
    for (const { domain } of guests) await domain.destroy();
  }
});

it('kill -9 of the launcher leaves no process and no file', { timeout: TIMEOUT_MS }, async (ctx) => {
  if ('missing' in image) return ctx.skip(image.missing);
  const temporary = join(dir, 'tmp');
  mkdirSync(temporary);
  const argv = [CLI, 'run', '--kernel', image.path, '--ramdisk', ramdisk, '--cmdline', 'console=hvc0'];
  // A process group of its own, so that nothing that it starts can hide.
  const child = spawn(process.execPath, argv, {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
    env: { ...process.env, TMPDIR: temporary },
  });
  const ended = new Promise((resolve) => child.on('close', (_, signal) => resolve(signal)));
  await new Promise<void>((resolve) => {
    let text = '';
    child.stdout.on('data', (bytes) => {
      text += bytes;
      if (PROMPT.test(text)) resolve();
    });
    child.on('close', () => resolve());
  });
  child.kill('SIGKILL');
  expect(await ended).toBe('SIGKILL');
  expect(() => process.kill(-child.pid!, 0)).toThrow(expect.objectContaining({ code: 'ESRCH' }));
  expect(readdirSync(temporary)).toEqual([]);
});
