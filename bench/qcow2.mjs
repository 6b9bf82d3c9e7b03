// qcow2: the same requests to an image of 1 GiB, from here and from qemu-img, at the same depth; from opening to closing.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createQcow2, openImage } from '../dist/index.js';
import { printRatio, printSkip } from './lib/report.mjs';

const SIZE = 2 ** 30;
const DEPTH = 8;

/** @typedef {{ name: string, bytes: number, step: number, count: number, write: boolean, fresh: boolean }} Work */

/** @type {Work[]} fresh: nothing of the disk has its place yet; steps that are no neighbours go round and round */
const WORK = [
  { name: 'qcow2-read-2m', bytes: 2 ** 21, step: 2 ** 21, count: 512, write: false, fresh: false },
  { name: 'qcow2-read-64k', bytes: 2 ** 16, step: 2 ** 16, count: 16384, write: false, fresh: false },
  { name: 'qcow2-read-4k', bytes: 4096, step: 2 ** 20 + 4096, count: 40000, write: false, fresh: false },
  { name: 'qcow2-write-2m', bytes: 2 ** 21, step: 2 ** 21, count: 512, write: true, fresh: true },
  { name: 'qcow2-write-64k', bytes: 2 ** 16, step: 2 ** 16, count: 16384, write: true, fresh: true },
  { name: 'qcow2-write-4k', bytes: 4096, step: 2 ** 20 + 4096, count: 40000, write: true, fresh: true },
  { name: 'qcow2-rewrite-4k', bytes: 4096, step: 2 ** 20 + 4096, count: 40000, write: true, fresh: false },
];

/**
 * @param {string} path
 * @param {Work} work
 */
async function ours(path, work) {
  const began = performance.now();
  const image = await openImage(path, { format: 'qcow2', readOnly: !work.write });
  let issued = 0;
  const worker = async () => {
    const buffer = new Uint8Array(work.bytes).fill(0xa5);
    while (issued < work.count) {
      const offset = (issued++ * work.step) % (SIZE - work.bytes + 4096);
      const aligned = offset - (offset % 4096);
      await (work.write ? image.write(aligned, [buffer]) : image.read(aligned, [buffer]));
    }
  };
  await Promise.all(Array.from({ length: DEPTH }, worker));
  await image.close();
  return performance.now() - began;
}

/**
 * @param {string} path
 * @param {Work} work
 */
function theirs(path, { bytes, step, count, write }) {
  const began = performance.now();
  const how = ['-c', `${count}`, '-d', `${DEPTH}`, '-s', `${bytes}`, '-S', `${step}`];
  execFileSync('qemu-img', ['bench', '-f', 'qcow2', ...how, ...(write ? ['-w', '--pattern=165'] : []), path]);
  return performance.now() - began;
}

/** @param {string} path */
async function empty(path) {
  rmSync(path, { force: true });
  await createQcow2(path, { sizeBytes: SIZE });
}

/** @param {string} path */
async function full(path) {
  await empty(path);
  const { name, ...work } = /** @type {Work} */ (
    WORK.find((candidate) => candidate.name === 'qcow2-write-2m')
  );
  await ours(path, { name, ...work });
}

/** @param {number} runs */
export async function benchQcow2(runs) {
  try {
    execFileSync('qemu-img', ['--version'], { stdio: 'ignore' });
  } catch {
    printSkip('qcow2', 'no qemu-img to compare with');
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), 'xenner-bench-'));
  const path = join(directory, 'disk.qcow2');
  try {
    writeFileSync(path, '');
    for (const work of WORK) {
      /** @type {{ us: number[], them: number[] }} */
      const times = { us: [], them: [] };
      if (!work.fresh) await full(path);
      for (let run = 0; run < runs; run++) {
        if (work.fresh) await empty(path);
        times.us.push(await ours(path, work));
        if (work.fresh) await empty(path);
        times.them.push(theirs(path, work));
      }
      printRatio(work.name, times.us, { name: 'qemu-img', values: times.them });
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}
