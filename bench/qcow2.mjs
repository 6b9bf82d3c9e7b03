// qcow2: the same requests to an image of 1 GiB, from here and from qemu-img, 64 at once, all with one buffer, as qemu-img's are.
// Measured from the first request to the last answer; where they write, until the image is closed and all of it on the disk.
// Start and end of processes are nobody's, and what qemu-img takes to fill 64 buffers of which it uses one. What is read is in the
// page cache; what is written stays in memory, where the host has a tmpfs for it: else it would be the disk that is measured.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { checkImage, createImageSnapshot } from 'xenner/mgmt';
import { createQcow2, openImage } from '../dist/index.js';
import { printRatio, printSkip } from './lib/report.mjs';

const SIZE = 2 ** 30;
const TMPFS = '/dev/shm';
/** qemu-img's own default. */
const DEPTH = 64;
const PATTERN = 0xa5;

/** @typedef {{ name: string, bytes: number, step: number, count: number, write: boolean, fresh: boolean }} Work */

/** @type {Work} */
const FILLING = {
  name: 'qcow2-write-2m',
  bytes: 2 ** 21,
  step: 2 ** 21,
  count: 512,
  write: true,
  fresh: true,
};

/** @type {Work[]} fresh: nothing of the disk has its place yet; steps that are no neighbours go round and round */
const WORK = [
  { name: 'qcow2-read-2m', bytes: 2 ** 21, step: 2 ** 21, count: 512, write: false, fresh: false },
  { name: 'qcow2-read-64k', bytes: 2 ** 16, step: 2 ** 16, count: 16384, write: false, fresh: false },
  { name: 'qcow2-read-4k', bytes: 4096, step: 2 ** 20 + 4096, count: 40000, write: false, fresh: false },
  FILLING,
  { name: 'qcow2-write-64k', bytes: 2 ** 16, step: 2 ** 16, count: 16384, write: true, fresh: true },
  { name: 'qcow2-write-4k', bytes: 4096, step: 2 ** 20 + 4096, count: 40000, write: true, fresh: true },
  { name: 'qcow2-rewrite-4k', bytes: 4096, step: 2 ** 20 + 4096, count: 40000, write: true, fresh: false },
];

/**
 * @param {string} path
 * @param {Work} work
 */
async function ours(path, { bytes, step, count, write }) {
  const image = await openImage(path, { format: 'qcow2', readOnly: !write });
  const buffers = [new Uint8Array(bytes).fill(PATTERN)];
  const began = performance.now();
  let issued = 0;
  const worker = async () => {
    while (issued < count) {
      const offset = (issued++ * step) % SIZE;
      await (write ? image.write(offset, buffers) : image.read(offset, buffers));
    }
  };
  await Promise.all(Array.from({ length: DEPTH }, worker));
  const answered = performance.now();
  await image.close();
  return (write ? performance.now() : answered) - began;
}

/**
 * @param {string} path
 * @param {Work} work
 */
async function theirs(path, { bytes, step, count, write }) {
  const how = ['-c', `${count}`, '-d', `${DEPTH}`, '-s', `${bytes}`, '-S', `${step}`];
  if (write) how.push('-w', `--pattern=${PATTERN}`);
  // A line of qemu-img's comes when it is printed: what follows the last one is the closing.
  const command = ['-oL', 'qemu-img', 'bench', '-f', 'qcow2', ...how, path];
  const bench = spawn('stdbuf', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(bench, 'exit');
  let requestsMs = Number.NaN;
  let answered = 0;
  for await (const line of createInterface({ input: bench.stdout })) {
    answered = performance.now();
    requestsMs = Number(/^Run completed in ([\d.]+) seconds/.exec(line)?.[1]) * 1000;
  }
  const [status] = await ended;
  if (status !== 0) throw new Error(`qemu-img bench: status ${status}`);
  return requestsMs + (write ? performance.now() - answered : 0);
}

/** @param {string} path */
async function empty(path) {
  rmSync(path, { force: true });
  await createQcow2(path, { sizeBytes: SIZE });
}

/** @param {string} path */
async function full(path) {
  await empty(path);
  await ours(path, FILLING);
}

function hasTmpfs() {
  try {
    const { bavail, bsize } = statfsSync(TMPFS);
    return bavail * bsize > 2 * SIZE;
  } catch {
    return false;
  }
}

/**
 * @param {string} path
 * @param {Work} work
 * @param {number} runs
 */
async function compare(path, work, runs) {
  /** @type {{ us: number[], them: number[] }} */
  const times = { us: [], them: [] };
  if (!work.fresh) await full(path);
  for (let run = 0; run < runs; run++) {
    if (work.fresh) await empty(path);
    times.us.push(await ours(path, work));
    if (work.fresh) await empty(path);
    times.them.push(await theirs(path, work));
  }
  printRatio(work.name, times.us, { name: 'qemu-img', values: times.them }, '1.0');
}

/**
 * A full disk in clusters of 4 KiB, a snapshot, and a part of it written over. Ours from the call to the answer; of theirs what it
 * takes more than to check an empty image.
 * @param {string} directory
 * @param {number} runs
 */
async function check(directory, runs) {
  const [path, none] = [join(directory, 'disk.qcow2'), join(directory, 'empty.qcow2')];
  for (const each of [path, none]) await createQcow2(each, { sizeBytes: SIZE, clusterBytes: 4096 });
  await ours(path, FILLING);
  await createImageSnapshot(path, 'before');
  await ours(path, { ...FILLING, bytes: 4096, step: 2 ** 20 + 4096, count: 20000 });
  /** @type {{ us: number[], them: number[] }} */
  const times = { us: [], them: [] };
  /** @param {string} image */
  const checked = (image) => {
    const began = performance.now();
    execFileSync('qemu-img', ['check', '-q', image]);
    return performance.now() - began;
  };
  for (let run = 0; run < runs; run++) {
    const began = performance.now();
    await checkImage(path);
    times.us.push(performance.now() - began);
    times.them.push(checked(path) - checked(none));
  }
  printRatio('qcow2-check', times.us, { name: 'qemu-img', values: times.them }, '1.0');
}

/** @param {number} runs */
export async function benchQcow2(runs) {
  try {
    execFileSync('qemu-img', ['--version'], { stdio: 'ignore' });
  } catch {
    printSkip('qcow2', 'no qemu-img to compare with');
    return;
  }
  const written = hasTmpfs() ? TMPFS : tmpdir();
  const checkIn = mkdtempSync(join(tmpdir(), 'xenner-bench-'));
  try {
    await check(checkIn, runs);
  } finally {
    rmSync(checkIn, { recursive: true });
  }
  for (const work of WORK) {
    const directory = mkdtempSync(join(work.write ? written : tmpdir(), 'xenner-bench-'));
    try {
      await compare(join(directory, 'disk.qcow2'), work, runs);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
}
