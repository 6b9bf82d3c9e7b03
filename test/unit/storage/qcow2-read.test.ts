/** What qemu-img writes, we read: every option of the format. */
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type OpenImageOptions, openImage } from '../../../src/mgmt/storage/open-image.js';
import { Qcow2Image } from '../../../src/mgmt/storage/qcow2/image.js';
import { expectContent, KIB, MIB, patchwork } from './disk-model.js';
import { missingQemu, qemuImg, qemuIo, scratch } from './scratch.js';

const file = scratch();
const disk = patchwork(5 * MIB + 512, 3);
const raw = file('disk.raw');
writeFileSync(raw, disk);

const PASSWORD = 'correct horse';
const SECRET = ['--object', `secret,id=key,data=${PASSWORD}`];
const CBC = ',encrypt.cipher-mode=cbc';
const luks = (more = '') => `encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10${more}`;

/** It measures how fast the CPU is, by a clock that may be too coarse for it; then it says so, and may be asked again. */
function encrypt(options: string, path: string): void {
  for (let tries = 20; ; tries--) {
    try {
      qemuImg('convert', ...SECRET, '-f', 'raw', '-O', 'qcow2', '-o', options, raw, path);
      return;
    } catch (error) {
      if (tries === 0 || !String(error).includes('accurate CPU usage')) throw error;
    }
  }
}

async function readBack(path: string, content: Uint8Array, options: OpenImageOptions = {}): Promise<void> {
  const image = await openImage(path, { readOnly: true, ...options });
  try {
    await expectContent(image, content);
  } finally {
    await image.close();
  }
}

describe.skipIf(missingQemu)(`images of qemu-img (skipped: ${missingQemu})`, () => {
  const rows: [string, string, string[]?][] = [
    ['as they come', ''],
    ['version 2', 'compat=0.10'],
    ['clusters of 512 bytes', 'cluster_size=512'],
    ['clusters of 4 KiB', 'cluster_size=4096'],
    ['clusters of 2 MiB', 'cluster_size=2M'],
    ['refcounts of 1 bit', 'refcount_bits=1'],
    ['refcounts of 64 bits', 'refcount_bits=64,cluster_size=512'],
    ['lazy refcounts', 'lazy_refcounts=on'],
    ['preallocated metadata', 'preallocation=metadata'],
    ['preallocated space', 'preallocation=falloc'],
    ['preallocated zeros', 'preallocation=full'],
    ['subclusters', 'extended_l2=on,cluster_size=128k'],
    ['small subclusters', 'extended_l2=on,cluster_size=16k'],
    ['large subclusters, preallocated', 'extended_l2=on,cluster_size=2M,preallocation=metadata'],
    ['compressed by zlib', '', ['-c']],
    ['compressed by zlib, 512 bytes', 'cluster_size=512', ['-c']],
    ['compressed by zlib, 2 MiB', 'cluster_size=2M', ['-c']],
    ['compressed by zstd', 'compression_type=zstd', ['-c']],
    ['compressed by zstd, 4 KiB', 'compression_type=zstd,cluster_size=4k', ['-c']],
    ['compressed with subclusters', 'extended_l2=on,cluster_size=64k', ['-c']],
    ['data in another file', `data_file=${file('other.data')}`],
    ['data in another file, raw', `data_file=${file('raw.data')},data_file_raw=on`],
  ];
  it.each(rows)('%s', async (name, options, flags = []) => {
    const path = file(`${name}.qcow2`);
    const made = options === '' ? [] : ['-o', options];
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', ...flags, ...made, raw, path);
    await readBack(path, disk);
    await readBack(path, disk, { format: 'qcow2', cache: 'writethrough' });
  });

  const ciphers: [string, string][] = [
    ['LUKS', luks()],
    ['LUKS, AES-128 XTS, SHA-1', luks(',encrypt.cipher-alg=aes-128,encrypt.hash-alg=sha1')],
    [
      'LUKS, CBC with ESSIV, SHA-512',
      luks(`${CBC},encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256,encrypt.hash-alg=sha512`),
    ],
    ['LUKS, CBC with plain64', luks(`${CBC},encrypt.ivgen-alg=plain64`)],
    ['AES', 'encrypt.format=aes,encrypt.key-secret=key'],
  ];
  it.each(ciphers)('encrypted: %s', async (name, options) => {
    const path = file(`${name}.qcow2`);
    encrypt(options, path);
    await readBack(path, disk, { password: PASSWORD });
    await expect(openImage(path, { readOnly: true })).rejects.toThrow(/is encrypted; give its password/);
    if (name === 'AES') return;
    const wrong = openImage(path, { readOnly: true, password: 'wrong' });
    await expect(wrong).rejects.toThrow(/the password does not open/);
  });

  it('a key in the last of several slots', async () => {
    const path = file('slots.qcow2');
    encrypt(luks(), path);
    const image = `driver=qcow2,file.filename=${path},encrypt.key-secret=key`;
    const second = ['--object', 'secret,id=new,data=second'];
    qemuImg(
      'amend',
      ...SECRET,
      ...second,
      '-o',
      'encrypt.state=active,encrypt.new-secret=new,encrypt.keyslot=7,encrypt.iter-time=10',
      '--image-opts',
      image,
    );
    await readBack(path, disk, { password: 'second' });
    await readBack(path, disk, { password: PASSWORD });
  });

  it('zero clusters, with and without space, and what was discarded', async () => {
    const path = file('zeros.qcow2');
    const content = Buffer.from(disk);
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', raw, path);
    qemuIo(path, ['write -z 64k 256k', 'write -z -u 512k 100k', 'discard 1M 512k', 'write -P 7 1M 3k']);
    content.fill(0, 64 * KIB, 320 * KIB);
    content.fill(0, 512 * KIB, 612 * KIB);
    content.fill(0, 1024 * KIB, 1536 * KIB);
    content.fill(7, 1024 * KIB, 1027 * KIB);
    await readBack(path, content);
  });
});

