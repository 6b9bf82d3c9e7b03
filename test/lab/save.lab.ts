/** A guest goes from the soft CPU to a real KVM and back, at work, and notices nothing. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BootedGuest } from '../boot/lib/guest.js';
import { compile, initramfs, kernel } from '../boot/lib/images.js';
import { inLab } from './lib/lab.js';

let build: string;
beforeAll(() => {
  build = mkdtempSync(join(tmpdir(), 'xenner-lab-save-'));
  initramfs(join(build, 'initramfs.cpio'), { '/bin/steady': compile('steady', join(build, 'steady')) });
});
afterAll(() => rmSync(build, { recursive: true, force: true }));

it('with two vCPUs: soft, KVM, KVM, soft', async (context) => {
  const image = kernel('bookworm');
  if ('missing' in image) return context.skip(image.missing);
  const file = join(build, 'guest.save');
  const ramdisk = join(build, 'initramfs.cpio');
  const guest = await BootedGuest.boot({ kernel: image.path, ramdisk, engine: 'soft', vcpus: 2 });
  guest.script.send('steady 2 &\n');
  await guest.script.expect(/steady 2\r?\n/);
  await guest.domain.save(file);
  const program = ['node', 'test/lab/programs/save-tour.mjs', file, 'kvm', 'kvm', 'soft'];
  const { status, stdout, stderr } = await inLab(context, program, { timeoutS: 300 });
  expect(status, stderr).toBe(0);
  const steps = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { engine: string; rounds: number[]; reason: string });
  expect(
    steps.map(({ engine, reason }) => [engine, reason]),
    stderr,
  ).toEqual([
    ['kvm', 'saved'],
    ['kvm', 'saved'],
    ['soft', 'poweroff'],
  ]);
  // Not a round is lost, and none comes twice.
  const rounds = steps.flatMap((step) => step.rounds);
  for (const [i, round] of rounds.slice(1).entries()) expect(round).toBeGreaterThan(rounds[i]!);
});
