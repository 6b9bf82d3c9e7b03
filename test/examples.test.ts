/** The example of the README is a file that runs, and the README shows that file. */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { initramfs, kernel, ROOT, scratch } from './boot/lib/images.js';

const EXAMPLE = `${ROOT}examples/hello.mjs`;

describe('examples/hello.mjs', () => {
  it('is what the README shows', () => {
    const readme = readFileSync(`${ROOT}README.md`, 'utf8');
    expect(readme).toContain(`\`\`\`js\n${readFileSync(EXAMPLE, 'utf8')}\`\`\`\n`);
  });

  it('boots a guest, gives it a command and tells how it ended', async (ctx) => {
    const image = kernel('bookworm');
    if ('missing' in image) return ctx.skip(image.missing);
    const dir = scratch('example');
    const ramdisk = initramfs(join(dir, 'initramfs.cpio'));
    const run = promisify(execFile)(process.execPath, [EXAMPLE, image.path, ramdisk], { timeout: 100_000 });
    const { stdout } = await run.finally(() => rmSync(dir, { recursive: true }));
    expect(stdout).toMatch(/^engine soft: /);
    expect(stdout).toMatch(/\nLinux 6\.1\.\S+\r?\n/);
    expect(stdout).toMatch(/\nended by poweroff\n$/);
  });
});