describe.skipIf(missingQemu)(`images above others (skipped: ${missingQemu})`, () => {
  it.each(['cluster_size=64k', 'extended_l2=on', 'cluster_size=512', 'compat=0.10'])(
    'three layers, each longer: %s',
    async (options) => {
      const [base, middle, top] = ['base', 'middle', 'top'].map((name) =>
        file(`${name}-${options.length}.img`),
      ) as [string, string, string];
      copyFileSync(raw, base);
      qemuImg('create', '-f', 'qcow2', '-o', `backing_file=${base},backing_fmt=raw,${options}`, middle, '7M');
      qemuIo(middle, ['write -P 1 6M 512k', 'write -P 2 100k 3k', 'write -P 3 5119k 2k']);
      qemuImg(
        'create',
        '-f',
        'qcow2',
        '-o',
        `backing_file=${middle},backing_fmt=qcow2,${options}`,
        top,
        '9M',
      );
      qemuIo(top, ['write -P 4 6200k 10k', 'write -P 5 101k 512']);
      if (!options.includes('0.10')) qemuIo(top, ['write -z 200k 300k']);
      const content = Buffer.alloc(9 * MIB);
      disk.copy(content);
      content.fill(1, 6 * MIB, 6 * MIB + 512 * KIB);
      content.fill(2, 100 * KIB, 103 * KIB);
      content.fill(3, 5119 * KIB, 5121 * KIB);
      content.fill(4, 6200 * KIB, 6210 * KIB);
      content.fill(5, 101 * KIB, 101 * KIB + 512);
      if (!options.includes('0.10')) content.fill(0, 200 * KIB, 500 * KIB);
      await readBack(top, content);
    },
  );

  it('a backing file is found beside the image, wherever both are', async () => {
    mkdirSync(file('here'));
    copyFileSync(raw, file('here/base.raw'));
    qemuImg('create', '-f', 'qcow2', '-b', 'base.raw', '-F', 'raw', file('here/top.qcow2'));
    qemuImg(
      'create',
      '-u',
      '-f',
      'qcow2',
      '-b',
      'file:base.raw',
      '-F',
      'raw',
      file('here/protocol.qcow2'),
      `${disk.length}`,
    );
    renameSync(file('here'), file('there'));
    await readBack(file('there/top.qcow2'), disk);
    await readBack(file('there/protocol.qcow2'), disk);
  });

  it('refuses what leads back to itself, leads nowhere or is no file', async () => {
    const code = (name: string) => expect.objectContaining({ code: name });
    const above = (name: string, backing: string) =>
      qemuImg('create', '-u', '-f', 'qcow2', '-b', backing, '-F', 'qcow2', file(name), '1M');
    above('self.qcow2', 'self.qcow2');
    above('ring-a.qcow2', 'ring-b.qcow2');
    above('ring-b.qcow2', 'ring-a.qcow2');
    above('nowhere.qcow2', 'absent.qcow2');
    above('remote.qcow2', 'nbd://localhost/x');
    above('json.qcow2', 'json:{}');
    for (let i = 0; i <= 66; i++) above(`deep-${i}.qcow2`, `deep-${i + 1}.qcow2`);
    await expect(openImage(file('self.qcow2'), { readOnly: true })).rejects.toThrow(
      /a backing file of itself/,
    );
    await expect(openImage(file('ring-a.qcow2'), { readOnly: true })).rejects.toThrow(
      /a backing file of itself/,
    );
    await expect(openImage(file('deep-0.qcow2'), { readOnly: true })).rejects.toThrow(/more than 64 images/);
    await expect(openImage(file('nowhere.qcow2'), { readOnly: true })).rejects.toThrow(code('ENOENT'));
    await expect(openImage(file('remote.qcow2'), { readOnly: true })).rejects.toThrow(
      code('EIMAGE_UNSUPPORTED'),
    );
    await expect(openImage(file('json.qcow2'), { readOnly: true })).rejects.toThrow(
      code('EIMAGE_UNSUPPORTED'),
    );
    // Nothing of it stays locked.
    qemuImg('create', '-f', 'qcow2', file('self.qcow2'), '1M');
    await readBack(file('self.qcow2'), Buffer.alloc(MIB));
  });
});

