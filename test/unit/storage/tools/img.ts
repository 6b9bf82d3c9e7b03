/** `xenner img`, as users have it, beside qemu-img. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const MAIN = join(import.meta.dirname, '../../../../dist/cli/main.js');

export interface Said {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const run = (program: string, args: readonly string[], cwd?: string): Said => {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 100_000, cwd });
  return { status, stdout, stderr };
};

/** In a folder, so that names in images and texts are short. */
export const imgIn = (cwd: string, ...args: string[]): Said =>
  run(process.execPath, [MAIN, 'img', ...args], cwd);
export const qemuImgIn = (cwd: string, ...args: string[]): Said => run('qemu-img', args, cwd);
