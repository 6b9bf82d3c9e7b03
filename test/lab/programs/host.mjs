// The commands for huge pages and KSM on real domains: node host.mjs hugepages|ksm KERNEL RAMDISK. Needs root, and a host without other
// such memory. Prints JSON: what they told on the way, and what was refused. The domains are paused: what is in their memory is what
// their builder put there, and stays. Whoever starts it sets the time limit.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const [what, kernel = '', ramdisk = ''] = process.argv.slice(2);
const home = mkdtempSync(join(tmpdir(), 'host-'));
process.env.XENNER_RUN_DIR = join(home, 'run');
const KSM = '/sys/kernel/mm/ksm';
/** 96 MiB, Xen's frames behind them, and the 54 MiB that nobody takes; and some that stay free. */
const PAGES = 80;
/** A page is merged when two scans have found it the same. */
const SCANS = 3;

/** @param {string[]} words */
function xenner(...words) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/cli/main.js', ...words], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

/** @param {string[]} words */
function must(...words) {
  const { status, stdout, stderr } = xenner(...words);
  if (status !== 0) throw new Error(`${words.join(' ')}: ${stderr}`);
  return stdout;
}

/** @param {string} name @param {string[]} options */
function create(name, ...options) {
  const file = join(home, `${name}.cfg`);
  const config = { name, kernel, ramdisk, memory: 96 };
  const lines = Object.entries(config).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
  writeFileSync(file, lines.join(''));
  must('create', file, '--paused', '--engine', 'kvm', ...options);
}

function hugepages() {
  const reserved = must('hugepages', 'reserve', '2M', String(PAGES));
  create('large', '--hugepages', '2M');
  const all = JSON.parse(must('hugepages', '--json'));
  const refused = xenner('hugepages', 'release', '2M', String(PAGES)).stderr;
  must('destroy', 'large');
  return { reserved, all, refused, released: must('hugepages', 'release', '2M', String(PAGES)) };
}

async function ksm() {
  /** @param {string} name */
  const read = (name) => Number(readFileSync(`${KSM}/${name}`, 'utf8'));
  create('one', '--ksm');
  create('two', '--ksm');
  must('ksm', 'tune', 'pages-to-scan=20000', 'sleep=10');
  must('ksm', 'on');
  for (const until = read('full_scans') + SCANS; read('full_scans') < until; ) await delay(200);
  const merged = JSON.parse(must('ksm', 'status', '--json'));
  const refused = xenner('ksm', 'tune', 'merge-across-nodes=0').stderr;
  must('ksm', 'off', '--unmerge');
  const left = read('pages_sharing');
  must('destroy', 'one');
  must('destroy', 'two');
  return { merged, refused, left, run: read('run') };
}

console.log(JSON.stringify(what === 'ksm' ? await ksm() : hugepages()));
