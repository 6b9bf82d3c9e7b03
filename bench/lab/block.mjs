// kvm-blk-*: bench/block.mjs on a real KVM, beside QEMU's microvm.
import { compareDisks } from '../block.mjs';
import { MICROVM, XENNER } from './machines.mjs';

/** What the guests write of it comes to lie in the lab's memory. */
const DISK_MIB = 128;
/** JavaScript is as slow there to become fast. */
const WORK_MS = 5000;

/**
 * @param {import('./machines.mjs').Lab} lab
 * @param {import('./machines.mjs').LabImage} image with io-work and drivers in it
 * @param {number} pairs
 * @param {(name: string) => boolean} wanted
 */
export async function benchBlockInLab(lab, image, pairs, wanted) {
  /** @param {import('./machines.mjs').LabMachine} machine @returns {import('../block.mjs').DiskUser} */
  const user = (machine) => ({ name: machine.name, start: (disk) => lab.start(machine, { ...image, disk }) });
  const how = { prefix: 'kvm-blk', diskMiB: DISK_MIB, pairs, workMs: WORK_MS };
  await compareDisks([user(XENNER), user(MICROVM)], how, wanted);
}
