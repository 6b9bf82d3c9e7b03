/** `xenner img info` prints what `qemu-img info` prints, as text and as JSON. */
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { imageChain, imageInfo } from '../../../../src/mgmt/index.js';
import { holdOpen, missingQemu, qemuImg, qemuIo, scratch } from '../scratch.js';
import { imgIn, qemuImgIn } from './img.js';

const at = scratch();
const folder = dirname(at('x'));
const skipped = missingQemu ? ` (skipped: ${missingQemu})` : '';

function make(name: string, ...args: string[]): string {
  qemuImg('create', '-q', ...args.slice(0, -1), at(name), args.at(-1)!);
  return name;
}

describe.skipIf(missingQemu !== undefined)(`img info${skipped}`, () => {
  it.each([
    ['raw', () => make('a.raw', '-f', 'raw', '10M')],
    [
      'a raw file that ends within a sector',
      () => {
        writeFileSync(at('odd.raw'), 'odd');
        truncateSync(at('odd.raw'), 1000);
        return 'odd.raw';
      },
    ],
    ['vpc', () => make('a.vhd', '-f', 'vpc', '10M')],
    ['qcow2', () => make('a.qcow2', '-f', 'qcow2', '1234M')],
    ['version 2', () => make('old.qcow2', '-f', 'qcow2', '-o', 'compat=0.10', '999G')],
    [
      'all options',
      () =>
        make(
          'all.qcow2',
          '-f',
          'qcow2',
          '-o',
          'cluster_size=2M,lazy_refcounts=on,extended_l2=on,refcount_bits=64,compression_type=zstd',
          '5T',
        ),
    ],
    [
      'a data file',
      () => make('data.qcow2', '-f', 'qcow2', '-o', `data_file=${at('data.raw')},data_file_raw=on`, '1M'),
    ],
    [
      'LUKS',
      () =>
        make(
          'cbc.qcow2',
          '-f',
          'qcow2',
          '--object',
          'secret,id=s,data=abc',
          '-o',
          'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256',
          '1M',
        ),
    ],
    [
      'AES',
      () =>
        make(
          'aes.qcow2',
          '-f',
          'qcow2',
          '--object',
          'secret,id=s,data=abc',
          '-o',
          'encrypt.format=aes,encrypt.key-secret=s',
          '1M',
        ),
    ],
    [
      'snapshots and bitmaps',
      () => {
        make('snap.qcow2', '-f', 'qcow2', '1G');
        qemuImg('snapshot', '-c', 'one', at('snap.qcow2'));
        qemuImg('snapshot', '-c', 'a second one with a long name', at('snap.qcow2'));
        qemuImg('bitmap', '--add', '-g', '32k', at('snap.qcow2'), 'b0');
        qemuImg('bitmap', '--add', '--disable', at('snap.qcow2'), 'b1');
        return 'snap.qcow2';
      },
    ],
    [
      'not closed well',
      () => {
        make('dirty.qcow2', '-f', 'qcow2', '-o', 'lazy_refcounts=on', '1G');
        expect(() => qemuIo(at('dirty.qcow2'), ['write 0 1M', 'flush', 'abort'])).toThrow();
        return 'dirty.qcow2';
      },
    ],
  ])('%s', (_, prepare) => {
    const name = prepare();
    for (const output of ['human', 'json']) {
      const [ours, theirs] = [imgIn, qemuImgIn].map((run) => run(folder, 'info', `--output=${output}`, name));
      expect(ours).toEqual(theirs);
      expect(ours!.status).toBe(0);
    }
  });

  it('a chain of images, in other folders too', () => {
    mkdirSync(at('sub'));
    make('base.raw', '-f', 'raw', '3M');
    make('sub/middle.qcow2', '-f', 'qcow2', '-b', '../base.raw', '-F', 'raw', '4M');
    make('top.qcow2', '-f', 'qcow2', '-b', 'sub/middle.qcow2', '-F', 'qcow2', '5M');
    for (const args of [['--output=json'], [], ['-U', '-f', 'qcow2']]) {
      const both = [imgIn, qemuImgIn].map((run) =>
        run(folder, 'info', '--backing-chain', ...args, 'top.qcow2'),
      );
      expect(both[0]).toEqual(both[1]);
    }
    const one = [imgIn, qemuImgIn].map((run) => run(folder, 'info', 'sub/middle.qcow2').stdout);
    expect(one[0]).toBe(one[1]);
  });

  it('an image that is above itself', async () => {
    make('first.qcow2', '-f', 'qcow2', '4M');
    make('second.qcow2', '-f', 'qcow2', '-b', 'first.qcow2', '-F', 'qcow2', '4M');
    qemuImg('rebase', '-u', '-f', 'qcow2', '-b', 'second.qcow2', '-F', 'qcow2', at('first.qcow2'));
    await expect(imageChain(at('second.qcow2'))).rejects.toMatchObject({ code: 'EBACKING' });
    expect((await imageInfo(at('second.qcow2')))['backing-filename']).toBe('first.qcow2');
  });

  it('an image that is being written, only with -U', async () => {
    make('held.qcow2', '-f', 'qcow2', '4M');
    const holder = await holdOpen(at('held.qcow2'));
    try {
      const refused = imgIn(folder, 'info', 'held.qcow2');
      expect(refused.status).toBe(1);
      expect(refused.stderr).toMatch(/^xenner: held.qcow2 is in use by process \d+ \(qemu-io\).*\n$/);
      expect(imgIn(folder, 'info', '-U', 'held.qcow2')).toEqual(
        qemuImgIn(folder, 'info', '-U', 'held.qcow2'),
      );
    } finally {
      await holder.end();
    }
  });

  it.each([
    ['no such file', ['nothing.qcow2'], /^xenner: .*ENOENT.*\n$/],
    ['a wrong output', ['--output=xml', 'x'], /^xenner: .*xml.*\n$/],
    ['no file', [], /^xenner: missing required argument 'file'\n$/],
    ['a format that there is not', ['-f', 'vmdk', 'x'], /^xenner: there is no image format "vmdk"/],
  ])('%s: status 1, and one line', (_, args, message) => {
    const { status, stderr } = imgIn(folder, 'info', ...args);
    expect(status).toBe(1);
    expect(stderr).toMatch(message);
  });
});
