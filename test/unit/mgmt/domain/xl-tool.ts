/** Xen's own xl as the judge: what it makes of a configuration, without Xen. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../../../../scripts/lib/xl.sh', import.meta.url));

export type Answer = { readonly config: Record<string, unknown> } | { readonly refused: string };

/** @returns undefined where the package cannot be had; standard error says why */
export function xlTool(): ((text: string) => Answer) | undefined {
  let folder: string;
  try {
    folder = execFileSync('bash', [SCRIPT], { encoding: 'utf8', timeout: 110_000 }).trim();
  } catch {
    return undefined;
  }
  return (text) => {
    const own = mkdtempSync(join(tmpdir(), 'xenner-xl-'));
    try {
      writeFileSync(join(own, 'a.cfg'), text);
      const end = spawnSync(join(folder, 'xl'), ['create', '--dryrun', '--quiet', 'a.cfg'], {
        cwd: own,
        encoding: 'utf8',
        env: { ...process.env, LD_PRELOAD: join(folder, 'shim.so') },
        timeout: 30_000,
      });
      if (end.status === null) throw new Error(`xl ended by ${end.signal}: ${end.stderr}`);
      return end.status === 0 ? { config: JSON.parse(end.stdout) } : { refused: end.stderr };
    } finally {
      rmSync(own, { recursive: true });
    }
  };
}
