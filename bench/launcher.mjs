// launcher: what starting a guest costs the host before the guest runs, and memory beyond the guest's own, beside the
// floor that Node.js itself sets.
import { execFileSync } from 'node:child_process';
import { Guest, ROOT } from './lib/guest.mjs';
import { residentKiB, threadsCpuMs } from './lib/process-tree.mjs';
import { median } from './lib/report.mjs';

const FLOOR = `const { user, system } = process.cpuUsage();
console.log((user + system) / 1000, process.memoryUsage.rss() / 1024);`;

/** The kernel's first line: with earlyprintk it comes some milliseconds after the guest's first instruction. */
const FIRST_OUTPUT = /Linux version/;

/** @param {import('./lib/guest.mjs').Image} image */
async function start({ kernel, ramdisk, memoryMiB }) {
  const guest = new Guest([
    ...[process.execPath, `${ROOT}dist/cli/main.js`, 'run', '--kernel', kernel, '--ramdisk', ramdisk],
    ...['--memory', String(memoryMiB), '--cmdline', 'console=hvc0 earlyprintk=xen'],
  ]);
  try {
    await guest.console.expect(FIRST_OUTPUT);
    const result = { wallMs: performance.now() - guest.startedMs, cpuMs: threadsCpuMs(guest.pid) };
    await guest.console.expect(/xenner:\S+# /);
    const { anon, file } = residentKiB(guest.pid);
    return { ...result, residentKiB: anon + file };
  } finally {
    await guest.kill();
  }
}

function floor() {
  const [cpuMs = 0, rssKiB = 0] = execFileSync(process.execPath, ['-e', FLOOR], { encoding: 'utf8' })
    .split(' ')
    .map(Number);
  return { cpuMs, residentKiB: rssKiB };
}

/**
 * @param {import('./lib/guest.mjs').Image} image
 * @param {number} runs
 */
export async function benchLauncher(image, runs) {
  const ours = [];
  const floors = [];
  await start(image); // the kernel's unpacked form is cached from here on
  for (let run = 0; run < runs; run++) {
    ours.push(await start(image));
    floors.push(floor());
  }
  const cpu = median(ours.map((run) => run.cpuMs)).toFixed(0);
  const wall = median(ours.map((run) => run.wallMs)).toFixed(0);
  const mib = (/** @type {{ residentKiB: number }[]} */ runs) =>
    (median(runs.map((run) => run.residentKiB)) / 1024).toFixed(0);
  const nodeCpu = median(floors.map((run) => run.cpuMs)).toFixed(0);
  console.log(
    `launcher-cpu: ${cpu} ms to the guest's first line, ${wall} ms of wall time (node -e 0: ${nodeCpu} ms)`,
  );
  console.log(`launcher-rss: ${mib(ours)} MiB beyond guest RAM (node -e 0: ${mib(floors)} MiB)`);
}
