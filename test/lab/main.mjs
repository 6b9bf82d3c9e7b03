// Runs commands in the lab. Started by scripts/lab.sh, which describes the options.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LabError, Machine } from './machine.mjs';
import { parseOptions, UsageError } from './options.mjs';
import { PORTS, runCommand, socketPath } from './session.mjs';

const STATUS = { usage: 2, unfit: 1, timeout: 124, lab: 125 };
/** Beside the lab's own memory: QEMU, translated code, and the rest of the machine. */
const RESERVE_MIB = 1024;

/** @typedef {import('./options.mjs').Options} Options */

const say = (/** @type {string} */ text) => process.stderr.write(`lab: ${text}\n`);

/** Aborted by signals with their exit status, and by the time limit. */
const ending = new AbortController();
for (const [name, number] of /** @type {const} */ ([
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
]))
  process.on(name, () => ending.abort(128 + number));
// Whoever reads our output has had enough.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => ending.abort(128 + 13));

/** Why this machine cannot have a lab of that size; undefined when it can. */
function unfitness(/** @type {import('./machine.mjs').Shape} */ { memoryMiB }) {
  const available = /^MemAvailable: +(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  const availableMiB = Math.floor(Number(available) / 1024);
  const needed = memoryMiB + RESERVE_MIB;
  return availableMiB < needed
    ? `the lab needs ${needed} MiB of memory, ${availableMiB} are available`
    : undefined;
}

/** Fetched and built if need be, with progress on standard error; undefined when that fails. */
function fetchPieces() {
  const script = fileURLToPath(new URL('fetch.sh', import.meta.url));
  const { status, stdout } = spawnSync('bash', [script], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [qemu, kernel, initramfs] = stdout.split('\n');
  return status === 0 && qemu && kernel && initramfs ? { qemu, kernel, initramfs } : undefined;
}

/** What a command sees of this process: everything, and that it is in the lab. */
function inheritance() {
  // Node.js parses these certificates at every start, for 0.4 s in there, where there is no network to use them.
  const { NODE_EXTRA_CA_CERTS: _certificates, ...environment } = process.env;
  const { npm_lifecycle_event, INIT_CWD, PATH } = environment;
  return {
    // npm changes to the project's folder; whoever called it stands elsewhere.
    directory: npm_lifecycle_event === 'lab' && INIT_CWD ? INIT_CWD : process.cwd(),
    environment: { ...environment, PATH: `${PATH}:/run/lab/bin`, XENNER_LAB: '1' },
  };
}

/** Returns the status that this process should end with, or undefined when the lab went away. */
async function runHere(/** @type {string} */ directory, /** @type {Options} */ { argv, timeoutMs }) {
  const { stdin, stdout, stderr } = process;
  const interactive = argv.length === 0;
  if (interactive && !(stdin.isTTY && stdout.isTTY))
    throw new UsageError('no command, and no terminal for a shell');
  const command = {
    ...inheritance(),
    argv: interactive ? ['/bin/sh', '-c', 'exec "$(command -v bash || command -v sh)"'] : argv,
    ...(interactive ? { terminal: { rows: stdout.rows, columns: stdout.columns } } : {}),
  };
  if (interactive) stdin.setRawMode(true);
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  try {
    const start = () => {
      if (timeoutMs > 0) timer = setTimeout(() => ending.abort(STATUS.timeout), timeoutMs);
    };
    const streams = { input: stdin, output: stdout, errors: stderr };
    return await runCommand(directory, command, streams, ending.signal, start);
  } finally {
    clearTimeout(timer);
    if (interactive) stdin.setRawMode(false);
  }
}

async function runOnce(/** @type {import('./machine.mjs').Pieces} */ pieces, /** @type {Options} */ options) {
  const directory = mkdtempSync(join(tmpdir(), 'xenner-lab-'));
  const machine = new Machine(pieces, options.shape, directory);
  try {
    await machine.booted(ending.signal, options.shape.out);
    const status = await runHere(directory, options);
    if (status === undefined && !ending.signal.aborted)
      throw machine.failure('the lab ended under the command');
    return status;
  } finally {
    await machine.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function runIn(/** @type {Options} */ options) {
  const status = await runHere(options.directory, options);
  if (status === undefined && !ending.signal.aborted)
    throw new LabError(`no lab is served in ${options.directory}, or it ended under the command`);
  return status;
}

/** The files of a served lab are in a folder that may hold others. */
async function serve(/** @type {import('./machine.mjs').Pieces} */ pieces, /** @type {Options} */ options) {
  const { directory, shape } = options;
  mkdirSync(directory, { recursive: true });
  const pidFile = join(directory, 'pid');
  const pid = existsSync(pidFile) && readFileSync(pidFile, 'utf8').trim();
  if (pid && existsSync(`/proc/${pid}`))
    throw new LabError(`${directory}: process ${pid} serves a lab there`);
  writeFileSync(pidFile, `${process.pid}\n`);
  const machine = new Machine(pieces, shape, directory);
  try {
    await machine.booted(ending.signal, shape.out);
    process.stdout.write('ready\n');
    const aborted = new Promise((resolve) => ending.signal.addEventListener('abort', resolve));
    await Promise.race([machine.ended, aborted]);
    if (!ending.signal.aborted) throw machine.failure('the lab ended');
    return undefined;
  } finally {
    await machine.stop();
    const sockets = Array.from({ length: PORTS }, (_, port) => socketPath(directory, port));
    for (const path of [...sockets, pidFile, ...machine.logs]) rmSync(path, { force: true });
    try {
      rmdirSync(directory);
    } catch {
      // Somebody else's files are in it.
    }
  }
}

async function main(/** @type {string[]} */ words) {
  const options = parseOptions(words, inheritance().directory);
  if (options.mode === 'in') return runIn(options);
  const pieces = fetchPieces();
  const unfit = pieces ? unfitness(options.shape) : 'what the lab is made of cannot be had';
  if (options.mode === 'check') {
    if (unfit) say(unfit);
    return unfit ? STATUS.unfit : 0;
  }
  if (!pieces || unfit) throw new LabError(unfit);
  if (options.shape.out) mkdirSync(options.shape.out, { recursive: true });
  return options.mode === 'serve' ? serve(pieces, options) : runOnce(pieces, options);
}

/** @type {number | undefined} */
let status;
try {
  status = await main(process.argv.slice(2));
} catch (error) {
  const known = error instanceof LabError || error instanceof UsageError;
  if (!ending.signal.aborted || !known)
    say(known ? error.message : String(error instanceof Error ? error.stack : error));
  status = error instanceof UsageError ? STATUS.usage : STATUS.lab;
}
if (ending.signal.aborted) {
  status = ending.signal.reason;
  if (status === STATUS.timeout) say('time-out: the command was ended');
}
process.exit(status ?? 0);
