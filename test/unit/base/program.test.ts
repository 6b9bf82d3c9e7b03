import { copyFileSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compiledFile } from '../../../src/base/paths.js';
import { loadProgram, runProgram } from '../../../src/base/program.js';

const folder = mkdtempSync(join(tmpdir(), 'xenner-program-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A copy to be damaged, as old as it is told. */
function copy(name: string): string {
  const file = join(folder, name);
  for (const suffix of ['', '.cache']) copyFileSync(compiledFile('cli/program.js') + suffix, file + suffix);
  return file;
}

describe('a program that was compiled ahead', () => {
  it.each(['cli/program.js', 'cli/guest-program.js', 'domain-program.js', 'worker-program.js'])(
    '%s is taken as it was built',
    (name) => {
      expect(loadProgram(compiledFile(name)).ahead).toBe(true);
    },
  );

  it.each<[string, (file: string) => void]>([
    ['is not there', (file) => rmSync(`${file}.cache`)],
    ['is empty', (file) => writeFileSync(`${file}.cache`, '')],
    ['is something else', (file) => writeFileSync(`${file}.cache`, Buffer.alloc(4096, 0xa5))],
    ['is older than the program', (file) => utimesSync(`${file}.cache`, 0, 0)],
  ])('is compiled from its source where what was compiled %s', (name, damage) => {
    const file = copy(name.replaceAll(' ', '-'));
    damage(file);
    expect(loadProgram(file).ahead).toBe(false);
  });

  it('runs with its own name and what loads the rest', () => {
    const file = join(folder, 'small.js');
    writeFileSync(
      file,
      '(function (require, __filename) { require("node:process").env.SMALL = __filename; })',
    );
    runProgram(file, createRequire(import.meta.url));
    expect(process.env.SMALL).toBe(file);
    delete process.env.SMALL;
  });
});
