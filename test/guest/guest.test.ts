/**
 * Our own PV kernels, each one behaviour: what they print here must be what they printed on real Xen (expected.txt,
 * written by scripts/oracle.sh), with and without the monitor's fast paths.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { createDomain } from 'xenner';

const sources = fileURLToPath(new URL('.', import.meta.url));
const kernels = join(sources, '../../build/guest');
const ENGINES = ['soft'] as const;
const TIMEOUT_MS = 60_000;

/** Folders with a kernel that the oracle has run. A bench kernel prints times: no golden, no test. */
const names = readdirSync(sources).filter(
  (name) => existsSync(join(sources, name, 'main.c')) && !name.startsWith('bench-'),
);

beforeAll(() => {
  execFileSync('make', ['-s', '-C', sources, `OUT=${kernels}`], { stdio: ['ignore', 'ignore', 'inherit'] });
}, 300_000);

/** The console from the kernel's first line, and how the domain ended, in the form of expected.txt. */
async function run(name: string, engine: 'soft', fastPaths: boolean): Promise<string> {
  const domain = await createDomain({
    kernel: join(kernels, `${name}.elf`),
    memoryMiB: 64,
    engine,
    fastPaths,
    onReboot: 'end',
  });
  let text = '';
  domain.on('console', (chunk) => {
    text += chunk.toString('latin1');
  });
  const timer = setTimeout(() => void domain.destroy(), TIMEOUT_MS);
  const { reason } = await domain.wait();
  clearTimeout(timer);
  return `${text}[${reason}]\n`;
}

describe.each(ENGINES)('on %s', (engine) => {
  describe.each([
    ['with fast paths', true],
    ['without fast paths', false],
  ])('%s', (_, fastPaths) => {
    it.each(names)(
      '%s as on real Xen',
      async (name) => {
        const expected = readFileSync(join(sources, name, 'expected.txt'), 'utf8');
        expect(await run(name, engine, fastPaths)).toBe(expected);
      },
      TIMEOUT_MS + 10_000,
    );
  });
});

it('every kernel has a golden of its own', () => {
  for (const name of names) {
    const golden = readFileSync(join(sources, name, 'expected.txt'), 'utf8');
    expect(golden, name).toMatch(/^--- .*\n[\s\S]*^Test result: SUCCESS\n\[\w+\]\n$/m);
  }
});