describe.skipIf(missingQemu)(`internal snapshots (skipped: ${missingQemu})`, () => {
  it('are listed, and each is what the disk was', async () => {
    const path = file('snapshots.qcow2');
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', raw, path);
    qemuImg('snapshot', '-c', 'first', path);
    qemuIo(path, ['write -P 9 0 1M']);
    qemuImg('snapshot', '-c', 'second', path);
    qemuIo(path, ['write -P 8 512k 64k']);
    const second = Buffer.from(disk).fill(9, 0, MIB);
    const now = Buffer.from(second).fill(8, 512 * KIB, 576 * KIB);
    await readBack(path, now);
    await readBack(path, disk, { snapshot: 'first' });
    await readBack(path, second, { snapshot: '2' });
    const image = await openImage(path, { readOnly: true });
    const listed = image instanceof Qcow2Image ? image.snapshots : [];
    expect(listed.map(({ id, name }) => [id, name])).toEqual([
      ['1', 'first'],
      ['2', 'second'],
    ]);
    expect(Math.abs((listed[0]?.createdMs ?? 0) - Date.now())).toBeLessThan(3_600_000);
    await image.close();
    await expect(openImage(path, { readOnly: true, snapshot: 'third' })).rejects.toThrow(
      /no snapshot "third"/,
    );
    await expect(openImage(path, { snapshot: 'first' })).rejects.toThrow(/can only be read/);
  });

  it('keep the size that the disk had', async () => {
    const path = file('grown.qcow2');
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', raw, path);
    qemuImg('snapshot', '-c', 'before', path);
    qemuImg('resize', path, '8M');
    await readBack(path, Buffer.concat([disk], 8 * MIB));
    await readBack(path, disk, { snapshot: 'before' });
  });
});
