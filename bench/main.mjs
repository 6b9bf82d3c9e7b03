// Compares xenner with QEMU's own software CPU, side by side in one run. Started by scripts/bench.sh.
// usage: main.mjs [--quick] [--pairs N] KERNEL RAMDISK GUEST_KERNELS TSC_KHZ [NAME...]
// NAME: boot, guest-work, hypercall, launcher, qcow2, pool-refresh, restore, blk, net; of the last two, and qcow2, also the beginning of a figure's name.
// GUEST_KERNELS: where test/guest was built to
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { benchBlock } from './block.mjs';
import { benchBoot } from './boot.mjs';
import { benchGuestWork } from './guest-work.mjs';
import { benchHypercall } from './hypercall.mjs';
import { benchLauncher } from './launcher.mjs';
import { PEERS } from './lib/guest.mjs';
import { printSkip } from './lib/report.mjs';
import { benchNet } from './net.mjs';
import { benchPools } from './pools.mjs';
import { benchQcow2 } from './qcow2.mjs';
import { benchQcow2Tools } from './qcow2-tools.mjs';
import { benchRestore } from './restore.mjs';

const MEMORY_MIB = 256;

function havePeer() {
  try {
    execFileSync('qemu-system-x86_64', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, pairs: { type: 'string', default: '5' } },
});
const [kernel = '', ramdisk = '', guestKernels = '', tscKHz = '', ...names] = positionals;
const pairs = values.quick ? 1 : Number(values.pairs);
if (!tscKHz || !Number.isInteger(pairs) || pairs < 1) throw new Error('usage: see the top of bench/main.mjs');
const wanted = (/** @type {string} */ name) => names.length === 0 || names.includes(name);
const figureWanted = (/** @type {string} */ figure) =>
  names.length === 0 || names.some((name) => figure.startsWith(name));
const image = { kernel, ramdisk, memoryMiB: MEMORY_MIB, tscKHz: Number(tscKHz) };

console.log(
  `${kernel.replace(/.*\//, '')}, ${MEMORY_MIB} MiB, medians of ${pairs}; ratios are ours / the peer's`,
);
if (havePeer()) {
  const peer = wanted('boot') ? await benchBoot(image, pairs) : PEERS[0];
  if (peer && wanted('guest-work')) await benchGuestWork(image, pairs, peer);
  await benchBlock(image, pairs, figureWanted);
  await benchNet(image, pairs, figureWanted);
} else {
  for (const name of ['boot', 'guest-work', 'blk', 'net'].filter(wanted))
    printSkip(name, 'no qemu-system-x86_64 to compare with');
}
if (wanted('hypercall')) await benchHypercall(`${guestKernels}/bench-hypercall.elf`, pairs);
if (wanted('launcher')) await benchLauncher(image, pairs);
if (wanted('qcow2')) await benchQcow2(pairs);
benchQcow2Tools(pairs, figureWanted);
if (wanted('pool-refresh')) await benchPools(pairs);
if (wanted('restore')) await benchRestore(`${guestKernels}/bench-restore.elf`, pairs);
