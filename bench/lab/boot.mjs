// kvm-boot-*: from starting the command to the first line that the guest's /init prints.
import { printRatio } from '../lib/report.mjs';
import { MICROVM, ofPeer, XEN_SHIM, XENNER } from './machines.mjs';

const FIRST_LINE = /init: running/;
const TIMEOUT_MS = 120_000;
const PEERS = [
  { bench: 'kvm-boot-microvm', machine: MICROVM, goal: '1.0' },
  { bench: 'kvm-boot-shim', machine: XEN_SHIM, goal: '0.4' },
];

/**
 * @param {import('./machines.mjs').Lab} lab
 * @param {import('./machines.mjs').LabMachine} machine
 * @param {import('./machines.mjs').LabImage} image
 * @returns {Promise<number>} milliseconds
 */
async function boot(lab, machine, image) {
  const guest = lab.start(machine, image);
  try {
    await guest.console.expect(FIRST_LINE, TIMEOUT_MS);
    return performance.now() - guest.startedMs;
  } catch (error) {
    throw new Error(`${machine.name}: ${error instanceof Error ? error.message : error}`);
  } finally {
    await guest.kill();
  }
}

/**
 * @param {import('./machines.mjs').Lab} lab
 * @param {import('./machines.mjs').LabImage} image
 * @param {number} pairs
 * @param {(name: string) => boolean} wanted
 */
export async function benchBoot(lab, image, pairs, wanted) {
  const peers = PEERS.filter(({ bench }) => wanted(bench)).map((peer) => ({
    ...peer,
    values: /** @type {number[]} */ ([]),
  }));
  if (peers.length === 0) return;
  /** @type {number[]} */
  const ours = [];
  // Round 0 is for nothing: files come into the lab's cache.
  for (let round = 0; round <= pairs; round++) {
    const ms = await boot(lab, XENNER, image);
    if (round > 0) ours.push(ms);
    for (const { bench, machine, values } of peers) {
      const theirs = await ofPeer(bench, () => boot(lab, machine, image));
      if (round > 0 && theirs !== undefined) values.push(theirs);
    }
  }
  for (const { bench, machine, goal, values } of peers.filter(({ values }) => values.length > 0)) {
    printRatio(bench, ours, { name: machine.name, values }, goal);
  }
}
