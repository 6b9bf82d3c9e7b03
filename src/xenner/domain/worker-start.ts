/** What a domain's thread begins with. */
import { createRequire } from 'node:module';
import { compiledFile } from '../../base/paths.js';
import { runProgram } from '../../base/program.js';

runProgram(compiledFile('worker-program.js'), createRequire(import.meta.url));
