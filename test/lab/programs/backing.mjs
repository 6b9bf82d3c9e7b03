// Boots the same guest on each kind of memory in turn: node backing.mjs KERNEL RAMDISK ROUNDS KIND... (none, 2M, thp)
// For each boot a line of JSON: { kind, bootMs, touchMs }. guest-work is in the ramdisk; touching is its page-fault, of 96 MiB
// of which nobody had half before.
import { Guest, ROOT } from '../../../bench/lib/guest.mjs';

const [kernel = '', ramdisk = '', rounds = '1', ...kinds] = process.argv.slice(2);
const TIMEOUT_MS = 120_000;

/** @param {string} kind */
async function boot(kind) {
  const guest = new Guest([
    ...[process.execPath, `${ROOT}dist/cli/main.js`, 'run', '--engine', 'kvm', '--kernel', kernel],
    ...['--ramdisk', ramdisk, '--memory', '192', '--cmdline', 'console=hvc0 quiet'],
    ...['--hugepages', kind],
  ]);
  try {
    await guest.console.expect(/init: running/, TIMEOUT_MS);
    const bootMs = performance.now() - guest.startedMs;
    await guest.console.expect(/xenner:\S+# /, TIMEOUT_MS);
    const { output } = await guest.console.run('guest-work page-fault', TIMEOUT_MS);
    const touchMs = Number(/^page-fault (\d+)$/m.exec(output)?.[1]) / 1e6;
    return { kind, bootMs, touchMs };
  } finally {
    await guest.kill();
  }
}

for (let round = 0; round < Number(rounds); round++) {
  for (const kind of kinds) process.stdout.write(`${JSON.stringify(await boot(kind))}\n`);
}
