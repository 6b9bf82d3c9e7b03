// pool-refresh: a folder of 10,000 volumes, by the `xenner` command and by virsh with libvirtd, which runs already.
import { execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { printRatio, printSkip } from './lib/report.mjs';

const VOLUMES = 10_000;
const START_MS = 60_000;
const CLI = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const DAEMON = fileURLToPath(new URL('../scripts/lib/libvirtd.sh', import.meta.url));

/**
 * Half of them raw, half qcow2, of those half above another.
 * @param {string} folder
 */
function makeVolumes(folder) {
  mkdirSync(folder);
  const [base, above] = [join(folder, 'base.qcow2'), join(folder, 'above.qcow2')];
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', base, '10G']);
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', above]);
  for (let i = 2; i < VOLUMES; i++) {
    const path = join(folder, `volume-${i}`);
    if (i % 4 < 2) copyFileSync(i % 4 === 0 ? base : above, path);
    else {
      writeFileSync(path, '');
      truncateSync(path, 2 ** 30);
    }
  }
}

/**
 * @param {string} program
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
function timed(program, args, env) {
  const began = performance.now();
  execFileSync(program, args, { env: { ...process.env, ...env }, stdio: 'ignore' });
  return performance.now() - began;
}

/** @param {string} folder */
async function startDaemon(folder) {
  const daemon = spawn('bash', [DAEMON, folder], { stdio: 'ignore' });
  for (const until = Date.now() + START_MS; !existsSync(join(folder, 'libvirt-sock')); await delay(50))
    if (daemon.exitCode !== null || Date.now() > until) throw new Error('libvirtd does not start');
  return daemon;
}

/** @param {number} runs */
export async function benchPools(runs) {
  try {
    execFileSync('sh', ['-c', 'command -v libvirtd && command -v virsh && test "$(id -u)" = 0'], {
      stdio: 'ignore',
    });
  } catch {
    printSkip('pool-refresh', 'no libvirtd and virsh to compare with, or not root');
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), 'xenner-bench-pools-'));
  const daemonFolder = join(directory, 'daemon');
  mkdirSync(daemonFolder);
  const daemon = await startDaemon(daemonFolder);
  try {
    const volumes = join(directory, 'volumes');
    makeVolumes(volumes);
    const env = { XENNER_CONFIG_DIR: join(directory, 'etc'), XENNER_RUN_DIR: join(directory, 'run') };
    const xenner = (/** @type {string[]} */ ...args) => timed(process.execPath, [CLI, ...args], env);
    const uri = `storage:///system?socket=${daemonFolder}/libvirt-sock`;
    const virsh = (/** @type {string[]} */ ...args) => timed('virsh', ['-c', uri, ...args]);
    for (const each of [xenner, virsh]) each('pool-create-as', 'bench', 'dir', '--target', volumes);
    /** @type {{ us: number[], them: number[] }} */
    const times = { us: [], them: [] };
    for (let run = 0; run < runs; run++) {
      times.us.push(xenner('pool-refresh', 'bench'));
      times.them.push(virsh('pool-refresh', 'bench'));
    }
    printRatio('pool-refresh', times.us, { name: 'virsh', values: times.them }, '0.5');
  } finally {
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    if (daemon.exitCode === null && daemon.kill()) await ended;
    rmSync(directory, { recursive: true, force: true });
  }
}
