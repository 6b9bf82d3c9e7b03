/** Boots the lab for a run of vitest, and ends it. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { LAB_SCRIPT, noteTimeout } from './lab.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** The served lab's folder, or why there is none. */
    lab: { directory: string } | { unfit: string };
  }
}

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const check = spawnSync('bash', [LAB_SCRIPT, '--check'], { encoding: 'utf8' });
  if (check.status === 1) {
    project.provide('lab', { unfit: check.stderr.trim().split('\n').at(-1) ?? 'no lab' });
    return undefined;
  }
  const directory = mkdtempSync(join(tmpdir(), 'xenner-test-lab-'));
  const lab = spawn('bash', [LAB_SCRIPT, '--serve', directory, '--out', join(directory, 'out')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  lab.stderr.on('data', (data: Buffer) => {
    errors += data;
    process.stderr.write(data);
  });
  const ended = new Promise<void>((resolve) => lab.on('exit', () => resolve()));
  const stop = async () => {
    lab.kill('SIGTERM');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  };
  const ready = new Promise<boolean>((resolve) => {
    lab.stdout.once('data', () => resolve(true));
    void ended.then(() => resolve(false));
  });
  if (!(await ready)) {
    await stop();
    if (errors.includes('no sign of life')) noteTimeout('the boot of the lab');
    throw new Error(`the lab does not boot: ${errors}`);
  }
  project.provide('lab', { directory });
  return stop;
}
