/** `xenner img resize` and `xenner img map`, beside qemu-img's. */
import { copyFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { missingQemu, qemuImg, qemuIo, scratch } from '../scratch.js';
import { imgIn, qemuImgIn } from './img.js';

const at = scratch();
const folder = dirname(at('x'));
const skipped = missingQemu ? ` (skipped: ${missingQemu})` : '';
const sizeOf = (path: string) => JSON.parse(qemuImg('info', '--output=json', path))['virtual-size'];

function make(name: string, ...args: string[]): string {
  qemuImg('create', '-q', ...args.slice(0, -1), at(name), args.at(-1)!);
  return at(name);
}

describe.skipIf(missingQemu !== undefined)(`img resize${skipped}`, () => {
  it.each([
    ['qcow2 to a size', ['-f', 'qcow2'], ['2G']],
    ['qcow2 by a size', ['-f', 'qcow2'], ['+1.5G']],
    ['qcow2 to a smaller one', ['-f', 'qcow2'], ['--shrink', '1000448']],
    ['qcow2 by less', ['-f', 'qcow2', '-o', 'cluster_size=512'], ['--shrink', '--', '-3M']],
    ['raw to a size', ['-f', 'raw'], ['-f', 'raw', '5000000']],
    ['raw by less', ['-f', 'raw'], ['-f', 'raw', '--shrink', '--', '-1M']],
    ['version 2', ['-f', 'qcow2', '-o', 'compat=0.10'], ['--shrink', '1M']],
  ])('%s', (_, create, args) => {
    const image = make('a.img', ...create, '4M');
    qemuIo(image, ['write -P 5 0 4M'], '-f', create[1]!);
    copyFileSync(image, at('twin.img'));
    const place = args.includes('--') ? args.indexOf('--') + 1 : args.length - 1;
    const withFile = (name: string) => args.toSpliced(place, 0, name);
    const [ours, theirs] = [
      imgIn(folder, 'resize', ...withFile('a.img')),
      qemuImgIn(folder, 'resize', ...withFile('twin.img')),
    ];
    expect([ours.status, ours.stdout]).toEqual([0, theirs.stdout.replace(/^.*--shrink.*\n/m, '')]);
    expect(sizeOf(image)).toBe(sizeOf(at('twin.img')));
    const compared = qemuImgIn(folder, 'compare', '-f', create[1]!, '-F', create[1]!, 'a.img', 'twin.img');
    expect(compared.status).toBe(0);
    if (create[1] === 'qcow2') expect(qemuImg('check', image)).toContain('No errors');
  });

  it('and what was cut off does not come back', () => {
    const image = make('cut.qcow2', '-f', 'qcow2', '4M');
    qemuIo(image, ['write -P 5 0 4M']);
    expect(imgIn(folder, 'resize', '-q', '--shrink', 'cut.qcow2', '1000448').stdout).toBe('');
    expect(imgIn(folder, 'resize', 'cut.qcow2', '4M').status).toBe(0);
    qemuIo(image, ['read -P 5 0 1000448', `read -P 0 1000448 ${4 * 2 ** 20 - 1000448}`]);
  });

  it('not to less without --shrink, and not to nonsense', () => {
    make('b.qcow2', '-f', 'qcow2', '4M');
    expect(imgIn(folder, 'resize', 'b.qcow2', '1M')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('--shrink'),
    });
    for (const size of ['x', '1Q', '99999999E'])
      expect(imgIn(folder, 'resize', 'b.qcow2', size).status).toBe(1);
    expect(imgIn(folder, 'resize', '--shrink', 'b.qcow2', '--', '-5M').status).toBe(1);
    expect(sizeOf(at('b.qcow2'))).toBe(4 * 2 ** 20);
  });

  it('of raw with all its space', () => {
    const image = make('full.raw', '-f', 'raw', '1M');
    expect(imgIn(folder, 'resize', '-f', 'raw', '--preallocation=full', 'full.raw', '3M').status).toBe(0);
    expect(statSync(image).blocks * 512).toBeGreaterThanOrEqual(2 * 2 ** 20);
  });
});

describe.skipIf(missingQemu !== undefined)(`img map${skipped}`, () => {
  const both = (...args: string[]) => [imgIn, qemuImgIn].map((run) => run(folder, 'map', ...args));
  function chain(): void {
    const base = make('base.raw', '-f', 'raw', '1M');
    qemuIo(base, ['write 0 100k', 'write 300k 64k'], '-f', 'raw');
    const middle = make(
      'middle.qcow2',
      '-f',
      'qcow2',
      '-o',
      'cluster_size=4k',
      '-b',
      'base.raw',
      '-F',
      'raw',
      '2M',
    );
    qemuIo(middle, ['write 20k 8k', 'write 600k 100k', 'discard 300k 20k']);
    const top = make('top.qcow2', '-f', 'qcow2', '-b', 'middle.qcow2', '-F', 'qcow2', '3M');
    qemuIo(top, ['write 64k 64k', 'write -z -u 256k 64k', 'write 2600k 4k']);
  }

  it.each([
    [['top.qcow2']],
    [['-s', '100k', '-l', '1M', 'top.qcow2']],
    [['base.raw']],
    [['-f', 'raw', 'middle.qcow2']],
  ])('of a chain: %j', (args) => {
    chain();
    for (const output of ['json', 'human']) {
      const [ours, theirs] = both(`--output=${output}`, ...args);
      expect(ours).toEqual(theirs);
    }
  });

  it('of compressed clusters, which have no place that can be read', () => {
    chain();
    qemuImg('convert', '-c', '-O', 'qcow2', at('top.qcow2'), at('packed.qcow2'));
    const [ours, theirs] = both('--output=json', 'packed.qcow2');
    expect(ours).toEqual(theirs);
    expect(both('packed.qcow2').map(({ status }) => status)).toEqual([1, 1]);
  });
});
