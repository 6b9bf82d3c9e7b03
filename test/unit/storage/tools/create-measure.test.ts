/** `xenner img create` makes what `qemu-img create` makes; `xenner img measure` tells what `qemu-img measure` tells. */
import { readdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { holdOpen, missingQemu, qemuImg, qemuIo, scratch } from '../scratch.js';
import { imgIn, qemuImgIn } from './img.js';

const at = scratch();
const folder = dirname(at('x'));
const skipped = missingQemu ? ` (skipped: ${missingQemu})` : '';
const factsOf = (path: string) => {
  const { filename: _, 'actual-size': __, ...facts } = JSON.parse(qemuImg('info', '--output=json', path));
  return facts;
};

describe.skipIf(missingQemu !== undefined)(`img create${skipped}`, () => {
  it.each([
    ['raw', ['-f', 'raw', '1000001']],
    ['qcow2', ['-f', 'qcow2', '10G']],
    [
      'all options',
      [
        '-f',
        'qcow2',
        '-o',
        'cluster_size=2M,lazy_refcounts=on,extended_l2=on',
        '-o',
        'refcount_bits=64,compression_type=zstd',
        '1T',
      ],
    ],
    ['version 2', ['-f', 'qcow2', '-o', 'compat=0.10,cluster_size=512', '10M']],
    ['with its tables', ['-f', 'qcow2', '-o', 'preallocation=metadata,cluster_size=4k', '10M']],
    ['with all its space', ['-f', 'qcow2', '-o', 'preallocation=falloc', '5M']],
    ['with all its space written', ['-f', 'qcow2', '-o', 'preallocation=full,extended_l2=on', '5M']],
    ['above another, as large', ['-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2']],
    ['above another that is not there', ['-f', 'qcow2', '-u', '-b', 'none.raw', '-F', 'raw', '7M']],
  ])('%s', (_, args) => {
    qemuImg('create', '-q', '-f', 'qcow2', at('base.qcow2'), '3M');
    const withFile = (name: string) =>
      /^\d/.test(args.at(-1)!) ? args.toSpliced(-1, 0, name) : [...args, name];
    const ours = imgIn(folder, 'create', ...withFile('ours.img'));
    expect(ours).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^Formatting 'ours.img', fmt=.*\n$/),
    });
    expect(qemuImgIn(folder, 'create', ...withFile('theirs.img')).status).toBe(0);
    expect(factsOf(at('ours.img'))).toEqual(factsOf(at('theirs.img')));
    if (args.includes('raw') || args.includes('-u')) return;
    expect(qemuImg('check', at('ours.img'))).toContain('No errors');
    expect(qemuImgIn(folder, 'compare', 'ours.img', 'theirs.img').status).toBe(0);
    if (/falloc|full/.test(args.join()))
      expect(statSync(at('ours.img')).blocks * 512).toBeGreaterThanOrEqual(5 * 2 ** 20);
  });

  it('in place of an image, unless that is in use; nothing is left of what fails', async () => {
    expect(imgIn(folder, 'create', '-q', '-f', 'qcow2', 'a.qcow2', '1M')).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
    const holder = await holdOpen(at('a.qcow2'));
    expect(imgIn(folder, 'create', '-f', 'qcow2', 'a.qcow2', '2M').stderr).toContain('in use');
    await holder.end();
    for (const args of [
      ['-o', 'cluster_size=3', 'a.qcow2', '2M'],
      ['a.qcow2'],
      ['-o', 'colour=red', 'a.qcow2', '2M'],
      ['-b', 'none', '-F', 'raw', 'a.qcow2'],
      ['-b', 'none', 'a.qcow2', '2M'],
      ['a.qcow2', '2X'],
    ])
      expect(imgIn(folder, 'create', '-f', 'qcow2', ...args), args.join(' ')).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/^xenner: .*\n$/),
      });
    expect(factsOf(at('a.qcow2'))['virtual-size']).toBe(2 ** 20);
    expect(imgIn(folder, 'create', '-f', 'qcow2', 'a.qcow2', '2M').status).toBe(0);
    expect(factsOf(at('a.qcow2'))['virtual-size']).toBe(2 ** 21);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

describe.skipIf(missingQemu !== undefined)(`img measure${skipped}`, () => {
  it.each([
    [['--size', '10G', '-O', 'qcow2']],
    [['--size', '3T', '-O', 'qcow2', '-o', 'cluster_size=2M']],
    [['--size', '12345678', '-O', 'qcow2', '-o', 'cluster_size=512,refcount_bits=64']],
    [['--size', '10G', '-O', 'qcow2', '-o', 'extended_l2=on,preallocation=falloc']],
    [['--size', '1000', '-O', 'raw']],
    [['-O', 'qcow2', 'data.raw']],
    [['-O', 'qcow2', '-o', 'cluster_size=4k', '-f', 'qcow2', 'data.qcow2']],
    [['-O', 'raw', 'data.qcow2']],
  ])('%j', (args) => {
    qemuImg('create', '-q', '-f', 'raw', at('data.raw'), '20M');
    qemuIo(at('data.raw'), ['write 0 100k', 'write 5M 1M'], '-f', 'raw');
    qemuImg('create', '-q', '-f', 'qcow2', '-b', 'data.raw', '-F', 'raw', at('data.qcow2'), '30M');
    qemuIo(at('data.qcow2'), ['write 64k 64k', 'write -z 5M 128k', 'write 25M 640k']);
    qemuImg('bitmap', '--add', '-g', '512', at('data.qcow2'), 'changes');
    for (const output of ['human', 'json']) {
      const [ours, theirs] = [imgIn, qemuImgIn].map((run) =>
        run(folder, 'measure', `--output=${output}`, ...args),
      );
      expect(ours!.status).toBe(0);
      expect(output === 'json' ? JSON.parse(ours!.stdout) : ours).toEqual(
        output === 'json' ? JSON.parse(theirs!.stdout) : theirs,
      );
    }
  });
});
