/** Cores on a real KVM, where vCPUs run at the same time: of a guest that runs on, and of one that crashed while another vCPU was busy. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { initramfs, kernel, scratch } from '../boot/lib/images.js';
import { inLab } from './lib/lab.js';

const dir = scratch('lab-core');
afterAll(() => rmSync(dir, { recursive: true }));

it('both vCPUs are in them', async (context) => {
  const image = kernel('bookworm');
  if ('missing' in image) return context.skip(image.missing);
  const ramdisk = initramfs(join(dir, 'initramfs.cpio'));
  const program = ['node', 'test/lab/programs/core.mjs', image.path, ramdisk, '/tmp'];
  const { status, stdout, stderr } = await inLab(context, program, { timeoutS: 240 });
  expect(status, `${stderr}\n${stdout}`).toBe(0);
  expect(JSON.parse(stdout)).toEqual({ output: '42', end: 'crash', live: 2, crashed: 2 });
});
