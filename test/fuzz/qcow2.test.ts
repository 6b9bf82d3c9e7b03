/**
 * Images are hostile: whatever header and tables say, the answer is a disk or one of our errors, soon, in little memory, and nothing
 * outside of the image is touched. Longer: XENNER_FUZZ_CASES=20000 XENNER_FUZZ_SEED=7 npx vitest run test/fuzz/qcow2.test.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { XennerError } from '../../src/base/errors.js';
import { openImage } from '../../src/mgmt/storage/open-image.js';
import { createQcow2 } from '../../src/mgmt/storage/qcow2/create.js';
import { KIB, MIB, patchwork } from '../unit/storage/disk-model.js';
import { missingQemu, qemuImg, scratch } from '../unit/storage/scratch.js';
import { fuzzSettings, mutate, Random } from './random.js';

const { cases, seed } = fuzzSettings(150);
const file = scratch();
const SIZE = 256 * KIB;
/** Far above what any input needs: a hang, not a slow machine. */
const MAX_CASE_MS = 20_000;
const MAX_GROWTH_BYTES = 512 * MIB;
const SYSTEM_ERRORS = new Set([
  'EINVAL',
  'EIO',
  'EFBIG',
  'ENOENT',
  'EISDIR',
  'EROFS',
  'EACCES',
  'ENAMETOOLONG',
  'ENOTDIR',
  'ELOOP',
]);

/** Offsets of a file's tables, as its header says: most changes hit there. */
function tables(image: Buffer): number[] {
  const at = (offset: number) => Number(image.readBigUInt64BE(offset));
  const l1 = at(40);
  const found = [0, l1, at(48), at(64)];
  for (let entry = l1; entry + 8 <= Math.min(image.length, l1 + 64); entry += 8) {
    const l2 = Number(image.readBigUInt64BE(entry) & 0x00fffffffffffe00n);
    if (l2 !== 0) found.push(l2, l2 + 64);
  }
  const block = Number(image.readBigUInt64BE(at(48)));
  return [...found, block].filter((offset) => offset < image.length - 64);
}

/** Some bytes at a table are changed, or anything anywhere. */
function damage(random: Random, good: Buffer): Buffer {
  if (random.below(4) === 0) return mutate(random, good, 120);
  const image = Buffer.from(good);
  const at = random.pick(tables(good));
  const part = mutate(random, image.subarray(at, at + 64), 64);
  image.set(part.subarray(0, Math.min(part.length, image.length - at)), at);
  return image;
}

/** Opens, reads and writes; whether it went well, and what it said otherwise. */
async function use(path: string, random: Random, readOnly: boolean): Promise<string> {
  try {
    const image = await openImage(path, { format: 'qcow2', readOnly, mayOpen: () => false });
    try {
      const length = Math.min(image.sizeBytes, SIZE);
      const data = new Uint8Array(8 * KIB).fill(7);
      await image.read(0, [new Uint8Array(length)]);
      for (let i = 0; i < 6 && !readOnly; i++) {
        const offset = random.below(Math.max(0, length - data.length) / 512) * 512;
        await image.write(offset, [data]);
        await image.discard(offset, data.length);
        await image.writeZeroes(offset, data.length, { mayUnmap: true });
      }
      await image.flush();
    } finally {
      await image.close();
    }
    return 'good';
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (error instanceof XennerError || SYSTEM_ERRORS.has(code)) return code;
    throw error;
  }
}

const seeds: [string, (path: string) => Promise<void> | void][] = [
  ['with data', (path) => made(path, [], 'cluster_size=4k')],
  ['with small clusters', (path) => made(path, [], 'cluster_size=512')],
  ['compressed', (path) => made(path, ['-c'], 'cluster_size=4k')],
  ['with subclusters', (path) => made(path, [], 'cluster_size=16k,extended_l2=on')],
  [
    'with snapshots',
    (path) => {
      made(path, [], 'cluster_size=4k');
      qemuImg('snapshot', '-c', 'one', path);
      qemuImg('snapshot', '-c', 'two', path);
    },
  ],
  [
    'with a bitmap',
    (path) => {
      made(path, [], 'cluster_size=4k');
      qemuImg('bitmap', '--add', path, 'one');
    },
  ],
  [
    'not closed',
    async (path) => {
      await createQcow2(path, { sizeBytes: SIZE, preallocation: 'metadata', clusterBytes: 4096 });
      const image = readFileSync(path);
      image.writeBigUInt64BE(1n, 72);
      writeFileSync(path, image);
    },
  ],
];

function made(path: string, flags: string[], options: string): void {
  writeFileSync(`${path}.raw`, patchwork(SIZE, 2));
  qemuImg('convert', ...flags, '-f', 'raw', '-O', 'qcow2', '-o', options, `${path}.raw`, path);
}

describe.skipIf(missingQemu)(`damaged images (skipped: ${missingQemu})`, () => {
  it.each(seeds)('%s', async (name, make) => {
    const path = file(`${name}.good`);
    await make(path);
    const good = readFileSync(path);
    const random = new Random(seed);
    const victim = file(`${name}.qcow2`);
    const answers = new Map<string, number>();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < cases; i++) {
      writeFileSync(victim, damage(random, good));
      const began = performance.now();
      const answer = await use(victim, random, random.below(2) === 0).catch((error) => {
        throw new Error(`${name}, seed ${seed}, case ${i}: ${error}`, { cause: error });
      });
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
      expect(performance.now() - began, `${name}, seed ${seed}, case ${i}`).toBeLessThan(MAX_CASE_MS);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(MAX_GROWTH_BYTES);
    // Both are tried: changes that matter and changes that do not.
    expect(answers.get('good') ?? 0).toBeGreaterThan(0);
    expect(answers.get('EIMAGE_DAMAGED') ?? 0).toBeGreaterThan(0);
  });
});
