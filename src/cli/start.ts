#!/usr/bin/env node
/** The `xenner` command begins what takes long and can begin before anything else is known, and loads the rest. */
import { createRequire } from 'node:module';
import { compiledFile } from '../base/paths.js';
import { runProgram } from '../base/program.js';
import { startThreadEarly } from '../xenner/domain/vcpu-thread.js';

const [, , command, ...options] = process.argv;
const runsGuest =
  command === 'run' || (command === 'restore' && options.some((each) => /^(-F|--foreground)$/.test(each)));
if (runsGuest) startThreadEarly();
const program = runsGuest ? 'cli/guest-program.js' : 'cli/program.js';
runProgram(compiledFile(program), createRequire(import.meta.url));
