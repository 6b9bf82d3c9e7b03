// A guest of 384 MiB that touches most of it, gives some back and has it again: node balloon.mjs KERNEL RAMDISK. Answers are a line of
// JSON: MiB of guest memory that are in the host's, when all was touched, when it was given back, and when it was touched again.
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { createDomain } from 'xenner';
import { ConsoleScript } from '../../../scripts/lib/console-script.mjs';

const TIMEOUT_MS = 120_000;
const MEMORY_MIB = 384;
const PAGES_PER_MIB = 256;
const [kernel = '', ramdisk = ''] = process.argv.slice(2);
const domain = await createDomain({
  ...{ engine: 'kvm', kernel, ramdisk, memoryMiB: MEMORY_MIB },
  ...{ cmdline: 'console=hvc0 quiet', hugepages: 'none' },
});
const script = new ConsoleScript((text) => domain.writeConsole(text));
domain.on('console', (chunk) => script.feed(chunk));
domain.wait().then((end) => script.end(`the guest ended: ${end.reason} ${end.crash?.why ?? ''}`));

const inHost = () => {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Math.round(Number(/^RssShmem:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024);
};

/** @param {number} mib */
async function balloon(mib) {
  domain.control.setMemory(mib);
  while (MEMORY_MIB - domain.stats().freePages / PAGES_PER_MIB !== mib) await delay(50);
}

/** @param {number} mib */
async function touch(mib) {
  const fill = `dd if=/dev/urandom of=/tmp/fill bs=1M count=${mib} status=none && rm /tmp/fill`;
  const { output, status } = await script.run(fill, TIMEOUT_MS);
  if (status !== 0) throw new Error(`${fill}: ${output}`);
  return inHost();
}

try {
  await script.expect(/xenner:\S+# /, TIMEOUT_MS);
  const full = await touch(140);
  await balloon(180);
  const small = inHost();
  const used = await touch(40);
  await balloon(MEMORY_MIB);
  const again = await touch(140);
  process.stdout.write(`${JSON.stringify({ engine: domain.engine, full, small, used, again })}\n`);
} finally {
  await domain.destroy();
}
