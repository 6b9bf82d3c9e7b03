/** Domains in processes of their own, as a user has them: by commands, in a runtime directory that is this test file's alone. */
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { Cli } from './cli.js';
import { BOOT_TIMEOUT_MS, PROMPT } from './guest.js';
import { kernel, scratch } from './images.js';

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const image = kernel('bookworm');
/** Of the guests that `LiveHost.config()` describes; empty if there is none. */
export const kernelPath = 'path' in image ? image.path : '';
/** Why there are none. */
export const missing = 'missing' in image ? image.missing : undefined;

export async function xenner(...args: string[]): Promise<Ran> {
  const cli = new Cli(args);
  cli.child.stdin.end();
  const { status } = await cli.end(BOOT_TIMEOUT_MS);
  return { status, stdout: cli.stdout, stderr: cli.stderr };
}

/** What a command prints that is to succeed. */
export async function output(...args: string[]): Promise<string> {
  const ran = await xenner(...args);
  expect(ran, args.join(' ')).toMatchObject({ status: 0, stderr: '' });
  return ran.stdout;
}

/** On its console, at the prompt. */
export async function onConsole<T>(
  name: string,
  act: (cli: Cli) => Promise<T>,
  { prompt = PROMPT, timeoutMs = BOOT_TIMEOUT_MS } = {},
): Promise<T> {
  const cli = new Cli(['console', name]);
  try {
    await cli.script.expect(prompt, timeoutMs);
    return await act(cli);
  } finally {
    cli.child.kill();
    await cli.ended;
  }
}

/** Asks for the state until it is so. */
export async function until<T>(look: () => Promise<T>, done: (seen: T) => boolean): Promise<T> {
  for (;;) {
    const seen = await look();
    if (done(seen)) return seen;
    await delay(50);
  }
}

export const info = async (name: string) =>
  JSON.parse(await output('dominfo', '--json', name)) as {
    pid: number;
    domid: number;
    state: string;
    startedAt: number;
    currentMemoryMiB: number;
    hostMemoryMiB: number;
  };

/** Until no domain is left. */
export const nobody = () =>
  until(
    () => output('list', '--json'),
    (list) => list === '[]\n',
  );

export class LiveHost {
  readonly dir: string;
  readonly runDir: string;
  readonly ramdisk: string;

  /** @param name short: sockets have short names */
  constructor(name: string) {
    this.dir = scratch(name);
    this.runDir = join(this.dir, 'run');
    this.ramdisk = join(this.dir, 'initramfs.cpio');
    process.env.XENNER_RUN_DIR = this.runDir;
  }

  /** A configuration of a domain with a shell; options in `more` win. */
  config(name: string, more = ''): string {
    const path = join(this.dir, `${name}.cfg`);
    const boot = `kernel = "${kernelPath}"\nramdisk = "${this.ramdisk}"\nextra = "console=hvc0 quiet"`;
    writeFileSync(path, `name = "${name}"\n${boot}\nmemory = 128\n${more}`);
    return path;
  }

  /** An empty one. */
  disk(name: string): string {
    const path = join(this.dir, name);
    writeFileSync(path, '');
    truncateSync(path, 8 * 1024 * 1024);
    return path;
  }

  async destroyAll(): Promise<void> {
    const { stdout } = await xenner('list', '--json');
    for (const { domid } of JSON.parse(stdout) as { domid: number }[]) await xenner('destroy', String(domid));
  }

  remove(): void {
    delete process.env.XENNER_RUN_DIR;
    rmSync(this.dir, { recursive: true });
  }
}
