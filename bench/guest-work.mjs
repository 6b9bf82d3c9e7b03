// guest-work-*: the same static program in our guest and in QEMU's, timed by the guest's clock and checked by ours.
import { Guest, XENNER } from './lib/guest.mjs';
import { printRatio } from './lib/report.mjs';

const WORKS = ['fork-exec', 'syscall', 'md5', 'gzip', 'page-fault', 'switch'];
const PROMPT = /xenner:\S+# /;

/** Typing the command and starting the program take time that the guest's clock does not see; ticks round the rest. */
const CLOCK_SLACK_MS = 100;
const CLOCK_SLACK_RATIO = 0.05;

/**
 * @param {Guest} guest
 * @param {string} work
 * @param {{ parts?: number, slackMs?: number, timeoutMs?: number }} [how] one of so many parts of the work
 * @returns {Promise<number>} milliseconds by the guest's clock
 */
export async function runWork(guest, work, { parts = 1, slackMs = CLOCK_SLACK_MS, timeoutMs = 60_000 } = {}) {
  const start = performance.now();
  const { output, status } = await guest.console.run(`guest-work ${work} ${parts}`, timeoutMs);
  const hostMs = performance.now() - start;
  const nanoseconds = new RegExp(`^${work} (\\d+)$`, 'm').exec(output)?.[1];
  if (status !== 0 || nanoseconds === undefined)
    throw new Error(`guest-work ${work}: status ${status}: ${output}`);
  const guestMs = Number(nanoseconds) / 1e6;
  if (Math.abs(hostMs - guestMs) > slackMs + hostMs * CLOCK_SLACK_RATIO) {
    throw new Error(
      `guest-work ${work}: ${guestMs.toFixed(0)} ms by the guest's clock, ${hostMs.toFixed(0)} by ours`,
    );
  }
  return guestMs;
}

/**
 * @param {import('./lib/guest.mjs').Image} image with guest-work in it
 * @param {number} pairs
 * @param {import('./lib/guest.mjs').Machine} peer
 */
export async function benchGuestWork(image, pairs, peer) {
  const guests = [XENNER, peer].map((machine) => new Guest(machine.command(image)));
  try {
    for (const guest of guests) await guest.console.expect(PROMPT);
    for (const work of WORKS) {
      /** @type {number[][]} */
      const times = [[], []];
      for (let round = 0; round < pairs; round++) {
        for (const [index, guest] of guests.entries()) times[index]?.push(await runWork(guest, work));
      }
      printRatio(`guest-work-${work}`, times[0] ?? [], { name: peer.name, values: times[1] ?? [] });
    }
  } finally {
    for (const guest of guests) await guest.kill();
  }
}
