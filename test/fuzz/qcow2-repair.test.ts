/**
 * Damaged images: a repair ends, and what it calls good qemu-img finds good. It may be killed at any time and be run again, with the
 * same result. Longer: XENNER_FUZZ_CASES=500 XENNER_FUZZ_SEED=7 npx vitest run test/fuzz/qcow2-repair.test.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openImage } from '../../src/mgmt/storage/open-image.js';
import { checkQcow2 } from '../../src/mgmt/storage/qcow2/check.js';
import { readHeader } from '../../src/mgmt/storage/qcow2/open.js';
import { repairQcow2 } from '../../src/mgmt/storage/qcow2/repair.js';
import { readSnapshots } from '../../src/mgmt/storage/qcow2/snapshots.js';
import type { ByteStore } from '../../src/mgmt/storage/storage-file.js';
import { checkImage } from '../../src/mgmt/storage/tools/check.js';
import { patchwork } from '../unit/storage/disk-model.js';
import { missingQemu, qcow2Of, qemuImg, qemuIo, scratch } from '../unit/storage/scratch.js';
import { Clock, CrashStore } from './crash-store.js';
import { fuzzSettings, Random } from './random.js';

const { cases, seed } = fuzzSettings(8);
const file = scratch();
const SIZE = 2 ** 20;

const shapes: [string, string, { compressed?: boolean; snapshots?: boolean }][] = [
  ['clusters of 512 bytes', 'cluster_size=512', {}],
  ['clusters of 4 KiB with snapshots', 'cluster_size=4k', { snapshots: true }],
  ['clusters of 64 KiB', 'cluster_size=64k', { snapshots: true }],
  ['refcounts of two bits', 'cluster_size=4k,refcount_bits=2', {}],
  ['subclusters', 'cluster_size=16k,extended_l2=on', {}],
  ['compressed', 'cluster_size=4k', { compressed: true }],
  ['version 2', 'cluster_size=4k,compat=0.10', { snapshots: true }],
];

function prepare(options: string, { compressed = false, snapshots = false }): Buffer {
  writeFileSync(file('disk.raw'), patchwork(SIZE, 4));
  const path = file('whole.qcow2');
  qcow2Of(file('disk.raw'), path, options, compressed);
  for (const each of snapshots ? ['one', 'two'] : []) {
    qemuImg('snapshot', '-c', each, path);
    qemuIo(path, ['write -P 7 100k 50k']);
  }
  return readFileSync(path);
}

/** Where tables are: what of a file is worth damaging. */
function tablesOf(image: Buffer): number[] {
  const u64 = (offset: number) => Number(image.readBigUInt64BE(offset) & 0x00fffffffffffe00n);
  const [l1, refcounts, snapshots] = [u64(40), u64(48), u64(64)];
  return [32, l1, u64(l1), refcounts, u64(refcounts), snapshots].filter((offset) => offset > 0);
}

/** Somewhere in a table: an entry of another, a bit, or anything. */
function damage(image: Buffer, tables: readonly number[], random: Random): void {
  const offset = random.pick(tables) + 8 * random.below(random.pick([2, 14, 64]));
  if (offset + 8 > image.length) return;
  const old = image.readBigUInt64BE(offset);
  const kind = random.below(4);
  if (kind === 0)
    image.writeBigUInt64BE((1n << 63n) | BigInt(512 * random.below(image.length / 512)), offset);
  else if (kind === 1) image.writeBigUInt64BE(old ^ (1n << BigInt(random.below(64))), offset);
  else if (kind === 2) image.writeBigUInt64BE(image.readBigUInt64BE(random.pick(tables)), offset);
  else image.writeBigUInt64BE(BigInt(random.below(2 ** 31)) << BigInt(random.below(33)), offset);
}

async function repair(store: ByteStore): Promise<void> {
  const header = await readHeader(store);
  const snapshots = await readSnapshots(store, header);
  const options = { report: () => {} };
  const found = await checkQcow2(store, header, snapshots, options);
  await repairQcow2(store, header, snapshots, found, 'all', options);
}

/** What does not unpack any more stays so. */
async function contentOf(path: string): Promise<Buffer> {
  const image = await openImage(path, { readOnly: true, format: 'qcow2' });
  try {
    const content = Buffer.alloc(Math.min(image.sizeBytes, 2 * SIZE));
    for (let at = 0; at < content.length; at += 4096) {
      const block = content.subarray(at, at + 4096);
      await image.read(at, [block]).catch(() => block.fill(0xee));
    }
    return content;
  } finally {
    await image.close();
  }
}

describe.skipIf(missingQemu)(`damaged images (skipped: ${missingQemu})`, () => {
  it.each(shapes)('%s', async (name, options, made) => {
    const whole = prepare(options, made);
    const tables = tablesOf(whole);
    const random = new Random(seed);
    const path = file('damaged.qcow2');
    for (let i = 0; i < cases; i++) {
      const where = `shape ${name}, seed ${seed}, case ${i}`;
      const before = Buffer.from(whole);
      for (let n = 1 + random.below(4); n > 0; n--) damage(before, tables, random);
      writeFileSync(path, before);
      let left: Awaited<ReturnType<typeof checkImage>>;
      try {
        left = await checkImage(path, { repair: 'all' });
      } catch (error) {
        expect(error, where).toMatchObject({ code: expect.stringMatching(/^EIMAGE_(DAMAGED|UNSUPPORTED)$/) });
        continue;
      }
      if (left.corruptions !== undefined) continue;
      expect(() => qemuImg('check', '-f', 'qcow2', path), where).not.toThrow();
      await crashes(before, await contentOf(path), random, where);
    }
  });
});

/** A repair that is cut off, and another one behind it. */
async function crashes(before: Buffer, good: Buffer, random: Random, where: string): Promise<void> {
  const store = new CrashStore(before, new Clock(), random);
  await repair(store);
  const path = file('crashed.qcow2');
  for (let i = 0; i < 4 && store.hasChanges; i++) {
    writeFileSync(path, store.afterCrash(store.moment(random), random));
    const left = await checkImage(path, { repair: 'all' });
    expect(left, `${where}, crash ${i}`).not.toHaveProperty('corruptions');
    expect(good.equals(await contentOf(path)), `${where}, crash ${i}: the same contents`).toBe(true);
  }
}
