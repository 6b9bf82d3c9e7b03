/** What we write, qemu-img finds good and reads back: images of every shape, random requests against a plain model. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type OpenImageOptions, openImage } from '../../../src/mgmt/storage/open-image.js';
import { type CreateOptions, createQcow2 } from '../../../src/mgmt/storage/qcow2/create.js';
import { Random } from '../../fuzz/random.js';
import { churn } from './churn.js';
import { expectContent, firstDifference, KIB, MIB, patchwork } from './disk-model.js';
import { missingQemu, qemuImg, qemuIo, scratch } from './scratch.js';

const file = scratch();
const SECRET = ['--object', 'secret,id=key,data=secret'];
const SIZE = 5 * MIB + 512;
const base = patchwork(4 * MIB, 5);
writeFileSync(file('base.raw'), base);
const below = Buffer.concat([base], SIZE);

interface How extends OpenImageOptions {
  /** What qemu-img needs to compare the image. */
  readonly imageOptions?: string;
}

/** Random requests, then: good for qemu-img check, and the same for qemu-img, for us, and for us once more. */
async function exercise(
  path: string,
  before: Buffer,
  { imageOptions, ...options }: How = {},
): Promise<Buffer> {
  const model = Buffer.from(before);
  const ours = `driver=qcow2,file.filename=${path}${imageOptions ? `,${imageOptions}` : ''}`;
  for (const seed of [1, 2]) {
    const image = await openImage(path, { format: 'qcow2', ...options });
    await expectContent(image, model, seed);
    await churn(image, model, new Random(seed), { requests: 300, atOnce: 8 });
    await expectContent(image, model, seed);
    await image.close();
    qemuImg('check', ...SECRET, '--image-opts', ours);
  }
  const image = await openImage(path, { readOnly: true, format: 'qcow2', ...options });
  await expectContent(image, model);
  await image.close();
  writeFileSync(`${path}.model`, model);
  qemuImg('compare', ...SECRET, '--image-opts', ours, `driver=raw,file.filename=${path}.model`);
  return model;
}

describe.skipIf(missingQemu)(`our own images (skipped: ${missingQemu})`, () => {
  const rows: [string, CreateOptions][] = [
    ['as they come', {}],
    ['version 2', { version: 2 }],
    ['clusters of 512 bytes', { clusterBytes: 512 }],
    ['clusters of 4 KiB', { clusterBytes: 4096 }],
    ['clusters of 2 MiB', { clusterBytes: 2 * MIB }],
    ['refcounts of 1 bit', { refcountBits: 1, clusterBytes: 512 }],
    ['refcounts of 4 bits', { refcountBits: 4, clusterBytes: 1024 }],
    ['refcounts of 8 bits', { refcountBits: 8, clusterBytes: 512 }],
    ['refcounts of 32 bits', { refcountBits: 32, clusterBytes: 512 }],
    ['refcounts of 64 bits', { refcountBits: 64, clusterBytes: 512 }],
    ['lazy refcounts', { lazyRefcounts: true }],
    ['subclusters', { extendedL2: true }],
    ['small subclusters', { extendedL2: true, clusterBytes: 16384 }],
    ['preallocated', { preallocation: 'metadata' }],
    ['preallocated in 512 bytes', { preallocation: 'metadata', clusterBytes: 512 }],
    ['preallocated subclusters', { preallocation: 'metadata', extendedL2: true }],
  ];
  it.each(rows)('%s', async (name, options) => {
    const path = file(`${name}.qcow2`);
    await createQcow2(path, { sizeBytes: SIZE, ...options });
    qemuImg('check', path);
    await exercise(path, Buffer.alloc(SIZE));
  });
  it.each(rows.filter(([name]) => !name.startsWith('preallocated')))(
    'above another: %s',
    async (name, options) => {
      const path = file(`above-${name}.qcow2`);
      await createQcow2(path, { sizeBytes: SIZE, backing: { path: 'base.raw', format: 'raw' }, ...options });
      qemuImg('check', path);
      await exercise(path, below);
    },
  );
});

