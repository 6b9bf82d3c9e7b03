// restore: from the command to the guest's next instruction, for a guest of little memory and one of much. The guest says every
// millisecond that it runs, and has 32 MiB in use.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guest, ROOT } from './lib/guest.mjs';
import { median } from './lib/report.mjs';

const SIZES_MIB = [256, 4096];
const TICK = /tick \d+/;
const xenner = [process.execPath, `${ROOT}dist/cli/main.js`];

/**
 * @param {string} kernel
 * @param {number} memoryMiB
 * @param {string} file
 */
async function save(kernel, memoryMiB, file) {
  const guest = new Guest([
    ...[...xenner, 'run', '--kernel', kernel, '--memory', String(memoryMiB)],
    ...['--save-on-exit', file],
  ]);
  await guest.console.expect(TICK);
  guest.child.kill('SIGTERM');
  await guest.exited;
}

/** @param {string} file */
async function restore(file) {
  const guest = new Guest([...xenner, 'restore', '--foreground', file]);
  try {
    await guest.console.expect(TICK);
    return performance.now() - guest.startedMs;
  } finally {
    await guest.kill();
  }
}

/**
 * @param {string} kernel test/guest/bench-restore
 * @param {number} runs
 * @param {string} prefix of the names
 */
export async function benchRestore(kernel, runs, prefix = '') {
  const directory = mkdtempSync(join(tmpdir(), 'xenner-bench-'));
  const file = join(directory, 'guest.save');
  try {
    for (const memoryMiB of SIZES_MIB) {
      await save(kernel, memoryMiB, file);
      const times = [];
      for (let run = 0; run < runs; run++) times.push(await restore(file));
      const onDisk = (statSync(file).blocks / 2048).toFixed(0);
      console.log(`${prefix}restore-${memoryMiB}: ${median(times).toFixed(0)} ms (${onDisk} MiB on disk)`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}
