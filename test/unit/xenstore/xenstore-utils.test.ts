/** Debian's xenstore-utils, unchanged, against the socket: XENSTORED_PATH is all that they are told. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Xenstore, type XenstoreHandle, XenstoreSocket } from '../../../src/xenner/xenstore/index.js';

const installed = existsSync('/usr/bin/xenstore-ls');
const reason = installed ? '' : ' (skipped: xenstore-utils is not installed)';

let folder: string;
let path: string;
let store: Xenstore;
let host: XenstoreHandle;
let server: XenstoreSocket;

const environment = () => ({ ...process.env, XENSTORED_PATH: path });

/** Standard output, or the exit status where that is not 0. */
function run(name: string, ...args: string[]): Promise<string | number> {
  return new Promise((resolve) => {
    execFile(`/usr/bin/xenstore-${name}`, args, { env: environment(), timeout: 60_000 }, (error, stdout) => {
      resolve(error ? (typeof error.code === 'number' ? error.code : -1) : stdout);
    });
  });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'xenner-xenstore-utils-'));
  path = join(folder, 'socket');
  store = new Xenstore();
  host = store.client();
  server = await XenstoreSocket.listen(store, path);
});

afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

beforeEach(() => {
  host.rm('/a');
  host.write('/a/b', 'value');
  host.setPerms('/a/b', ['b0', 'r5', 'w6']);
});

describe.skipIf(!installed)(`xenstore-utils${reason}`, () => {
  it('read', async () => {
    expect(await run('read', '/a/b', '/tool')).toBe('value\n\n');
    expect(await run('read', '-p', '/a/b')).toBe('/a/b: value\n');
    expect(await run('read', '/none')).toBe(1);
  });

  it('write, with bytes of every kind', async () => {
    expect(await run('write', '/a/c/d', 'one', '/a/e', 'nul\\x00tab\\t')).toBe('');
    expect(host.read('/a/c/d')).toBe('one');
    expect(host.read('/a/e')).toBe('nul\0tab\t');
  });

  it('list', async () => {
    expect(await run('list', '/a')).toBe('b\n');
    expect(await run('list', '/none')).toBe(1);
  });

  it('exists', async () => {
    expect(await run('exists', '/a/b')).toBe('');
    expect(await run('exists', '/a/none')).toBe(1);
  });

  it('rm', async () => {
    expect(await run('rm', '/a/b')).toBe('');
    expect(host.directory('/a')).toEqual([]);
  });

  it('rm -t, which takes parents that become empty', async () => {
    host.write('/t/u/v', '');
    expect(await run('rm', '-t', '/t/u/v')).toBe('');
    expect(host.exists('/t')).toBe(false);
  });

  it('ls -f -p', async () => {
    expect(await run('ls', '-f', '-p', '/a')).toBe('/a/b = "value"   (b0,r5,w6)\n');
    const all = `${await run('ls', '-f')}`;
    expect(all).toContain('/tool/xenstored = ""');
    expect(all).toContain('/a/b = "value"');
  });

  it('ls of a directory that takes several answers', async () => {
    const names = Array.from({ length: 700 }, (_, i) => `child-number-${i}`);
    for (const name of names) host.write(`/a/${name}`, '');
    const list = `${await run('list', '/a')}`;
    expect(list.trimEnd().split('\n').sort()).toEqual(['b', ...names].sort());
  });

  it('chmod, also of everything below', async () => {
    expect(await run('chmod', '/a/b', 'n5', 'r6')).toBe('');
    expect(host.getPerms('/a/b')).toEqual(['n5', 'r6']);
    host.write('/a/x/y', '');
    expect(await run('chmod', '-r', '/a/x', 'n7')).toBe('');
    expect([host.getPerms('/a/x'), host.getPerms('/a/x/y')]).toEqual([['n7'], ['n7']]);
    expect(await run('chmod', '@releaseDomain', 'n0', 'r5')).toBe('');
    expect(host.getPerms('@releaseDomain')).toEqual(['n0', 'r5']);
  });

  it('watch', async () => {
    const watching = spawn('/usr/bin/xenstore-watch', ['-n', '3', '/a', '@releaseDomain'], {
      env: environment(),
    });
    const lines: string[] = [];
    for await (const line of createInterface(watching.stdout)) {
      lines.push(line);
      if (lines.length === 2) host.write('/a/b', 'changed');
    }
    expect(lines.slice(0, 2).sort()).toEqual(['/a', '@releaseDomain']);
    expect(lines.slice(2)).toEqual(['/a/b']);
  });
});
