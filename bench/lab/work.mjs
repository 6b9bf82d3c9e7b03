// kvm-syscall, -fork-exec, -pagefault, -ctxsw: the same static program in our guest and in a peer's, by the guest's clock.
import { runWork } from '../guest-work.mjs';
import { printRatio } from '../lib/report.mjs';
import { MICROVM, XEN_SHIM, XENNER } from './machines.mjs';

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
 * @param {import('./machines.mjs').Lab} lab
 * @param {import('./machines.mjs').LabImage} image with guest-work in it
 * @param {number} pairs
 * @param {(name: string) => boolean} wanted
 */
export async function benchWork(lab, image, pairs, wanted) {
  for (const { suffix, machine, goal, parts } of PEERS) {
    const works = WORKS.filter(({ bench }) => wanted(bench + suffix));
    if (works.length === 0) continue;
    const how = { parts, slackMs: CLOCK_SLACK_MS, timeoutMs: TIMEOUT_MS };
    const guests = [XENNER, machine].map((each) => lab.start(each, image));
    try {
      for (const guest of guests) await guest.console.expect(PROMPT, TIMEOUT_MS);
      for (const { bench, work } of works) {
        /** @type {number[][]} */
        const times = [[], []];
        for (let round = 0; round < pairs; round++) {
          for (const [index, guest] of guests.entries()) times[index]?.push(await runWork(guest, work, how));
        }
        printRatio(bench + suffix, times[0] ?? [], { name: machine.name, values: times[1] ?? [] }, goal);
      }
    } finally {
      for (const guest of guests) await guest.kill();
    }
  }
}
