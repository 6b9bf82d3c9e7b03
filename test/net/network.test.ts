/** Ports on real networks, which nobody else has: a vitest of their own in a new network namespace for each file *.netns.ts. */
import { execFile, execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TIMEOUT_MS = 115_000;

function missing(): string | undefined {
  try {
    execFileSync('unshare', ['--net', 'ip', 'tuntap', 'add', 'try0', 'mode', 'tap'], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: Buffer };
    return `no taps in network namespaces here: ${(stderr?.toString() || message).trim()}`;
  }
}

const reason = missing();
const files = readdirSync(new URL('.', import.meta.url)).filter((name) => name.endsWith('.netns.ts'));

it.skipIf(reason !== undefined).each(files)(`%s${reason ? ` (skipped: ${reason})` : ''}`, async (file) => {
  const vitest = [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--config',
    'test/net/vitest.config.ts',
    `test/net/${file}`,
  ];
  const { VITEST: _, ...env } = process.env;
  try {
    await promisify(execFile)('unshare', ['--net', process.execPath, ...vitest], {
      cwd: ROOT,
      env: { ...env, NO_COLOR: '1' },
      timeout: TIMEOUT_MS,
    });
  } catch (error) {
    expect.fail((error as { stdout?: string }).stdout || String(error));
  }
});
