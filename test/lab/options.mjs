// The command line of scripts/lab.sh.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

export class UsageError extends Error {}

/**
 * @typedef {object} Options
 * @property {'run' | 'serve' | 'in' | 'check'} mode
 * @property {string} directory of --serve or --in
 * @property {number} timeoutMs 0: none
 * @property {import('./machine.mjs').Shape} shape
 * @property {string[]} argv
 */

/** Options end at the first word that is none, or behind `--`. Relative paths are from `base`. */
export function parseOptions(/** @type {string[]} */ words, /** @type {string} */ base) {
  /** @type {Options} */
  const options = {
    mode: 'run',
    directory: '',
    timeoutMs: 0,
    shape: { cpus: 2, memoryMiB: 3072, hugepages: 0, nodes: 1 },
    argv: [],
  };
  const { shape } = options;
  /** @type {Record<string, (value: string) => void>} */
  const known = {
    '--timeout': (value) => {
      options.timeoutMs = number(value, 1, 86_400) * 1000;
    },
    '--cpus': (value) => {
      shape.cpus = number(value, 1, 16);
    },
    '--memory': (value) => {
      shape.memoryMiB = number(value, 512, 65_536);
    },
    '--hugepages': (value) => {
      shape.hugepages = number(value, 0, 32_768);
    },
    '--nodes': (value) => {
      shape.nodes = number(value, 1, 8);
    },
    '--out': (value) => {
      shape.out = resolve(base, value);
    },
    '--serve': (value) => setMode(options, 'serve', resolve(base, value)),
    '--in': (value) => setMode(options, 'in', resolve(base, value)),
  };
  let at = 0;
  for (; at < words.length && words[at]?.startsWith('-'); at++) {
    const word = words[at] ?? '';
    if (word === '--') {
      at++;
      break;
    }
    if (word === '--check') {
      setMode(options, 'check', '');
      continue;
    }
    const value = words[++at];
    const set = known[word];
    if (!set) throw new UsageError(`unknown option '${word}'`);
    if (value === undefined) throw new UsageError(`${word} needs a value`);
    set(value);
  }
  options.argv = words.slice(at);
  checkOptions(options);
  return options;
}

function number(/** @type {string} */ text, /** @type {number} */ least, /** @type {number} */ most) {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new UsageError(`'${text}' is no number from ${least} to ${most}`);
}

function setMode(
  /** @type {Options} */ options,
  /** @type {Options['mode']} */ mode,
  /** @type {string} */ directory,
) {
  if (options.mode !== 'run') throw new UsageError('--serve, --in and --check exclude each other');
  options.mode = mode;
  options.directory = directory;
}

function checkOptions(/** @type {Options} */ { mode, directory, shape, argv }) {
  if (argv.length > 0 && (mode === 'serve' || mode === 'check'))
    throw new UsageError(`--${mode} takes no command`);
  // A UNIX socket's path has 107 bytes at most.
  if (Buffer.byteLength(directory) > 95)
    throw new UsageError(`${directory}: the path is too long for sockets`);
  if (mode === 'in' && !existsSync(directory)) throw new UsageError(`${directory}: no lab is served there`);
  if (shape.memoryMiB % shape.nodes !== 0)
    throw new UsageError(`--memory ${shape.memoryMiB} cannot be shared by ${shape.nodes} nodes`);
  if (shape.hugepages * 2 > shape.memoryMiB - 512)
    throw new UsageError(`--memory ${shape.memoryMiB} has no room for ${shape.hugepages} pages of 2 MiB`);
}
