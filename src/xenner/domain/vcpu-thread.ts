/**
 * The thread of a domain. It can be started before there is a domain for it: most of what a launch takes is Node.js's own
 * start and the reading of our code, on this thread and on that one, and then both go on at once.
 */
import { Worker } from 'node:worker_threads';
import { compiledFile } from '../../base/paths.js';
import type { WorkerInput } from './messages.js';

/** The command's first file and its program have a copy of this module each: this is where both find it. */
const shared = globalThis as { xennerEarlyThread?: Worker | undefined };

/** The next domain takes it; unless there is one, it does not keep the process alive. */
export function startThreadEarly(): void {
  const worker = start();
  const forget = () => {
    if (shared.xennerEarlyThread === worker) shared.xennerEarlyThread = undefined;
  };
  // Whatever ails it, the domain's own thread will tell.
  worker.once('error', forget);
  worker.once('exit', forget);
  worker.unref();
  shared.xennerEarlyThread = worker;
}

/** A thread that begins with `input`. */
export function takeThread(input: WorkerInput): Worker {
  const worker = shared.xennerEarlyThread ?? start();
  shared.xennerEarlyThread = undefined;
  worker.removeAllListeners();
  worker.ref();
  worker.postMessage(input, input.debugPort === undefined ? [] : [input.debugPort]);
  return worker;
}

function start(): Worker {
  return new Worker(compiledFile('worker.cjs'));
}
