/** The examples of xenner/kvm are programs that run. They need dist, which npm run build makes. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, it } from 'vitest';
import { ROOT } from '../boot/lib/images.js';
import { noKvm } from './kvm-guest.js';

const run = (name: string) =>
  promisify(execFile)(process.execPath, [`${ROOT}examples/${name}`], { timeout: 60_000 });

const reason = noKvm();
beforeEach(({ skip }) => skip(reason !== undefined, reason));

describe('examples', () => {
  it('kvm-real-mode.mjs prints', async () => {
    expect((await run('kvm-real-mode.mjs')).stdout).toBe('Hello from real mode\n');
  });

  it('kvm-long-mode.mjs prints, talks to its device and halts', async () => {
    const lines = ['Hello from long mode', 'register 4: 1001', 'port 0x11: 42', 'halted at 0x10026', ''];
    expect((await run('kvm-long-mode.mjs')).stdout).toBe(lines.join('\n'));
  });
});
