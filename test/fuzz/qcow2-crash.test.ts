/**
 * The host may crash at any time: what it leaves is an image that qemu-img finds nothing worse in than lost clusters, and that has
 * all that was flushed. Longer: XENNER_FUZZ_CASES=500 XENNER_FUZZ_SEED=7 npx vitest run test/fuzz/qcow2-crash.test.ts
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { OpenContext } from '../../src/mgmt/storage/formats.js';
import { openImage } from '../../src/mgmt/storage/open-image.js';
import { openQcow2 } from '../../src/mgmt/storage/qcow2/open.js';
import { churn } from '../unit/storage/churn.js';
import { expectContent, KIB, patchwork } from '../unit/storage/disk-model.js';
import { missingQemu, qcow2Of, qemuImg, scratch } from '../unit/storage/scratch.js';
import { Clock, CrashStore } from './crash-store.js';
import { DiskHistory } from './disk-history.js';
import { fuzzSettings, Random } from './random.js';

const { cases, seed } = fuzzSettings(12);
const file = scratch();
const SIZE = 768 * KIB;
const disk = patchwork(SIZE, 4);
const LEAKED = 3;

/** Errors are failures, lost clusters are not: `qemu-img check` ends with 2 or 3. */
function check(path: string): void {
  try {
    execFileSync('qemu-img', ['check', '-f', 'qcow2', path], {
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
    });
  } catch (error) {
    const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string };
    if (status !== LEAKED) throw new Error(`qemu-img check: ${stdout}${stderr}`);
  }
}

const context = (name: string): OpenContext => ({
  told: true,
  openBacking: () => openImage(file(`${name}.base`), { readOnly: true, format: 'raw' }),
  openData: () => Promise.reject(new Error('it has no data file')),
});

/** An image with some data, of which snapshots may have a part, and nothing but metadata that qemu-img made. */
function prepare(
  name: string,
  options: string,
  { compressed = false, snapshot = false, backing = false },
): Buffer {
  const path = file(`${name}.qcow2`);
  writeFileSync(`${path}.raw`, disk);
  if (backing) {
    writeFileSync(file(`${name}.base`), disk);
    qemuImg('create', '-f', 'qcow2', '-o', options, '-b', `${name}.base`, '-F', 'raw', path);
  } else {
    qcow2Of(`${path}.raw`, path, options, compressed);
  }
  if (snapshot) qemuImg('snapshot', '-c', 'kept', path);
  return readFileSync(path);
}

const shapes: [string, string, { compressed?: boolean; snapshot?: boolean; backing?: boolean }][] = [
  ['clusters of 4 KiB', 'cluster_size=4k', {}],
  [
    'clusters of 512 bytes, refcounts that outgrow their table',
    'cluster_size=512,refcount_bits=64',
    { backing: true },
  ],
  ['clusters of 64 KiB above a backing file', 'cluster_size=64k', { backing: true }],
  ['with a snapshot', 'cluster_size=4k', { snapshot: true }],
  ['with a snapshot, clusters of 512 bytes', 'cluster_size=512', { snapshot: true }],
  ['compressed', 'cluster_size=4k', { compressed: true }],
  ['subclusters', 'cluster_size=16k,extended_l2=on', { backing: true }],
  ['version 2', 'cluster_size=4k,compat=0.10', { backing: true }],
];

describe.skipIf(missingQemu)(`crashes (skipped: ${missingQemu})`, () => {
  it.each(shapes)('%s', async (name, options, made) => {
    const before = prepare(name, options, made);
    const clock = new Clock();
    const store = new CrashStore(before, clock, new Random(seed));
    const image = new DiskHistory(await openQcow2(store, context(name)), disk, clock);
    await churn(image, Buffer.from(disk), new Random(seed + 1), { requests: 150, atOnce: 6 });
    await image.close();
    const random = new Random(seed + 2);
    const path = file(`${name.replace(/\W/g, '-')}.crashed`);
    for (let i = 0; i < cases; i++) {
      const time = store.moment(random);
      writeFileSync(path, store.afterCrash(time, random));
      const where = `shape ${name}, seed ${seed}, crash ${i} at ${time} of ${clock.now}`;
      try {
        check(path);
        const opened = await openQcow2(
          new CrashStore(readFileSync(path), new Clock(), random),
          context(name),
        );
        const content = new Uint8Array(SIZE);
        await opened.read(0, [content]);
        expect(image.complaint(time, content)).toBeUndefined();
        // It can be used further.
        const model = Buffer.from(content);
        await churn(opened, model, random, { requests: 10, atOnce: 4 });
        await expectContent(opened, model);
        await opened.close();
      } catch (error) {
        throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
});

describe.skipIf(missingQemu)(`failing writes and syncs (skipped: ${missingQemu})`, () => {
  it.each(shapes)('%s', async (name, options, made) => {
    const store = new CrashStore(prepare(`${name} failing`, options, made), new Clock(), new Random(seed));
    const image = await openQcow2(store, context(`${name} failing`));
    const random = new Random(seed + 3);
    const model = Buffer.from(disk);
    for (let round = 0; round < 60; round++) {
      store.failing = round % 3 === 0 ? 20 : 0;
      const offset = random.below(SIZE / 512) * 512;
      const data = new Uint8Array(Math.min(SIZE - offset, 512 * (1 + random.below(80)))).fill(round + 1);
      const area = model.subarray(offset, offset + data.length);
      const outcomes = await Promise.allSettled([image.write(offset, [data]), image.flush()]);
      store.failing = 0;
      if (outcomes[0].status === 'fulfilled') area.set(data);
      else await takeOver(image, offset, area, data);
    }
    await expectContent(image, model);
    await image.flush();
    writeFileSync(file('failed'), store.content);
    check(file('failed'));
    await image.close();
    const reopened = await openQcow2(
      new CrashStore(store.content, new Clock(), random),
      context(`${name} failing`),
    );
    await expectContent(reopened, model);
    await reopened.close();
  });
});

/** A write that failed may have left any of its sectors. */
async function takeOver(
  image: { read(offset: number, into: readonly Uint8Array[]): Promise<void> },
  offset: number,
  area: Uint8Array,
  data: Uint8Array,
): Promise<void> {
  const found = new Uint8Array(area.length);
  await image.read(offset, [found]);
  for (let at = 0; at < area.length; at += 512) {
    const sector = found.subarray(at, at + 512);
    const either = [area, data].map((bytes) => bytes.subarray(at, at + 512));
    expect(either.some((bytes) => Buffer.compare(bytes, sector) === 0)).toBe(true);
  }
  area.set(found);
}
