/** What xenner is to be compared with boots in the lab: the same kernel and ramdisk, to the first line of its init. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { inLab, needsLab, ROOT } from './lib/lab.js';

const cache =
  process.env.XENNER_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'xenner');

function debianKernel(): string | undefined {
  const folder = join(cache, 'images/kernel-backports');
  const name = existsSync(folder) && readdirSync(folder).find((file) => file.startsWith('vmlinuz-'));
  return name ? join(folder, name) : undefined;
}

it.for([
  ['microvm', '512'],
  ['xen-shim', '1024'],
] as const)('%s', async ([peer, memoryMiB], context) => {
  needsLab(context);
  const kernel = debianKernel();
  context.skip(!kernel, 'no kernel of Debian backports');
  const ramdisk = execFileSync('bash', [`${ROOT}images/initramfs.sh`], { encoding: 'utf8' }).trim();
  const argv = ['bash', `test/lab/peers/${peer}.sh`, '--memory', memoryMiB, kernel ?? '', ramdisk, 'quiet'];
  const { stdout } = await inLab(context, argv, {
    timeoutS: 240,
    enough: (text) => /init: running/.test(text),
  });
  expect(stdout).toContain('init: running');
});
