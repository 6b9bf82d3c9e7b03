// kvm-net-*: bench/net.mjs on a real KVM, beside QEMU's microvm.
import { execFileSync } from 'node:child_process';
import { compareNetworks } from '../net.mjs';
import { MICROVM, XENNER } from './machines.mjs';

/** JavaScript is as slow there to become fast. */
const WORK_MS = 10_000;
/** What passt takes its addresses from: the lab has but its loopback. */
const INTERFACE = `ip tuntap add bench mode tap && ip address add 10.200.0.2/24 dev bench &&
  ip link set bench up && ip route add default via 10.200.0.1`;

/**
 * @param {import('./machines.mjs').Lab} lab
 * @param {import('./machines.mjs').LabImage} image with io-work and drivers in it
 * @param {number} pairs
 * @param {(name: string) => boolean} wanted
 */
export async function benchNetInLab(lab, image, pairs, wanted) {
  /** @param {import('./machines.mjs').LabMachine} machine @returns {import('../net.mjs').NetUser} */
  const user = (machine) => ({
    name: machine.name,
    start: (passt) => lab.start(machine, { ...image, passt }),
  });
  const prepare = () => {
    const [program = '', ...args] = lab.inside(['sh', '-c', INTERFACE]);
    execFileSync(program, args);
  };
  const how = { prefix: 'kvm-net', pairs, workMs: WORK_MS, prepare };
  await compareNetworks([user(XENNER), user(MICROVM)], (argv) => lab.inside(argv), how, wanted);
}
