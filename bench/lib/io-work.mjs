// bench/io-work.c in a guest that has the drivers of images/modules.sh in /lib/drivers.

import { PEERS } from './guest.mjs';

/** @typedef {import('./guest.mjs').Guest} Guest */

/** With PCI, as virtio's devices mostly are. */
export const PEER = /** @type {import('./guest.mjs').Machine} */ (
  PEERS.find(({ name }) => name === 'qemu-pc')
);
const PROMPT = /xenner:\S+# /;
/** For the lab. */
const BOOT_TIMEOUT_MS = 240_000;
const WORK_MS = 2000;
const TIMEOUT_MS = 60_000;

/**
 * @param {Guest} guest
 * @param {string} command
 * @returns {Promise<string>} what it prints
 */
export async function runInGuest(guest, command) {
  const { output, status } = await guest.console.run(command, TIMEOUT_MS);
  if (status !== 0) throw new Error(`${command}: status ${status}: ${output}`);
  return output;
}

/** Those of the other hypervisor find nothing to drive. @param {Guest} guest */
export async function loadDrivers(guest) {
  await guest.console.expect(PROMPT, BOOT_TIMEOUT_MS);
  await runInGuest(
    guest,
    'for m in $(cat /lib/drivers/load); do insmod /lib/drivers/$m 2>/dev/null; done; true',
  );
}

/**
 * @param {Guest} guest
 * @param {string} work without how long
 * @returns {Promise<number>} bytes a second, by the guest's clock
 */
export async function runIo(guest, work, workMs = WORK_MS) {
  const output = await runInGuest(guest, `io-work ${work} ${workMs}`);
  const [, bytes, nanoseconds] = /^(\d+) (\d+)$/m.exec(output) ?? [];
  if (bytes === undefined || nanoseconds === undefined) throw new Error(`io-work ${work}: ${output}`);
  return (Number(bytes) * 1e9) / Number(nanoseconds);
}

/**
 * Our guest and the peer's in turn; a first time that does not count fills caches and has code compiled.
 * @param {Guest[]} guests
 * @param {number} pairs
 * @param {(guest: Guest, index: number) => Promise<number>} work
 * @returns {Promise<[number[], number[]]>}
 */
export async function alternate(guests, pairs, work) {
  /** @type {[number[], number[]]} */
  const rates = [[], []];
  for (let round = -1; round < pairs; round++) {
    for (const [index, guest] of guests.entries()) {
      const rate = await work(guest, index);
      if (round >= 0) rates[index]?.push(rate);
    }
  }
  return rates;
}
