/** `xenner img check` finds what `qemu-img check` finds, and what it repairs, qemu-img finds good. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkImage } from '../../../../src/mgmt/index.js';
import { patchwork } from '../disk-model.js';
import { missingQemu, qemuImg, qemuIo, scratch } from '../scratch.js';
import { imgIn, qemuImgIn } from './img.js';

const at = scratch();
const folder = dirname(at('x'));
const skipped = missingQemu ? ` (skipped: ${missingQemu})` : '';
const SIZE = 4 * 2 ** 20;

function make(name: string, options: string, ...convert: string[]): string {
  writeFileSync(at('disk.raw'), patchwork(SIZE, 8));
  qemuImg('convert', '-f', 'raw', '-O', 'qcow2', '-o', options, ...convert, at('disk.raw'), at(name));
  return at(name);
}

const shapes: [string, (path: string) => string][] = [
  ['clusters of 64 KiB', (name) => make(name, 'cluster_size=64k')],
  ['clusters of 512 bytes', (name) => make(name, 'cluster_size=512')],
  ['refcounts of one bit', (name) => make(name, 'cluster_size=4k,refcount_bits=1')],
  ['refcounts of 64 bits', (name) => make(name, 'cluster_size=4k,refcount_bits=64')],
  ['version 2', (name) => make(name, 'compat=0.10,cluster_size=4k')],
  ['subclusters', (name) => make(name, 'extended_l2=on,cluster_size=16k')],
  ['compressed', (name) => make(name, 'cluster_size=16k', '-c')],
  ['a data file', (name) => make(name, `data_file=${at(`${name}.data`)}`)],
  [
    'snapshots',
    (name) => {
      const path = make(name, 'cluster_size=4k');
      for (const each of ['one', 'two', 'three']) {
        qemuIo(path, ['write -P 7 1M 100k', 'write -z 2M 64k', 'discard 3M 64k']);
        qemuImg('snapshot', '-c', each, path);
      }
      qemuImg('snapshot', '-d', 'two', path);
      qemuIo(path, ['write -P 8 1M 50k']);
      return path;
    },
  ],
  [
    'bitmaps',
    (name) => {
      const path = make(name, 'cluster_size=4k');
      for (const each of ['one', 'two']) qemuImg('bitmap', '--add', '-g', '512', path, each);
      return path;
    },
  ],
];

const u64 = (file: Buffer, offset: number) => Number(file.readBigUInt64BE(offset));
/** Changes a copy of an image. */
function damagedCopy(image: string, name: string, change: (file: Buffer) => unknown): string {
  const file = readFileSync(image);
  change(file);
  writeFileSync(at(name), file);
  return at(name);
}
const L1_AT = 40;
const REFCOUNTS_AT = 48;
const MASK = 0x00fffffffffffe00n;
const l2Of = (file: Buffer, i = 0) => Number(file.readBigUInt64BE(u64(file, L1_AT) + 8 * i) & MASK);
const blockOf = (file: Buffer) => u64(file, u64(file, REFCOUNTS_AT));
const parsed = (text: string) => JSON.parse(text) as Record<string, unknown>;

