// kvm-syscall, -fork-exec, -pagefault, -ctxsw: the same static program in our guest and in a peer's, by the guest's clock.
import { runWork } from '../guest-work.mjs';
import { printRatio } from '../lib/report.mjs';
import { MICROVM, ofPeer, XEN_SHIM, XENNER } from './machines.mjs';

const WORKS = [
  { bench: 'kvm-syscall', work: 'syscall' },
  { bench: 'kvm-fork-exec', work: 'fork-exec' },
  { bench: 'kvm-pagefault', work: 'page-fault' },
  { bench: 'kvm-ctxsw', work: 'switch' },
];
const PEERS = [
  { suffix: '', machine: MICROVM, goal: '1.5', parts: 1 },
  // Slow enough for less of the work.
  { suffix: '-shim', machine: XEN_SHIM, goal: 'below 1.0', parts: 20 },
];
const PROMPT = /xenner:\S+# /;
const TIMEOUT_MS = 120_000;
/** Of the lab's emulated processors, which start a program ten times as slowly. */
const CLOCK_SLACK_MS = 3000;

/**
 * Boots a guest to its prompt.
 * @param {import('./machines.mjs').Lab} lab
 * @param {import('./machines.mjs').LabMachine} machine
 * @param {import('./machines.mjs').LabImage} image
 */
async function atPrompt(lab, machine, image) {
  const guest = lab.start(machine, image);
  try {
    await guest.console.expect(PROMPT, TIMEOUT_MS);
    return guest;
  } catch (error) {
    await guest.kill();
    throw error;
  }
}

/**
 * @param {import('./machines.mjs').Lab} lab
 * @param {import('./machines.mjs').LabImage} image with guest-work in it
 * @param {number} pairs
 * @param {(name: string) => boolean} wanted
 */
export async function benchWork(lab, image, pairs, wanted) {
  for (const { suffix, machine, goal, parts } of PEERS) {
    const works = WORKS.map(({ bench, work }) => ({ bench: bench + suffix, work })).filter(({ bench }) =>
      wanted(bench),
    );
    if (works.length === 0) continue;
    const how = { parts, slackMs: CLOCK_SLACK_MS, timeoutMs: TIMEOUT_MS };
    const guest = await atPrompt(lab, XENNER, image);
    const names = works.map(({ bench }) => bench).join(', ');
    const peer = await ofPeer(names, () => atPrompt(lab, machine, image));
    try {
      for (const { bench, work } of works) {
        if (peer === undefined) break;
        /** @type {number[]} */
        const ours = [];
        /** @type {number[]} */
        const theirs = [];
        for (let round = 0; round < pairs; round++) {
          ours.push(await runWork(guest, work, how));
          const ms = await ofPeer(bench, () => runWork(peer, work, how));
          if (ms === undefined) break;
          theirs.push(ms);
        }
        if (theirs.length > 0) printRatio(bench, ours, { name: machine.name, values: theirs }, goal);
      }
    } finally {
      await guest.kill();
      await peer?.kill();
    }
  }
}
