/** `xenner` as a user starts it: a process with pipes. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { ConsoleScript } from '../../../scripts/lib/console-script.mjs';
import { ROOT } from './images.js';

export const CLI = join(ROOT, 'dist/cli/main.js');

export interface CliEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Cli {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly script: ConsoleScript;
  readonly ended: Promise<CliEnd>;
  stdout = '';
  stderr = '';

  /** @param command in place of this user's, with an environment in place of this process's */
  constructor(
    args: readonly string[],
    [program = '', ...words]: readonly string[] = [process.execPath, CLI],
    env: NodeJS.ProcessEnv = process.env,
  ) {
    this.child = spawn(program, [...words, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.script = new ConsoleScript((text) => this.child.stdin.write(text));
    this.child.stdin.on('error', () => {}); // it may have ended; its status says how
    this.child.stdout.on('data', (bytes) => {
      this.stdout += bytes;
      this.script.feed(bytes);
    });
    this.child.stderr.on('data', (bytes) => {
      this.stderr += bytes;
    });
    this.ended = new Promise((resolve) => {
      this.child.on('close', (status, signal) => resolve({ status, signal }));
    });
    this.ended.then(({ status, signal }) =>
      this.script.end(`xenner ended with ${signal ?? status}: ${this.stderr}`),
    );
  }

  /** The end, or an error if it does not come in time; the process is gone in any case. */
  async end(timeoutMs = 20_000): Promise<CliEnd> {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs);
    const end = await this.ended;
    clearTimeout(timer);
    if (end.signal === 'SIGKILL')
      throw new Error(`xenner did not end within ${timeoutMs} ms: ${this.stderr}`);
    return end;
  }
}
