/** Commands of iproute2, other namespaces, and waiting. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

export function ip(...words: string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', timeout: 10_000 });
}

/** Interfaces as `ip -json link show` has them. */
export function links(): Array<Record<string, unknown> & { ifname: string }> {
  return JSON.parse(ip('-json', 'link', 'show'));
}

/** Waits for something that others do; how long it takes decides nothing. */
export async function until<T>(
  what: string,
  get: () => T | undefined | false,
  timeoutMs = 30_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = get();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Another network namespace, as long as its process lives. */
export class Namespace {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  static async create(): Promise<Namespace> {
    const child = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 600'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout!, 'data');
    return new Namespace(child);
  }

  get pid(): string {
    return `${this.#process.pid}`;
  }
  ip(...words: string[]): string {
    return execFileSync('nsenter', ['--target', this.pid, '--net', 'ip', ...words], {
      encoding: 'utf8',
      timeout: 10_000,
    });
  }
  /** A Node.js program there. */
  node(program: string, ...words: string[]): ChildProcess {
    return spawn('nsenter', ['--target', this.pid, '--net', process.execPath, '-e', program, ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }
  close(): void {
    this.#process.kill('SIGKILL');
  }
}
