/** `xenner config`, as a user starts it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CLI = fileURLToPath(new URL('../../../../dist/cli/main.js', import.meta.url));
const CORPUS = fileURLToPath(new URL('corpus/', import.meta.url));
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xenner-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function config(...args: string[]) {
  return spawnSync(process.execPath, [CLI, 'config', ...args], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
  });
}

/** An archive as XenServer begins it. */
function xva(): string {
  const ova = readFileSync(`${CORPUS}ova-wheezy.xml`);
  const header = Buffer.alloc(512);
  header.write('ova.xml');
  header.write(`${ova.length.toString(8).padStart(11, '0')}\0`, 124);
  writeFileSync(join(folder, 'wiki.xva'), Buffer.concat([header, ova, Buffer.alloc(1024)]));
  return 'wiki.xva';
}

describe('xenner config', () => {
  it('says what is understood, and what is not with its line', () => {
    const { stdout, stderr, status } = config(`${CORPUS}xm-etch-web1.cfg`, 'vnc=1', 'memory=512');
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout).toContain('name          web1\n');
    expect(stdout).toContain('memory        512 MiB\n');
    expect(stdout).toContain('disk sda1     /dev/vg0/web1-disk, raw\n');
    expect(stdout).toContain('web1.cfg: unsupported: vnc: there is no graphical console');
  });

  it('exits with 1 and the reason for a guest that is none for us', () => {
    const { stdout, status } = config(`${CORPUS}xl-hvm.cfg`);
    expect(status).toBe(1);
    expect(stdout).toMatch(/xl-hvm\.cfg:1: error: builder: this is no PV guest but an HVM guest/);
  });

  it('prints JSON that it can read again', () => {
    const first = config('--json', `${CORPUS}xl-pv.cfg`);
    const report = JSON.parse(first.stdout);
    expect(report).toMatchObject({ format: 'xl', bootable: true, config: { c_info: { name: 'db01' } } });
    writeFileSync(join(folder, 'a.json'), JSON.stringify(report.config));
    expect(JSON.parse(config('--json', 'a.json').stdout).config).toEqual(report.config);
  });

  it('finds ova.xml in an archive, whose disks are then there', () => {
    const { stdout, status } = config(xva());
    expect(stdout).toContain(`disk xvda     ${join(folder, 'wiki.xva')}, Ref:4, xva\n`);
    expect(status).toBe(0);
  });

  it('does not let a file drive the terminal', () => {
    writeFileSync(join(folder, 'evil.cfg'), 'name = "\\x1b[31mred"\nkernel = "/k\u202e"\n');
    const { stdout } = config('evil.cfg');
    for (const bad of ['\u001b', '\u202e']) expect(stdout).not.toContain(bad);
  });

  it.each([
    ['bootloader_args=["--list-entries"]', /bootloader_args: pygrub: --list-entries boots nothing/],
    ['bootloader_args=["--offset=1M"]', /bootloader_args: pygrub: --offset "1M" is no number of bytes/],
    ['disk=["cache=unsafe,vdev=xvda,target=/a"]', /disk: .*cache=unsafe: none, writeback, writethrough/],
  ])('takes no %s', (override, why) => {
    const { stdout, status } = config(`${CORPUS}xl-pygrub.cfg`, override);
    expect(status).toBe(1);
    expect(stdout).toMatch(why);
  });

  it.each([
    [['no-such-file'], 'xenner: configuration no-such-file does not exist'],
    [['.'], 'not a regular file'],
    [[`${CORPUS}xl-pv.cfg`, 'memory'], 'not of the form key=value'],
    [[CLI.replace('cli/main.js', '../build/Release/xenner.node')], 'no configuration of a domain'],
  ])('refuses %j in one line', (args, why) => {
    const { stdout, stderr, status } = config(...args);
    expect({ stdout, status }).toEqual({ stdout: '', status: 1 });
    expect(stderr).toContain(why);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });
});
