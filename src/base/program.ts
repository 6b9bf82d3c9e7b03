/**
 * Our programs are bundled and compiled ahead: to read and compile them takes longer than to run them. What V8 made of FILE
 * when it was built (scripts/lib/compile-program.mjs) is FILE.cache. V8 takes that if it comes from this V8 with these flags,
 * and compiles the source if not.
 */
import { readFileSync, statSync } from 'node:fs';
import { Script } from 'node:vm';

/** With what CommonJS gives a module. */
type Program = (require: NodeJS.Require, filename: string) => void;

/** Runs a bundle, which loads what it does not hold by `require`. */
export function runProgram(file: string, require: NodeJS.Require): void {
  const { script } = loadProgram(file);
  (script.runInThisContext() as Program)(require, file);
}

/** Whether it was compiled ahead is for tests. */
export function loadProgram(file: string): { script: Script; ahead: boolean } {
  const cachedData = readCache(file);
  const script = new Script(readFileSync(file, 'utf8'), {
    filename: file,
    ...(cachedData && { cachedData }),
  });
  return { script, ahead: script.cachedDataRejected === false };
}

/** V8 compares no more of the source than its length: a cache that is older than the file is not of it. */
function readCache(file: string): Buffer | undefined {
  const cache = `${file}.cache`;
  const made = statSync(cache, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return made < statSync(file).mtimeMs ? undefined : readFileSync(cache);
}
