// Compiles a bundle ahead: makes a function of what Node.js would wrap in one, and writes what V8 makes of it to FILE.cache.
// See src/base/program.ts. usage: compile-program.mjs FILE...
import { readFileSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';

for (const filename of process.argv.slice(2)) {
  const source = `(function (require, __filename) {${readFileSync(filename, 'utf8')}\n})`;
  writeFileSync(filename, source);
  // All functions, and not only those that run at once. A cache counts for the flags that it is written under.
  setFlagsFromString('--no-lazy');
  const script = new Script(source, { filename });
  setFlagsFromString('--lazy');
  writeFileSync(`${filename}.cache`, script.createCachedData());
}
