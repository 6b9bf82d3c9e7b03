// Guests to compare: ours and QEMU's, with the same kernel, initramfs, memory and kernel options.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ConsoleScript } from '../../scripts/lib/console-script.mjs';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/**
 * @typedef {{ path: string, format: string }} Disk
 * @typedef {{ kernel: string, ramdisk: string, memoryMiB: number, tscKHz: number, disk?: Disk, passt?: string }} Image
 *   `passt`: there is a network, and this is the socket of QEMU's passt
 * @typedef {{ name: string, command: (image: Image) => string[] }} Machine
 */

/** Both print little: a serial port costs QEMU one exit a character, and that is not what is compared. */
const CMDLINE = 'quiet';

/** @param {Disk} disk */
export function ourDisk({ path, format }) {
  return ['--disk', `${path},${format},xvda,w`];
}

/** By a passt of its own. */
export const OUR_NIC = ['--nic', 'mac=00:16:3e:00:00:01'];

/** @type {Machine} */
export const XENNER = {
  name: 'xenner',
  command: ({ kernel, ramdisk, memoryMiB, disk, passt }) => [
    ...[process.execPath, `${ROOT}dist/cli/main.js`, 'run', '--kernel', kernel, '--ramdisk', ramdisk],
    ...['--memory', String(memoryMiB), '--cmdline', `console=hvc0 ${CMDLINE}`],
    ...(disk === undefined ? [] : ourDisk(disk)),
    ...(passt === undefined ? [] : OUR_NIC),
  ],
};

/** With the cache mode that is our default, and QEMU's. @param {Disk} disk @param {string} device */
export function virtioDisk({ path, format }, device) {
  const node = `if=none,id=disk,file=${path},format=${format},cache=writeback`;
  return ['-drive', node, '-device', `${device},drive=disk`];
}

/** @param {string} socket @param {string} device */
export function virtioNic(socket, device) {
  const stream = `stream,id=net,server=off,addr.type=unix,addr.path=${socket}`;
  return ['-netdev', stream, '-device', `${device},netdev=net,mac=00:16:3e:00:00:01`];
}

/**
 * QEMU at its best: no devices but a serial port, no option ROMs, and the clock told instead of measured, which takes
 * time and on a busy host fails.
 * @param {string} name
 * @param {string} machine
 * @returns {Machine}
 */
function qemu(name, machine) {
  return {
    name,
    command: ({ kernel, ramdisk, memoryMiB, tscKHz, disk, passt }) => [
      ...['qemu-system-x86_64', '-accel', 'tcg', '-M', machine, '-m', String(memoryMiB)],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
      ...(disk === undefined ? [] : virtioDisk(disk, 'virtio-blk-pci')),
      ...(passt === undefined ? [] : virtioNic(passt, 'virtio-net-pci')),
      ...['-kernel', kernel, '-initrd', ramdisk, '-append'],
      `console=ttyS0 tsc_early_khz=${tscKHz} tsc=reliable no_timer_check ${CMDLINE}`,
    ],
  };
}

export const PEERS = [
  qemu('qemu-microvm', 'microvm,x-option-roms=off,pit=off,pic=off'),
  qemu('qemu-pc', 'pc'),
];

/** A guest that runs, with its console to be driven by script. */
export class Guest {
  /** @param {string[]} command */
  constructor(command) {
    this.startedMs = performance.now();
    const [program = '', ...args] = command;
    this.child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.console = new ConsoleScript((text) => this.child.stdin.write(text));
    this.child.stdin.on('error', () => {}); // the guest's end is reported below
    this.child.stdout.on('data', (bytes) => this.console.feed(bytes));
    this.errors = '';
    this.child.stderr.on('data', (bytes) => {
      this.errors = (this.errors + bytes).slice(-2000);
    });
    this.exited = new Promise((resolve) => {
      this.child.on('error', (error) => resolve(error.message));
      this.child.on('close', (code, signal) => resolve(signal ?? `status ${code}`));
    });
    this.exited.then((how) => this.console.end(`${program} ended: ${how} ${this.errors}`));
  }

  get pid() {
    if (this.child.pid === undefined) throw new Error('the guest did not start');
    return this.child.pid;
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}
