/** Domains of a user who may do nothing in particular, from a copy of what was built, in a runtime directory of their own. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cli } from './lib/cli.js';
import { BOOT_TIMEOUT_MS, PROMPT } from './lib/guest.js';
import { initramfs, ROOT } from './lib/images.js';
import { kernelPath, missing } from './lib/life.js';

const NOBODY = 65534;
const isRoot = process.getuid!() === 0;
const asUser = isRoot ? ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] : [];
const dir = mkdtempSync(join(tmpdir(), 'xenner-user-'));
const at = (name: string) => join(dir, name);
const env = { PATH: process.env.PATH, HOME: dir, XDG_RUNTIME_DIR: at('run') };

/** Why there is no such user to be. */
function unfit(): string | undefined {
  if (missing !== undefined) return missing;
  const [program = '', ...words] = [...asUser, process.execPath, '-e', '0'];
  return spawnSync(program, words).status === 0 ? undefined : 'another user cannot start this Node.js';
}
const why = unfit();

function mine(path: string): string {
  if (isRoot) chownSync(path, NOBODY, NOBODY);
  return path;
}

const start = (args: readonly string[], more: NodeJS.ProcessEnv = {}) =>
  new Cli(args, [...asUser, process.execPath, at('dist/cli/main.js')], { ...env, ...more });

async function run(args: readonly string[], more: NodeJS.ProcessEnv = {}) {
  const cli = start(args, more);
  cli.child.stdin.end();
  const { status } = await cli.end(BOOT_TIMEOUT_MS);
  return { status, stdout: cli.stdout, stderr: cli.stderr };
}

async function output(...args: string[]): Promise<string> {
  const ran = await run(args);
  expect(ran, args.join(' ')).toMatchObject({ status: 0, stderr: '' });
  return ran.stdout;
}

function config(name: string, more: string): string {
  const boot = `kernel = "${at('vmlinuz')}"\nramdisk = "${at('ramdisk')}"\nextra = "console=hvc0 quiet"`;
  writeFileSync(at(name), `name = "${name}"\n${boot}\nmemory = 128\n${more}`);
  return at(name);
}

describe.skipIf(why !== undefined)(
  `a user${why ? ` (skipped: ${why})` : ''}`,
  { timeout: 4 * BOOT_TIMEOUT_MS },
  () => {
    beforeAll(() => {
      chmodSync(mine(dir), 0o755);
      for (const part of ['dist', 'build/Release', 'package.json'])
        cpSync(join(ROOT, part), at(part), { recursive: true });
      copyFileSync(kernelPath, at('vmlinuz'));
      initramfs(at('ramdisk'));
      mkdirSync(at('run'), { mode: 0o700 });
      mine(at('run'));
      for (const name of ['disk', 'secret']) writeFileSync(at(name), Buffer.alloc(1024 * 1024));
      mine(at('disk'));
      chmodSync(at('secret'), 0);
    });
    afterAll(async () => {
      await run(['destroy', 'own']);
      rmSync(dir, { recursive: true, force: true });
    });

    it('has domains', async () => {
      const nic = `vif = ["bridge=xenbr0,mac=00:16:3e:00:00:05"]\n`;
      const created = await run(['create', config('own', `${nic}disk = ["${at('disk')},raw,xvda,w"]\n`)]);
      expect(created).toMatchObject({ status: 0, stdout: '' });
      expect(created.stderr).toBe(
        'xenner: vif 0: bridge=xenbr0: only root can join a bridge, so passt is its network\n',
      );
      const list = JSON.parse(await output('list', '--json')) as { name: string; domid: number }[];
      expect(list).toMatchObject([{ name: 'own', domid: 1 }]);
      expect(JSON.parse(await output('network-list', '--json', 'own'))).toMatchObject([{ port: 'passt' }]);
      const cli = start(['console', 'own']);
      await cli.script.expect(PROMPT, BOOT_TIMEOUT_MS);
      expect((await cli.script.run('echo $((6 * 7))')).output).toBe('42\n');
      await output('shutdown', '-w', 'own');
      expect(await cli.end(BOOT_TIMEOUT_MS)).toMatchObject({ status: 0 });
      expect(await output('list', '--json')).toBe('[]\n');
    });

    it("is told what is not this user's", async () => {
      const refused = await run(['create', config('locked', `disk = ["${at('secret')},raw,xvda,w"]\n`)]);
      expect(refused).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/^xenner: .*EACCES.*secret.*\n$/),
      });
      const nowhere = await run(['list'], { XDG_RUNTIME_DIR: undefined });
      expect(nowhere.stderr).toMatch(/^xenner: neither XENNER_RUN_DIR nor XDG_RUNTIME_DIR says .*\n$/);
      mkdirSync(at('open'), { mode: 0o755 });
      const shared = await run(['list'], { XENNER_RUN_DIR: at('open') });
      expect(shared).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/open is not this user's alone/),
      });
    });
  },
);
