// boot-wall, boot-cpu: from starting the command to the first line that the guest's /init prints.
import { Guest, PEERS, XENNER } from './lib/guest.mjs';
import { treeCpuMs } from './lib/process-tree.mjs';
import { median, printRatio } from './lib/report.mjs';

const FIRST_LINE = /init: running/;
const BOOT_TIMEOUT_MS = 30_000;

/**
 * @param {import('./lib/guest.mjs').Machine} machine
 * @param {import('./lib/guest.mjs').Image} image
 * @returns {Promise<{ wallMs: number, cpuMs: number }>}
 */
async function boot(machine, image) {
  const guest = new Guest(machine.command(image));
  try {
    await guest.console.expect(FIRST_LINE, BOOT_TIMEOUT_MS).catch((error) => {
      throw new Error(`${machine.name}: ${error.message}`);
    });
    return { wallMs: performance.now() - guest.startedMs, cpuMs: treeCpuMs(guest.pid) };
  } finally {
    await guest.kill();
  }
}

/**
 * A peer that hangs once is forgiven, and named.
 * @param {import('./lib/guest.mjs').Machine} machine
 * @param {import('./lib/guest.mjs').Image} image
 */
async function bootPeer(machine, image) {
  try {
    return await boot(machine, image);
  } catch (error) {
    console.log(`  ${machine.name} did not boot, trying it once more: ${String(error).split('\n')[0]}`);
    return await boot(machine, image);
  }
}

/**
 * @param {import('./lib/guest.mjs').Image} image
 * @param {number} pairs
 * @returns {Promise<import('./lib/guest.mjs').Machine>} the faster peer
 */
export async function benchBoot(image, pairs) {
  /** @type {{ wallMs: number, cpuMs: number }[]} */
  const ours = [];
  /** @type {{ machine: import('./lib/guest.mjs').Machine, runs: { wallMs: number, cpuMs: number }[] }[]} */
  const peers = PEERS.map((machine) => ({ machine, runs: [] }));
  for (let round = 0; round < pairs; round++) {
    ours.push(await boot(XENNER, image));
    for (const peer of peers) peer.runs.push(await bootPeer(peer.machine, image));
  }
  const wall = (/** @type {{ wallMs: number }[]} */ runs) => runs.map((run) => run.wallMs);
  const cpu = (/** @type {{ cpuMs: number }[]} */ runs) => runs.map((run) => run.cpuMs);
  const [best] = peers.sort((a, b) => median(wall(a.runs)) - median(wall(b.runs)));
  if (!best) throw new Error('no peer');
  printRatio('boot-wall', wall(ours), { name: best.machine.name, values: wall(best.runs) });
  printRatio('boot-cpu', cpu(ours), { name: best.machine.name, values: cpu(best.runs) });
  return best.machine;
}
