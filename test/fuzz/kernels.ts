/** Kernels that do anything, made from a seed: building them, running them to their end. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { createDomain, type Domain } from 'xenner';
import { ROOT } from '../boot/lib/images.js';

/** A number from the environment: XENNER_FUZZ_CALLS, XENNER_FUZZ_SEED and so on make a test longer, or other. */
export function setting(name: string, otherwise: number): number {
  return Number(process.env[`XENNER_FUZZ_${name}`] ?? otherwise);
}

/** The path of test/<folder>'s kernel, of which this process alone has the objects. */
export function buildKernel(folder: `fuzz/${string}` | `guest/${string}` | `gdb/${string}`): string {
  const out = join(ROOT, 'build/fuzz-kernels', folder);
  const name = folder.startsWith('guest/') ? folder.slice(6) : `../${folder}`;
  execFileSync('make', ['-s', '-C', join(ROOT, 'test/guest'), `OUT=${out}`, `names=${name}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return join(out, `${name}.elf`);
}

export function startKernel(kernel: string, cmdline: string, fastPaths: boolean, vcpus = 1): Promise<Domain> {
  return createDomain({ kernel, cmdline, memoryMiB: 64, fastPaths, vcpus, onReboot: 'end' });
}

/** What it printed, and how it ended: "poweroff", or why it crashed. */
export async function runKernel(
  kernel: string,
  cmdline: string,
  fastPaths: boolean,
): Promise<{ output: string; end: string }> {
  const domain = await startKernel(kernel, cmdline, fastPaths);
  let output = '';
  domain.on('console', (chunk: Buffer) => {
    output += chunk.toString('latin1');
  });
  const { reason, crash } = await domain.wait();
  return { output, end: crash?.why ?? reason };
}
