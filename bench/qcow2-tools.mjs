// `xenner img` beside qemu-img: the same command on 1 GiB of mixed data, from its start to its end, Node.js's own start included. All
// files are in memory, where the host has a tmpfs for it: else it would be the disk that is measured.
import { spawnSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './lib/guest.mjs';
import { printRatio, printSkip } from './lib/report.mjs';

const MIB = 2 ** 20;
const SIZE_MIB = 1024;
const TMPFS = '/dev/shm';
const OURS = [process.execPath, `${ROOT}dist/cli/main.js`, 'img'];
const THEIRS = ['qemu-img'];

/** @typedef {(name: string) => string} Place */
/** @typedef {{ name: string, goal: string, prepare: (at: Place) => void, args: (at: Place) => string[] }} Work */

/** @param {string[]} args */
function qemuImg(...args) {
  run(['qemu-img', ...args]);
}

/** @param {string[]} command */
function run([program = '', ...args]) {
  const { status, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: status ${status}: ${stderr}`);
}

/** Noise that is the same each time. @param {number} seed @param {number} bytes */
function noise(seed, bytes) {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed + 1), Buffer.alloc(16));
  return cipher.update(Buffer.alloc(bytes));
}

/** Words by chance: what compresses to about a third. @param {number} seed */
function text(seed) {
  const letters = noise(0, 4096 * 12).toString('hex');
  const words = Array.from({ length: 4096 }, (_, i) => letters.slice(12 * i, 12 * i + 2 + (i % 9)));
  const choice = new Uint16Array(noise(seed, 2 * MIB).buffer.slice(0, 2 * MIB));
  let at = '';
  for (let i = 0; at.length < MIB; i++) at += `${words[(choice[i] ?? 0) % words.length]} `;
  return Buffer.from(at.slice(0, MIB), 'latin1');
}

/** A quarter each of noise, holes, text, and text in every other page. @param {string} path */
function writeMixed(path) {
  const texts = Array.from({ length: 8 }, (_, i) => text(i + 1));
  const fd = openSync(path, 'w');
  for (let mib = 0; mib < SIZE_MIB; mib++) {
    const words = texts[(mib >> 2) % texts.length] ?? Buffer.alloc(0);
    const piece = mib % 4 === 0 ? noise(mib, MIB) : Buffer.from(words);
    if (mib % 4 === 3) for (let at = 0; at < MIB; at += 8192) piece.fill(0, at, at + 4096);
    if (mib % 4 !== 1) writeSync(fd, piece, 0, MIB, mib * MIB);
  }
  ftruncateSync(fd, SIZE_MIB * MIB);
  closeSync(fd);
}

/** An overlay with every second MiB of the disk. @param {Place} at */
function makeOverlay(at) {
  for (const name of ['base.qcow2', 'top.qcow2']) rmSync(at(name), { force: true });
  qemuImg('create', '-q', '-f', 'qcow2', at('base.qcow2'), `${SIZE_MIB}M`);
  copyFileSync(at('overlay.qcow2'), at('top.qcow2'));
  qemuImg('rebase', '-u', '-b', at('base.qcow2'), '-F', 'qcow2', at('top.qcow2'));
}

/** @param {Place} at */
const fresh = (at) => rmSync(at('out'), { force: true });

/** @type {Work[]} */
const WORK = [
  {
    name: 'qcow2-convert-raw-qcow2',
    goal: '1.0',
    prepare: fresh,
    args: (at) => ['convert', '-f', 'raw', '-O', 'qcow2', at('mixed.raw'), at('out')],
  },
  {
    name: 'qcow2-convert-qcow2-raw',
    goal: '1.0',
    prepare: fresh,
    args: (at) => ['convert', '-f', 'qcow2', '-O', 'raw', at('overlay.qcow2'), at('out')],
  },
  {
    name: 'qcow2-compress-zlib',
    goal: '0.6',
    prepare: fresh,
    args: (at) => ['convert', '-c', '-f', 'raw', '-O', 'qcow2', at('mixed.raw'), at('out')],
  },
  {
    name: 'qcow2-compress-zstd',
    goal: '0.6',
    prepare: fresh,
    args: (at) => [
      'convert',
      '-c',
      '-f',
      'raw',
      '-O',
      'qcow2',
      '-o',
      'compression_type=zstd',
      at('mixed.raw'),
      at('out'),
    ],
  },
  {
    name: 'qcow2-compare',
    goal: '1.0',
    prepare: () => {},
    args: (at) => ['compare', '-f', 'raw', '-F', 'qcow2', at('mixed.raw'), at('overlay.qcow2')],
  },
  {
    name: 'qcow2-commit',
    goal: '1.0',
    prepare: makeOverlay,
    args: (at) => ['commit', '-f', 'qcow2', at('top.qcow2')],
  },
];

function place() {
  try {
    const { bavail, bsize } = statfsSync(TMPFS);
    return bavail * bsize > 5 * SIZE_MIB * MIB ? TMPFS : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** @param {number} runs @param {(figure: string) => boolean} wanted */
export function benchQcow2Tools(runs, wanted) {
  const work = WORK.filter(({ name }) => wanted(name));
  if (work.length === 0) return;
  if (spawnSync('qemu-img', ['--version']).status !== 0)
    return printSkip('qcow2-convert', 'no qemu-img to compare with');
  const directory = mkdtempSync(join(place(), 'xenner-bench-'));
  const at = (/** @type {string} */ name) => join(directory, name);
  try {
    writeMixed(at('mixed.raw'));
    qemuImg('convert', '-f', 'raw', '-O', 'qcow2', at('mixed.raw'), at('overlay.qcow2'));
    for (const { name, goal, prepare, args } of work) {
      const timed = (/** @type {string[]} */ command) => {
        prepare(at);
        const began = performance.now();
        run([...command, ...args(at)]);
        return performance.now() - began;
      };
      /** @type {{ us: number[], them: number[] }} */
      const times = { us: [], them: [] };
      for (let i = 0; i < runs; i++) {
        times.us.push(timed(OURS));
        times.them.push(timed(THEIRS));
      }
      printRatio(name, times.us, { name: 'qemu-img', values: times.them }, goal);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}
