// The lab's machine: a QEMU that emulates an AMD processor with SVM, its agent's sockets in a folder of its own.
import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { PORTS, runCommand, socketPath } from './session.mjs';

/** 6 s on a quiet machine. */
const BOOT_MS = 120_000;
const LOG_LINES = 20;
const BUSYBOX = '/run/lab/bin/busybox';

/** The lab itself failed, not what runs in it. */
export class LabError extends Error {}

/**
 * @typedef {object} Pieces
 * @property {string} qemu
 * @property {string} kernel
 * @property {string} initramfs
 *
 * @typedef {object} Shape
 * @property {number} cpus
 * @property {number} memoryMiB
 * @property {number} hugepages
 * @property {number} nodes of NUMA, alike
 * @property {string} [out] a folder that is writable inside
 */

// A comma ends a value of QEMU's options, two stand for one.
const quoted = (/** @type {string} */ value) => value.replaceAll(',', ',,');

function share(/** @type {string} */ tag, /** @type {string} */ path, /** @type {string} */ options) {
  return [
    ...['-fsdev', `local,id=${tag},path=${quoted(path)},security_model=none,multidevs=remap${options}`],
    ...['-device', `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`],
  ];
}

// The processors are dealt out to them.
function numa(/** @type {number} */ memoryMiB, /** @type {number} */ nodes) {
  if (nodes === 1) return [];
  return Array.from({ length: nodes }, (_, node) => [
    ...['-object', `memory-backend-ram,id=node${node},size=${memoryMiB / nodes}M`],
    ...['-numa', `node,nodeid=${node},memdev=node${node}`],
  ]).flat();
}

function qemuArguments(
  /** @type {Pieces} */ { kernel, initramfs },
  /** @type {Shape} */ { cpus, memoryMiB, hugepages, nodes, out },
  /** @type {string} */ directory,
) {
  // A busy machine delays the lab's processors: that is no reason to distrust its clock or to report lock-ups.
  const command = ['console=ttyS0 quiet loglevel=4 mitigations=off nokaslr panic=-1 tsc=reliable nowatchdog'];
  if (hugepages > 0) command.push(`hugepages=${hugepages}`);
  const ports = Array.from({ length: PORTS }, (_, port) => [
    ...['-chardev', `socket,id=port${port},path=${quoted(socketPath(directory, port))},server=on,wait=off`],
    ...['-device', `virtserialport,chardev=port${port},name=xenner.lab.${port}`],
  ]).flat();
  return [
    ...['-M', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', `${cpus}`, '-m', `${memoryMiB}`],
    ...numa(memoryMiB, nodes),
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-monitor', 'none'],
    ...['-serial', `file:${directory}/console`],
    ...['-kernel', kernel, '-initrd', initramfs, '-append', command.join(' ')],
    ...['-device', 'virtio-serial-pci', ...ports],
    ...share('host', '/', ',readonly=on'),
    ...(out ? share('out', out, '') : []),
  ];
}

export class Machine {
  #child;
  #directory;
  /** @type {string[]} */
  logs;

  /** Starts it; QEMU ends with this process, however that ends. */
  constructor(/** @type {Pieces} */ pieces, /** @type {Shape} */ shape, /** @type {string} */ directory) {
    this.#directory = directory;
    this.logs = ['qemu.log', 'console'].map((name) => `${directory}/${name}`);
    const log = openSync(`${directory}/qemu.log`, 'w');
    this.#child = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', '--', pieces.qemu, ...qemuArguments(pieces, shape, directory)],
      // In a process group of its own: a terminal's Ctrl-C is for us to handle.
      { stdio: ['ignore', log, log], detached: true },
    );
    /** @type {Promise<void>} */
    this.ended = new Promise((resolve) => {
      this.#child.on('error', () => resolve());
      this.#child.on('exit', () => resolve());
    });
  }

  /** Returns when commands can be run. Throws LabError when it does not boot, or on abort. */
  async booted(/** @type {AbortSignal} */ abort, /** @type {string | undefined} */ out) {
    const given = new AbortController();
    void this.ended.then(() => given.abort('QEMU ended'));
    const signal = AbortSignal.any([abort, given.signal]);
    const timer = setTimeout(() => given.abort(`no sign of life within ${BOOT_MS / 1000} s`), BOOT_MS);
    // What --out names is mounted at the place that it has outside.
    const script = 'mkdir -p "$1" && exec mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 out "$1"';
    const argv = out ? [BUSYBOX, 'sh', '-c', script, 'sh', out] : [BUSYBOX, 'true'];
    const command = { argv, directory: '/', environment: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } };
    const streams = { output: process.stderr, errors: process.stderr };
    try {
      while (!signal.aborted) {
        let started = false;
        const status = await runCommand(this.#directory, command, streams, signal, () => {
          started = true;
        });
        if (status === 0) return;
        if (started && !signal.aborted)
          throw this.failure(`the lab's first command ends with ${status ?? 'no'} status`);
        // QEMU has not opened its sockets yet.
        await sleep(20);
      }
    } finally {
      clearTimeout(timer);
    }
    throw this.failure(`the lab does not boot: ${signal.reason}`);
  }

  async stop() {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  /** An error to throw, with the end of what QEMU and the kernel said. */
  failure(/** @type {string} */ what) {
    const tail = this.logs
      .flatMap((path) => readIfThere(path).split('\n'))
      .filter(Boolean)
      .slice(-LOG_LINES);
    return new LabError([what, ...tail.map((line) => `    ${line}`)].join('\n'));
  }
}

function readIfThere(/** @type {string} */ path) {
  try {
    return readFileSync(path, 'utf8').replaceAll('\r', '');
  } catch {
    return '';
  }
}
