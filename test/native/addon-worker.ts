/** Threads and child processes that load the addon themselves. Plain JavaScript: they run outside vitest. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { builtFile } from '../../src/base/paths.js';

const addonPath = builtFile('xenner.node');
const prelude = `
  const { parentPort, workerData, Worker } = require('node:worker_threads');
  const addon = require(${JSON.stringify(addonPath)});
`;

/** A worker thread that runs `source` with `addon`, `workerData` and `parentPort` in scope. */
export function addonWorker(source: string, workerData: unknown): Worker {
  return new Worker(prelude + source, { eval: true, workerData });
}

/** Its first message. Rejects when it fails or ends without one. */
export function messageOf(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`worker ended with ${code} before it said anything`)));
  });
}

/** Waits for its end. Rejects when it failed. */
export function endOf(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`worker ended with ${code}`))));
  });
}

/** Runs `source` in a process of its own and returns what it printed. Rejects for a signal or a status other than 0. */
export async function addonProcess(source: string, timeoutMs = 30_000): Promise<string> {
  const options = { timeout: timeoutMs, killSignal: 'SIGKILL' } as const;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', prelude + source], options);
  return stdout;
}
