/** Exports of XenServer, imported and booted: what xenner import makes is what xenner create takes. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BOOT_TIMEOUT_MS } from './lib/guest.js';
import { initramfs } from './lib/images.js';
import { kernelPath, LiveHost, missing, onConsole, output, xenner } from './lib/life.js';

const MIB = 1024 * 1024;
const host = new LiveHost('imp');
const { dir, ramdisk } = host;
const title = missing === undefined ? 'import' : `import (skipped: ${missing})`;
const archive = join(dir, 'wiki.xva');

afterEach(() => host.destroyAll());
afterAll(() => host.remove());

type Fields = Readonly<Record<string, string | readonly string[]>>;

/** As xapi has values in XML-RPC. */
function value(of: string | readonly string[]): string {
  if (typeof of === 'string') return `<value>${of}</value>`;
  return `<value><array><data>${of.map(value).join('')}</data></array></value>`;
}
const struct = (fields: Readonly<Record<string, string>>) =>
  `<value><struct>${Object.entries(fields)
    .map(([name, xml]) => `<member><name>${name}</name>${xml}</member>`)
    .join('')}</struct></value>`;
const record = (kind: string, id: string, fields: Fields) =>
  struct({
    class: value(kind),
    id: value(id),
    snapshot: struct(Object.fromEntries(Object.entries(fields).map(([name, of]) => [name, value(of)]))),
  });

function ova(sizeBytes: number, policy = ''): string {
  const bytes = String(128 * MIB);
  const vm = {
    ...{
      name_label: 'wiki (Debian 7)',
      uuid: '5b2dd1f5-6f3e-4f3c-8bb2-1f2e0d5a7a10',
      HVM_boot_policy: policy,
    },
    ...{ memory_static_max: bytes, memory_dynamic_max: bytes, VCPUs_max: '1', VCPUs_at_startup: '1' },
    ...{ PV_bootloader: 'pygrub', PV_args: 'imported', VBDs: ['Ref:3'], VIFs: [] },
  };
  const objects = [
    record('VM', 'Ref:0', vm),
    record('VBD', 'Ref:3', {
      VM: 'Ref:0',
      VDI: 'Ref:4',
      userdevice: '0',
      mode: 'RW',
      type: 'Disk',
      empty: '0',
    }),
    record('VDI', 'Ref:4', { virtual_size: String(sizeBytes) }),
  ];
  const list = `<value><array><data>${objects.join('')}</data></array></value>`;
  return `<?xml version='1.0'?>\n${struct({ version: struct({ product_brand: value('XenServer') }), objects: list })}`;
}

/** A disk that pygrub boots. */
function bootDisk(): Buffer {
  const root = join(dir, 'root');
  mkdirSync(join(root, 'boot/grub'), { recursive: true });
  copyFileSync(kernelPath, join(root, 'boot/vmlinuz'));
  copyFileSync(ramdisk, join(root, 'boot/initrd'));
  writeFileSync(
    join(root, 'boot/grub/menu.lst'),
    'default 0\ntitle Linux\nroot (hd0)\nkernel /boot/vmlinuz console=hvc0 quiet\ninitrd /boot/initrd\n',
  );
  const path = host.disk('root.img');
  truncateSync(path, 64 * MIB);
  execFileSync('mkfs.ext4', ['-q', '-F', '-d', root, path], { timeout: 60_000 });
  return readFileSync(path);
}

/** Packed by GNU tar. @param damage of the last piece's first byte */
function pack(path: string, disk: Buffer, { policy = '', damage = 0 } = {}): void {
  const tree = `${path}.tree`;
  const names = ['ova.xml'];
  const add = (name: string, content: string | Uint8Array) => {
    mkdirSync(dirname(join(tree, name)), { recursive: true });
    writeFileSync(join(tree, name), content);
    names.push(name);
  };
  mkdirSync(tree);
  writeFileSync(join(tree, 'ova.xml'), ova(disk.length, policy));
  const last = disk.length / MIB - 1;
  for (let i = 0; i <= last; i++) {
    const piece = Buffer.from(disk.subarray(i * MIB, (i + 1) * MIB));
    if (i !== 0 && i !== last && piece.every((byte) => byte === 0)) continue;
    const name = `Ref:4/${String(i).padStart(8, '0')}`;
    const sum = createHash('sha1').update(piece).digest('hex');
    if (i === last) piece[0]! ^= damage;
    add(name, piece);
    add(`${name}.checksum`, sum);
  }
  execFileSync('tar', ['--format=ustar', '-cf', path, '-C', tree, ...names]);
}

describe.skipIf(missing !== undefined)(title, { timeout: 4 * BOOT_TIMEOUT_MS }, () => {
  let disk: Buffer;
  beforeAll(() => {
    initramfs(ramdisk);
    disk = bootDisk();
    pack(archive, disk);
    writeFileSync(`${archive}.gz`, gzipSync(readFileSync(archive), { level: 1 }));
  });

  it.each([
    ['raw', archive],
    ['qcow2', `${archive}.gz`],
    ['vhd', archive],
  ])('to %s, and boots', async (format, from) => {
    const folder = join(dir, format);
    const config = (await output('import', '--format', format, from, folder)).trim();
    expect(config).toBe(join(folder, 'wiki-Debian-7.cfg'));
    expect(readdirSync(folder).sort()).toEqual([`wiki-Debian-7-xvda.${format}`, 'wiki-Debian-7.cfg']);
    await output('create', config);
    const cmdline = await onConsole(
      'wiki-Debian-7',
      async ({ script }) => (await script.run('cat /proc/cmdline')).output,
    );
    expect(cmdline).toMatch(/ imported$/m);
    const again = await xenner('import', '--format', format, from, folder);
    expect(again).toMatchObject({ status: 1, stderr: expect.stringMatching(/is there already/) });
    expect(existsSync(config)).toBe(true);
  });

  it('leaves nothing of an archive that is damaged, or of another kind of guest', async () => {
    const folder = join(dir, 'none');
    pack(join(dir, 'damaged.xva'), disk, { damage: 1 });
    const damaged = await xenner('import', join(dir, 'damaged.xva'), folder);
    expect(damaged).toMatchObject({
      status: 1,
      stderr: 'xenner: Ref:4/00000063 is not as its checksum says; export the guest again\n',
    });
    pack(join(dir, 'hvm.xva'), disk, { policy: 'BIOS order' });
    const hvm = await xenner('import', join(dir, 'hvm.xva'), folder);
    expect(hvm).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(/error: .*no PV guest/),
    });
    const half = readFileSync(archive).subarray(0, 3 * MIB);
    writeFileSync(join(dir, 'half.xva'), half);
    expect(await xenner('import', join(dir, 'half.xva'), folder)).toMatchObject({ status: 1, stdout: '' });
    expect(await xenner('import', kernelPath, folder)).toMatchObject({ status: 1, stdout: '' });
    expect(readdirSync(folder)).toEqual([]);
  });
});
