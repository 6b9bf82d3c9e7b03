// A guest of two vCPUs on KVM, with cores written of it while it runs and when it has crashed with one of them busy:
// { output, end, live, crashed }, the last two are GDB's threads in either core. core.mjs KERNEL RAMDISK FOLDER
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { createDomain } from 'xenner';
import { ConsoleScript } from '../../../scripts/lib/console-script.mjs';

const [kernel, ramdisk, folder] = process.argv.slice(2);
const BOOT_MS = 120_000;

/** @param {string} path */
function threads(path) {
  const text = execFileSync('gdb', ['-batch', '-nx', '-c', path, '-ex', 'info threads'], {
    encoding: 'utf8',
    stdio: 'pipe',
  });
  return text.match(/^[* ] \d +LWP \d +0x[0-9a-f]+/gm)?.length ?? 0;
}

const crashed = join(folder, 'crashed.core');
/** @type {import('xenner').DomainWatch} */
const watch = { ended: (_, remains) => remains.dumpCore(crashed) };
/** @type {import('xenner').DomainConfig} */
const config = { engine: 'kvm', kernel, ramdisk, cmdline: 'console=hvc0 quiet', vcpus: 2, memoryMiB: 128 };
const domain = await createDomain(config, [], watch);
const script = new ConsoleScript((text) => domain.writeConsole(text));
domain.on('console', (chunk) => script.feed(chunk));
await script.expect(/xenner:\S+# /, BOOT_MS);
const live = join(folder, 'live.core');
await domain.dumpCore(live);
const { output } = await script.run('taskset 2 sh -c "while :; do :; done" & echo $((6 * 7))', BOOT_MS);
script.send('taskset 1 sh -c "echo c >/proc/sysrq-trigger"\n');
const { reason } = await domain.wait();
console.log(
  JSON.stringify({ output: output.trim(), end: reason, live: threads(live), crashed: threads(crashed) }),
);
