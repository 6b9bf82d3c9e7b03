/** Files for one test file, and the programs of qemu-utils. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A folder that goes away after the tests. */
export function scratch(): (name: string) => string {
  const directory = mkdtempSync(join(tmpdir(), 'xenner-storage-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return (name) => join(directory, name);
}

function version(): string | undefined {
  try {
    execFileSync('qemu-io', ['--version']);
    return execFileSync('qemu-img', ['--version'], { encoding: 'utf8' });
  } catch {
    return undefined;
  }
}
export const missingQemu = version() === undefined ? 'no qemu-img and qemu-io' : undefined;

function once(args: readonly string[]): string {
  return execFileSync('qemu-img', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 100_000,
  });
}

/** QEMU counts LUKS' iterations by its thread's CPU time, and gives up where a busy host's clock shows it none. */
const NO_CPU_TIME = 'Unable to get accurate CPU usage';
const TRIES = 10;

/** @throws with what it said, when its status is not 0 */
export function qemuImg(...args: string[]): string {
  for (let left = TRIES; ; left--)
    try {
      return once(args);
    } catch (error) {
      if (left === 1 || !String(error).includes(NO_CPU_TIME)) throw error;
    }
}

/** A raw disk as a qcow2 image, by qemu-img. @param options as those of `-o` */
export function qcow2Of(raw: string, path: string, options: string, compressed = false): void {
  const compress = compressed ? ['-c'] : [];
  qemuImg('convert', ...compress, '-f', 'raw', '-O', 'qcow2', '-o', options, raw, path);
}

/** Runs qemu-io's commands on an image. @throws with what it said, when one of them fails */
export function qemuIo(image: string, commands: readonly string[], ...args: string[]): string {
  const each = commands.flatMap((command) => ['-c', command]);
  const said = execFileSync('qemu-io', [...args, ...each, image], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 100_000,
  });
  if (/failed|error/i.test(said)) throw new Error(said);
  return said;
}

/** qemu-io with the image open until `end()`. */
export async function holdOpen(
  image: string,
  ...args: string[]
): Promise<{ pid: number; end: () => Promise<void> }> {
  const child = spawn('qemu-io', [...args, image], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  child.stdin.write('length\n');
  await new Promise<void>((resolve, reject) => {
    let said = '';
    child.stdout.on('data', (data) => {
      said += data;
      if (/\d+ (bytes|[KMG]iB)/.test(said)) resolve();
    });
    child.once('exit', () => reject(new Error(`qemu-io ended: ${said}`)));
  });
  const end = async () => {
    child.stdin.end('quit\n');
    await exited;
  };
  return { pid: child.pid ?? 0, end };
}
