// A lab for a run of benches, and the guests that are compared in it.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guest, OUR_NIC, ourDisk, ROOT, virtioDisk, virtioNic } from '../lib/guest.mjs';

/** All of them boot with `quiet`: a serial port costs QEMU an exit a character, and that is not what is compared. */
const CMDLINE = 'quiet';
const LAB_SCRIPT = `${ROOT}scripts/lab.sh`;

/**
 * @typedef {{ kernel: string, ramdisk: string, memoryMiB: number, disk?: import('../lib/guest.mjs').Disk, passt?: string }} LabImage
 *   `disk`, and `passt` as in Image: for xenner and microvm
 * @typedef {{ name: string, command: (image: LabImage) => string[] }} LabMachine
 */

/** @type {LabMachine} */
export const XENNER = {
  name: 'xenner',
  command: ({ kernel, ramdisk, memoryMiB, disk, passt }) => [
    ...[process.execPath, `${ROOT}dist/cli/main.js`, 'run', '--engine', 'kvm', '--kernel', kernel],
    ...['--ramdisk', ramdisk, '--memory', String(memoryMiB), '--cmdline', `console=hvc0 ${CMDLINE}`],
    ...(disk === undefined ? [] : ourDisk(disk)),
    ...(passt === undefined ? [] : OUR_NIC),
  ],
};

/**
 * What its script in test/lab/peers would start.
 * @param {string} name
 * @param {number} ownMiB memory beside the guest's
 * @returns {LabMachine}
 */
function peer(name, ownMiB) {
  return {
    name,
    command: ({ kernel, ramdisk, memoryMiB, disk, passt }) => {
      const script = `${ROOT}test/lab/peers/${name}.sh`;
      const options = ['--print', '--memory', String(memoryMiB + ownMiB)];
      const argv = [script, ...options, kernel, ramdisk, CMDLINE];
      return [
        ...execFileSync('bash', argv, { encoding: 'utf8' }).trimEnd().split('\n'),
        ...(disk === undefined ? [] : virtioDisk(disk, 'virtio-blk-device')),
        ...(passt === undefined ? [] : virtioNic(passt, 'virtio-net-device')),
      ];
    },
  };
}

export const MICROVM = peer('microvm', 0);
/** Xen takes its share of the memory. */
export const XEN_SHIM = peer('xen-shim', 256);

/**
 * A peer may fail by itself: it is tried once more, and said so. undefined: there is no figure.
 * @template T
 * @param {string} bench
 * @param {() => Promise<T>} attempt
 * @returns {Promise<T | undefined>}
 */
export async function ofPeer(bench, attempt) {
  for (const next of ['once more', 'no figure']) {
    try {
      return await attempt();
    } catch (error) {
      const [what] = (error instanceof Error ? error.message : String(error)).split('\n');
      console.log(`${bench}: the peer failed, ${next}: ${what}`);
    }
  }
  return undefined;
}

export class Lab {
  /** @private @param {string} directory @param {import('node:child_process').ChildProcess} child */
  constructor(directory, child) {
    this.directory = directory;
    this.child = child;
    this.ended = new Promise((resolve) => child.on('close', resolve));
  }

  /** Boots one. */
  static async serve() {
    const directory = mkdtempSync(join(tmpdir(), 'xenner-bench-lab-'));
    const child = spawn('bash', [LAB_SCRIPT, '--serve', directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lab = new Lab(directory, child);
    const ready = new Promise((resolve) => child.stdout.once('data', () => resolve(true)));
    if (await Promise.race([ready, lab.ended.then(() => false)])) return lab;
    rmSync(directory, { recursive: true, force: true });
    throw new Error('the lab does not boot');
  }

  /** What runs a command in it, from outside. @param {string[]} argv */
  inside(argv) {
    return ['bash', LAB_SCRIPT, '--in', this.directory, '--', ...argv];
  }

  /** @param {LabMachine} machine @param {LabImage} image */
  start(machine, image) {
    return new Guest(this.inside(machine.command(image)));
  }

  async stop() {
    this.child.kill('SIGTERM');
    await this.ended;
    rmSync(this.directory, { recursive: true, force: true });
  }
}
