/**
 * Our own PV kernels, each one behaviour: what they print here must be what they printed on real Xen (expected.txt,
 * written by scripts/oracle.sh), with and without the monitor's fast paths.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { createDomain, formatCrash } from 'xenner';

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

const golden = (name: string) => readFileSync(join(sources, name, 'expected.txt'), 'utf8');

/** Why we do not do as Xen does, where that is by design: the folder's deviation.txt. */
function deviation(name: string): string | undefined {
  const file = join(sources, name, 'deviation.txt');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}

/** As test/oracle/run.sh. */
const vcpusOf = (name: string) => (name.startsWith('smp-') ? 2 : 1);

/** The console and how the domain ended, in the form of expected.txt; a crash that is not expected is shown. */
async function run(name: string, engine: 'soft', fastPaths: boolean): Promise<string> {
  const kernel = join(kernels, `${name}.elf`);
  const domain = await createDomain({
    kernel,
    memoryMiB: 64,
    engine,
    fastPaths,
    vcpus: vcpusOf(name),
    onReboot: 'end',
  });
  let text = '';
  domain.on('console', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  const timer = setTimeout(() => void domain.destroy(), TIMEOUT_MS);
  const { reason, crash } = await domain.wait();
  clearTimeout(timer);
  text += `[${reason}]\n`;
  return crash === undefined || text === golden(name) ? text : text + formatCrash(crash);
}

describe.each(ENGINES)('on %s', (engine) => {
  describe.each([
    ['with fast paths', true],
    ['without fast paths', false],
  ])('%s', (_, fastPaths) => {
    for (const name of names) {
      const why = deviation(name);
      const title = why === undefined ? `${name} as on real Xen` : `${name} not as on real Xen: ${why}`;
      it(title, { timeout: TIMEOUT_MS + 10_000 }, async () => {
        const actual = await run(name, engine, fastPaths);
        if (why === undefined) return expect(actual).toBe(golden(name));
        expect(actual, 'it ran to its end').toMatch(/^Test result: (SUCCESS|FAILURE)\n\[poweroff\]$/m);
        expect(actual, `test/guest/${name}/deviation.txt is out of date`).not.toBe(golden(name));
      });
    }
  });
});

it('every kernel has a golden that says SUCCESS', () => {
  expect(names.length).toBeGreaterThan(40);
  for (const name of names)
    expect(golden(name), name).toMatch(/^--- .*\n[\s\S]*^Test result: SUCCESS\n\[\w+\]\n$/m);
});