describe.skipIf(missingQemu !== undefined)(`img check${skipped}`, () => {
  it.each(shapes)('of a good image: %s', (shape, prepare) => {
    const name = `${shape.replace(/\W/g, '-')}.qcow2`;
    prepare(name);
    const text = [imgIn, qemuImgIn].map((run) => run(folder, 'check', name));
    expect(text[0]).toEqual(text[1]);
    expect(text[0]!.status).toBe(0);
    const json = [imgIn, qemuImgIn].map((run) => run(folder, 'check', '--output=json', name).stdout);
    expect(parsed(json[0]!)).toEqual(parsed(json[1]!));
  });

  const flip = (offset: (file: Buffer) => number, value: bigint) => (file: Buffer) => {
    file.writeBigUInt64BE(value, offset(file));
  };
  it.each<[string, number, (file: Buffer) => unknown]>([
    ['a lost L2 table', 3, flip((file) => u64(file, L1_AT), 0n)],
    ['a lost cluster', 3, flip(l2Of, 0n)],
    ['an L2 table behind the end', 2, flip((file) => u64(file, L1_AT), 1n << 50n)],
    ['an L2 table at no cluster', 2, flip((file) => u64(file, L1_AT), 0x80000n + 512n)],
    ['a cluster behind the end', 2, flip(l2Of, (1n << 63n) | (1n << 40n))],
    ['reserved bits', 2, flip(l2Of, (1n << 60n) | 2n)],
    ['a flag that is missing', 2, (file) => file.writeUInt8(0, l2Of(file))],
    [
      'two entries with one cluster',
      2,
      (file) => file.copy(file, l2Of(file), l2Of(file) + 8, l2Of(file) + 16),
    ],
    ['a refcount of 0', 2, (file) => file.writeUInt16BE(0, blockOf(file) + 2 * 20)],
    ['a refcount of 5', 2, (file) => file.writeUInt16BE(5, blockOf(file) + 2 * 20)],
    ['no refcount block', 2, flip((file) => u64(file, REFCOUNTS_AT), 0n)],
    ['a refcount block behind the end', 2, flip((file) => u64(file, REFCOUNTS_AT), 1n << 50n)],
    [
      'a refcount block that is an L2 table',
      2,
      (file) => file.writeBigUInt64BE(BigInt(l2Of(file)), u64(file, REFCOUNTS_AT)),
    ],
  ])('of %s: status %i, and repairs', async (what, status, change) => {
    const name = `${what.replace(/\W/g, '-')}.qcow2`;
    const path = damagedCopy(make('whole.qcow2', 'cluster_size=4k'), name, change);
    const [ours, theirs] = [imgIn, qemuImgIn].map((run) => run(folder, 'check', name).status);
    expect([ours, theirs]).toEqual([status, status]);
    if (status === 3) {
      copyFileSync(path, at('leaks.qcow2'));
      expect(imgIn(folder, 'check', '-r', 'leaks', 'leaks.qcow2').stdout).toBe(
        qemuImgIn(folder, 'check', '-r', 'leaks', name).stdout,
      );
      expect(qemuImgIn(folder, 'compare', 'leaks.qcow2', name).status).toBe(0);
    } else {
      expect(imgIn(folder, 'check', '-q', '-r', 'all', name)).toEqual({ status: 0, stdout: '', stderr: '' });
    }
    expect(qemuImgIn(folder, 'check', name).status).toBe(0);
    expect((await checkImage(path)).corruptions).toBeUndefined();
    qemuIo(path, ['write -P 3 0 4M', 'read -P 3 0 4M']);
    expect(qemuImgIn(folder, 'check', name).status).toBe(0);
  });

  it('of an image that was not closed well, which is no longer marked so', () => {
    const path = at('dirty.qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', path, '4M');
    expect(() => qemuIo(path, ['write -P 5 0 2M', 'flush', 'abort'])).toThrow();
    expect(imgIn(folder, 'check', 'dirty.qcow2').status).toBe(2);
    expect(imgIn(folder, 'check', '-r', 'all', 'dirty.qcow2').status).toBe(0);
    expect(qemuImg('info', path)).not.toContain('cleanly shut down: no');
    qemuIo(path, ['read -P 5 0 2M', 'read -P 0 2M 2M']);
    expect(qemuImg('check', path)).toContain('No errors');
  });

  it('of formats that have nothing to be checked: status 63', () => {
    qemuImg('create', '-q', '-f', 'raw', at('a.raw'), '1M');
    const said = imgIn(folder, 'check', 'a.raw');
    expect(said.status).toBe(63);
    expect(said.stderr).toMatch(/^xenner: a.raw is raw.*\n$/);
    expect(imgIn(folder, 'check', 'missing').status).toBe(1);
  });
});
