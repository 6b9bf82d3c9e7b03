#!/usr/bin/env node
/** The `xenner` command begins what takes long and can begin before anything else is known, and loads the rest. */
import { createRequire } from 'node:module';
import { compiledFile } from '../base/paths.js';
import { runProgram } from '../base/program.js';
import { startThreadEarly } from '../xenner/domain/vcpu-thread.js';

if (process.argv[2] === 'run' || process.argv[2] === 'restore') startThreadEarly();
runProgram(compiledFile('cli/program.js'), createRequire(import.meta.url));
