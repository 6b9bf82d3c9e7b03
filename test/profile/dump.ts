/** Boots the kernel of test/profile/dump, which prints all that a guest can see. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { completeConfig } from '../../src/xenner/domain/config.js';
import { Domain } from '../../src/xenner/domain/domain.js';
import type { AbiProfile } from '../../src/xenner/profile/abi-profile.js';

const ROOT = join(import.meta.dirname, '../..');
const TIMEOUT_MS = 60_000;

/** Builds the kernel; returns its path. */
export function buildDumpKernel(out: string): string {
  // Objects of names with `..` go beside OUT.
  const argv = ['-s', '-C', join(ROOT, 'test/guest'), `OUT=${join(out, 'guest')}`, 'names=../profile/dump'];
  execFileSync('make', argv, { stdio: ['ignore', 'ignore', 'inherit'] });
  return join(out, 'profile/dump.elf');
}

export interface Shape {
  readonly memoryMiB: number;
  readonly vcpus: number;
  readonly fastPaths?: boolean;
}

/** What it printed on the soft engine. Any profile will do, as there are changed ones to be told from the real ones. */
export async function dump(kernel: string, profile: AbiProfile, shape: Shape): Promise<string> {
  const config = completeConfig({ kernel, engine: 'soft', cmdline: 'a b', onReboot: 'end', ...shape });
  const domain = new Domain({ ...config, profile });
  let text = '';
  domain.on('console', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  await domain.start();
  const timer = setTimeout(() => void domain.destroy(), TIMEOUT_MS);
  const { reason } = await domain.wait();
  clearTimeout(timer);
  return `${text}[${reason}]\n`;
}
