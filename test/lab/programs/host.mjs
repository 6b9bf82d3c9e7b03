// The commands for huge pages and KSM on real domains: node host.mjs KERNEL RAMDISK. Needs root, and a host without other such memory.
// Prints JSON: what `hugepages` and `ksm status` told on the way, and what was refused. Whoever starts it sets the time limit.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const [kernel = '', ramdisk = ''] = process.argv.slice(2);
const home = mkdtempSync(join(tmpdir(), 'host-'));
process.env.XENNER_RUN_DIR = join(home, 'run');
const MEMORY_MIB = 96;
/** Those, Xen's frames behind them, and the 54 MiB that nobody takes; and some that stay free. */
const PAGES = 80;
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
  const text = { name, kernel, ramdisk, memory: MEMORY_MIB, extra: 'console=hvc0 quiet' };
  writeFileSync(
    file,
    Object.entries(text)
      .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
      .join(''),
  );
  must('create', file, '--engine', 'kvm', ...options);
}

const scans = () => Number(readFileSync('/sys/kernel/mm/ksm/full_scans', 'utf8'));
const reserved = must('hugepages', 'reserve', '2M', String(PAGES));
create('large', '--hugepages', '2M');
const pools = JSON.parse(must('hugepages', '--json'));
const refusedRelease = xenner('hugepages', 'release', '2M', String(PAGES)).stderr;
must('destroy', 'large');
const released = must('hugepages', 'release', '2M', String(PAGES));

create('one', '--ksm');
create('two', '--ksm');
must('ksm', 'tune', 'pages-to-scan=20000', 'sleep=10');
must('ksm', 'on');
for (const until = scans() + SCANS; scans() < until; ) await delay(200);
must('ksm', 'off');
const merged = JSON.parse(must('ksm', 'status', '--json'));
const refusedTune = xenner('ksm', 'tune', 'merge-across-nodes=0').stderr;
must('ksm', 'off', '--unmerge');
const apart = JSON.parse(must('ksm', 'status', '--json'));
must('destroy', 'one');
must('destroy', 'two');
console.log(JSON.stringify({ reserved, pools, refusedRelease, released, merged, refusedTune, apart }));
