/** The examples of xenner/kvm are programs that run. They need dist, which npm run build makes. */
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, it } from 'vitest';
import { initramfs, kernel, ROOT, scratch } from '../boot/lib/images.js';
import { noKvm, noRealKvm } from './kvm-guest.js';

const run = (name: string) =>
  promisify(execFile)(process.execPath, [`${ROOT}examples/${name}`], { timeout: 60_000 });

const reason = noKvm();
beforeEach(({ skip }) => skip(reason !== undefined, reason));

/** What the guest prints until it ends, with `line` typed at its first prompt. */
async function talk(args: string[], line: string, timeoutMs: number): Promise<string> {
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'], timeout: timeoutMs });
  let text = '';
  let typed = false;
  child.stdout.on('data', (chunk) => {
    text += chunk;
    if (typed || !text.includes('# ')) return;
    typed = true;
    child.stdin.write(line);
  });
  const status = await new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal)));
  expect(status, text.slice(-2000)).toBe(0);
  return text;
}

describe('examples', () => {
  it('kvm-real-mode.mjs prints', async () => {
    expect((await run('kvm-real-mode.mjs')).stdout).toBe('Hello from real mode\n');
  });

  it('kvm-long-mode.mjs prints, talks to its device and halts', async () => {
    const lines = ['Hello from long mode', 'register 4: 1001', 'port 0x11: 42', 'halted at 0x10026', ''];
    expect((await run('kvm-long-mode.mjs')).stdout).toBe(lines.join('\n'));
  });

  it('kvm-linux.mjs boots to a shell on its serial port', { timeout: 600_000 }, async ({ skip }) => {
    const notReal = noRealKvm();
    skip(notReal !== undefined, notReal);
    const image = kernel('bookworm');
    if ('missing' in image) return skip(image.missing);
    const ramdisk = initramfs(`${scratch('kvm-linux')}/initramfs.cpio`);
    const args = [`${ROOT}examples/kvm-linux.mjs`, image.path, ramdisk, 'quiet'];
    const text = await talk(args, 'uname -sr; reboot -f\n', 580_000);
    expect(text).toMatch(/\nLinux 6\.1\.\S+\r?\n/);
    expect(text).toMatch(/\nended by KVM_EXIT_SHUTDOWN\n$/);
  });
});