describe.skipIf(missingQemu)(`images of qemu-img (skipped: ${missingQemu})`, () => {
  const full = patchwork(SIZE, 9);
  writeFileSync(file('full.raw'), full);
  const made = (name: string, flags: string[], options: string) => {
    const path = file(`made-${name}.qcow2`);
    const create = options === '' ? [] : ['-o', options];
    qemuImg('convert', ...SECRET, '-f', 'raw', '-O', 'qcow2', ...flags, ...create, file('full.raw'), path);
    return path;
  };

  const rows: [string, string[], string][] = [
    ['compressed by zlib', ['-c'], ''],
    ['compressed by zlib in 4 KiB', ['-c'], 'cluster_size=4k'],
    ['compressed by zstd', ['-c'], 'compression_type=zstd'],
    ['compressed with subclusters', ['-c'], 'extended_l2=on'],
    ['version 2', [], 'compat=0.10'],
    ['subclusters', [], 'extended_l2=on,cluster_size=128k'],
    ['data in another file', [], `data_file=${file('other.data')}`],
  ];
  it.each(rows)('%s', async (name, flags, options) => {
    await exercise(made(name, flags, options), full);
  });
  it.each(['writethrough', 'none'] as const)('cache %s', async (cache) => {
    await exercise(made(cache, [], 'cluster_size=4k'), full, { cache });
  });

  it('data in another file that is the disk itself', async () => {
    const data = file('disk.data');
    const model = await exercise(made('raw-data', [], `data_file=${data},data_file_raw=on`), full);
    // qemu-img makes it whole clusters.
    const content = readFileSync(data);
    expect(firstDifference(content.subarray(0, SIZE), model)).toBe(-1);
    expect(content.subarray(SIZE).every((byte) => byte === 0)).toBe(true);
  });

  it('encrypted by AES and by LUKS', async () => {
    const how = (format: string) => ({
      password: 'secret',
      imageOptions: `encrypt.format=${format},encrypt.key-secret=key`,
    });
    const options = (format: string) => `encrypt.format=${format},encrypt.key-secret=key`;
    await exercise(made('aes', [], options('aes')), full, how('aes'));
    await exercise(made('luks', [], `${options('luks')},encrypt.iter-time=10`), full, how('luks'));
  });

  it.each(['cluster_size=64k', 'cluster_size=512', 'extended_l2=on', 'compat=0.10'])(
    'snapshots stay as they are: %s',
    async (options) => {
      const path = made(`snapshot-${options.length}`, [], options);
      qemuImg('snapshot', '-c', 'first', path);
      const second = await exercise(path, full);
      qemuImg('snapshot', '-c', 'second', path);
      await exercise(path, second);
      for (const [snapshot, content] of [
        ['first', full],
        ['second', second],
      ] as const) {
        const image = await openImage(path, { readOnly: true, snapshot });
        await expectContent(image, content);
        await image.close();
        qemuImg(
          'convert',
          '-f',
          'qcow2',
          '-O',
          'raw',
          '-l',
          `snapshot.name=${snapshot}`,
          path,
          `${path}.${snapshot}`,
        );
        expect(firstDifference(readFileSync(`${path}.${snapshot}`), content)).toBe(-1);
      }
      qemuImg('snapshot', '-d', 'first', path);
      qemuImg('check', path);
    },
  );

  it.each(['cluster_size=64k', 'cluster_size=512', 'extended_l2=on'])(
    'refcounts that were not written are counted anew: %s',
    async (options) => {
      const path = file(`dirty-${options.length}.qcow2`);
      qemuImg('create', '-f', 'qcow2', '-o', `lazy_refcounts=on,${options}`, path, '5M');
      qemuImg('snapshot', '-c', 'before', path);
      const commands = ['write -P 5 1M 300k', 'write -P 6 3M 10k', 'flush', 'abort'];
      expect(() => qemuIo(path, commands)).toThrow();
      expect(() => qemuImg('check', path)).toThrow(/ERROR|Leaked/);
      await exercise(
        path,
        Buffer.alloc(5 * MIB)
          .fill(5, MIB, MIB + 300 * KIB)
          .fill(6, 3 * MIB, 3 * MIB + 10 * KIB),
      );
    },
  );

  it('bitmaps that are to follow every write are marked, others stay good', async () => {
    const path = made('bitmaps', [], '');
    qemuImg('bitmap', '--add', path, 'follows');
    qemuImg('bitmap', '--add', '--disable', path, 'stays');
    const flags = () => {
      const { bitmaps } = JSON.parse(qemuImg('info', '--output=json', path))['format-specific'].data;
      return bitmaps.map((bitmap: { name: string; flags: string[] }) => [bitmap.name, bitmap.flags.join()]);
    };
    const untouched = await openImage(path, { format: 'qcow2' });
    await untouched.close();
    expect(flags()).toEqual([
      ['follows', 'auto'],
      ['stays', ''],
    ]);
    await exercise(path, full);
    expect(flags()).toEqual([
      ['follows', 'in-use,auto'],
      ['stays', ''],
    ]);
  });
});
