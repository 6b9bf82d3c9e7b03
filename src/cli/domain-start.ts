/** The process of one domain begins with its thread, as `xenner run` does, and runs the rest. */
import { createRequire } from 'node:module';
import { compiledFile } from '../base/paths.js';
import { runProgram } from '../base/program.js';
import { startThreadEarly } from '../xenner/domain/vcpu-thread.js';

startThreadEarly();
runProgram(compiledFile('domain-program.js'), createRequire(import.meta.url));
