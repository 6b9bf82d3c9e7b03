/** Kernels, initramfs and programs for the boot tests, from the project's own recipes. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PROGRAMS = join(ROOT, 'test/boot/programs');

/** Oldest first. */
export const KERNELS = ['bullseye', 'bookworm', 'bookworm-cloud', 'backports'] as const;
export type KernelName = (typeof KERNELS)[number];

/** The path of a kernel, or why there is none. */
export function kernel(name: KernelName): { path: string } | { missing: string } {
  const script = join(ROOT, 'images/kernel.sh');
  const { status, stdout, stderr } = spawnSync('bash', [script, name], {
    encoding: 'utf8',
    timeout: 110_000,
  });
  if (status === 0) return { path: stdout.trim() };
  return { missing: `kernel ${name}: ${stderr.trim().split('\n').at(-1) || 'images/kernel.sh hangs'}` };
}

/** The folder with a kernel's drivers for disks and networks. */
export function drivers(name: KernelName): string {
  const script = join(ROOT, 'images/modules.sh');
  return execFileSync('bash', [script, name], { encoding: 'utf8', timeout: 110_000 }).trim();
}

/** A folder of this test process, below build/. */
export function scratch(name: string): string {
  const base = join(ROOT, 'build/boot');
  mkdirSync(base, { recursive: true });
  return mkdtempSync(join(base, `${name}-`));
}

/** An initramfs with files of this machine: `add` maps a path in the guest to one here. */
export function initramfs(out: string, add: Readonly<Record<string, string>> = {}): string {
  const adds = Object.entries(add).flatMap(([destination, source]) => ['--add', `${source}:${destination}`]);
  const script = join(ROOT, 'images/initramfs.sh');
  execFileSync('bash', [script, ...adds, '-o', out], {
    timeout: 60_000,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return out;
}

/** Compiles test/boot/programs/NAME.c: static and at fixed addresses, so that both sides run the same bytes. */
export function compile(name: string, out: string, flags: readonly string[] = []): string {
  const always = ['-O2', '-Wall', '-Wextra', '-Werror', '-static', '-no-pie', '-fno-pie', '-pthread'];
  const exact = ['-ffp-contract=off', '-fno-math-errno'];
  const source = join(PROGRAMS, `${name}.c`);
  execFileSync('gcc', [...always, ...exact, ...flags, '-o', out, source, '-lm'], { timeout: 60_000 });
  return out;
}

/** The files of installed Debian packages, copied below `out` with the paths that they have here. Names may be globs. */
export function packageFiles(packages: readonly string[], out: string): void {
  const lines = (program: string, args: readonly string[]) =>
    execFileSync(program, args, { encoding: 'utf8', timeout: 30_000 }).trim().split('\n');
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the placeholders are dpkg-query's own
  const installed = lines('dpkg-query', ['-W', '-f', '${db:Status-Abbrev}${Package}\n', ...packages])
    .filter((line) => line.startsWith('ii '))
    .map((line) => line.slice(3));
  for (const path of lines('dpkg', ['-L', ...installed])) {
    if (!path.startsWith('/usr/') || /^\/usr\/share\/(doc|man|lintian)\//.test(path)) continue;
    if (!existsSync(path) || !statSync(path).isFile()) continue;
    mkdirSync(join(out, dirname(path)), { recursive: true });
    copyFileSync(path, join(out, path));
  }
}
