/** `xenner img snapshot`: qemu-img takes them for its own, and back. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkImage, imageInfo, imageSnapshots } from '../../../../src/mgmt/index.js';
import { Random } from '../../../fuzz/random.js';
import { patchwork } from '../disk-model.js';
import { holdOpen, missingQemu, qemuImg, qemuIo, scratch } from '../scratch.js';
import { imgIn, qemuImgIn } from './img.js';

const at = scratch();
const folder = dirname(at('x'));
const skipped = missingQemu ? ` (skipped: ${missingQemu})` : '';
const MIB = 2 ** 20;

function make(name: string, options: string, ...convert: string[]): string {
  writeFileSync(at('disk.raw'), patchwork(MIB, 8));
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-o', options, ...convert, at('disk.raw'), at(name));
  return at(name);
}

const img = (...args: string[]) => {
  const said = imgIn(folder, ...args);
  expect(said).toMatchObject({ status: 0, stderr: '' });
  return said.stdout;
};
const isGood = (path: string) => expect(qemuImg('check', path)).toContain('No errors were found');

describe.skipIf(missingQemu !== undefined)(`img snapshot${skipped}`, () => {
  it.each([
    ['clusters of 64 KiB', 'cluster_size=64k', []],
    ['clusters of 512 bytes', 'cluster_size=512', []],
    ['subclusters', 'cluster_size=16k,extended_l2=on', []],
    ['version 2', 'compat=0.10', []],
    ['compressed', 'cluster_size=4k', ['-c']],
  ])('%s: made, written over, taken back, removed', async (_, options, convert) => {
    const path = make('a.qcow2', options, ...convert);
    img('snapshot', '-c', 'one', 'a.qcow2');
    isGood(path);
    qemuIo(path, ['write -P 7 0 600k']);
    img('snapshot', '-c', 'two', 'a.qcow2');
    qemuIo(path, ['write -P 8 100k 300k', 'write -z 0 64k']);
    isGood(path);
    expect(qemuImg('snapshot', '-l', path)).toBe(img('snapshot', 'a.qcow2'));
    expect((await imageSnapshots(path)).map(({ id, name }) => [id, name])).toEqual([
      ['1', 'one'],
      ['2', 'two'],
    ]);
    img('snapshot', '-a', '1', 'a.qcow2');
    isGood(path);
    expect(qemuImgIn(folder, 'compare', '-F', 'raw', 'a.qcow2', 'disk.raw').status).toBe(0);
    qemuIo(path, ['write -P 9 500k 20k']);
    img('snapshot', '-a', 'two', 'a.qcow2');
    qemuIo(path, ['read -P 7 0 600k']);
    img('snapshot', '-d', 'two', 'a.qcow2');
    isGood(path);
    qemuIo(path, ['read -P 7 0 600k', 'write -P 3 0 1M']);
    qemuImg('snapshot', '-a', 'one', path);
    img('snapshot', '-d', 'one', 'a.qcow2');
    isGood(path);
    expect(qemuImgIn(folder, 'compare', '-F', 'raw', 'a.qcow2', 'disk.raw').status).toBe(0);
    expect(await imageSnapshots(path)).toEqual([]);
  });

  it('of a disk that had another size', async () => {
    const path = make('grown.qcow2', 'cluster_size=64k');
    img('snapshot', '-c', 'small', 'grown.qcow2');
    img('resize', 'grown.qcow2', '3G');
    qemuIo(path, ['write -P 4 2G 1M']);
    img('snapshot', '-c', 'large', 'grown.qcow2');
    img('snapshot', '-a', 'small', 'grown.qcow2');
    isGood(path);
    expect((await imageInfo(path))['virtual-size']).toBe(MIB);
    expect(qemuImgIn(folder, 'compare', '-F', 'raw', 'grown.qcow2', 'disk.raw').status).toBe(0);
    img('snapshot', '-a', 'large', 'grown.qcow2');
    qemuIo(path, ['read -P 4 2G 1M', 'read -P 0 1G 1M']);
    isGood(path);
  });

  it('random histories beside qemu-img, with the same disks', () => {
    const random = new Random(11);
    const [ours, theirs] = [make('ours.qcow2', 'cluster_size=4k'), at('theirs.qcow2')];
    copyFileSync(ours, theirs);
    const names: string[] = [];
    for (let i = 0; i < 14; i++) {
      const kind = names.length === 0 ? 0 : random.below(4);
      const name = kind === 0 ? `s${i}` : random.pick(names);
      const option = ['-c', '-a', '-d'][kind];
      if (option === undefined) {
        const write = [`write -P ${i + 1} ${random.below(900)}k ${1 + random.below(100)}k`];
        for (const each of [ours, theirs]) qemuIo(each, write);
        continue;
      }
      img('snapshot', option, name, 'ours.qcow2');
      qemuImg('snapshot', option, name, theirs);
      if (kind === 0) names.push(name);
      if (kind === 2) names.splice(names.indexOf(name), 1);
    }
    isGood(ours);
    expect(qemuImgIn(folder, 'compare', '-s', 'ours.qcow2', 'theirs.qcow2').status).toBe(0);
    for (const name of names) {
      const disks = [ours, theirs].map((each, i) => {
        qemuImg('convert', '-l', name, '-O', 'raw', each, at(`disk${i}`));
        return readFileSync(at(`disk${i}`));
      });
      expect(disks[0]!.equals(disks[1]!), name).toBe(true);
    }
  });

  it('refused: what is in use, raw, has no such snapshot, or refcounts that are too small', async () => {
    const path = make('held.qcow2', 'cluster_size=64k');
    const holder = await holdOpen(path);
    expect(imgIn(folder, 'snapshot', '-c', 'x', 'held.qcow2')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('in use'),
    });
    await holder.end();
    expect(imgIn(folder, 'snapshot', '-c', 'x', 'disk.raw').stderr).toContain('has no snapshots');
    expect(imgIn(folder, 'snapshot', '-d', 'x', 'held.qcow2').stderr).toContain('no snapshot "x"');
    expect(imgIn(folder, 'snapshot', '-d', 'x', '-c', 'y', 'held.qcow2').status).toBe(1);
    make('bit.qcow2', 'refcount_bits=1');
    expect(imgIn(folder, 'snapshot', '-c', 'x', 'bit.qcow2').status).toBe(1);
    expect((await checkImage(at('bit.qcow2'))).corruptions).toBeUndefined();
  });
});
