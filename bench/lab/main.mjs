// Compares xenner on KVM with QEMU's microvm, and with Xen's shim in QEMU, in one lab. Started by scripts/bench-lab.sh.
// usage: main.mjs [--quick] [--pairs N] KERNEL RAMDISK GUEST [NAME...]
// NAME: kvm-boot-microvm, kvm-boot-shim, kvm-syscall, kvm-fork-exec, kvm-pagefault, kvm-ctxsw, each with -shim too,
// kvm-exits-boot, kvm-exits-idle, kvm-restore, kvm-blk-*, kvm-net-*; or the beginning of some
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { benchBlockInLab } from './block.mjs';
import { benchBoot } from './boot.mjs';
import { benchExits } from './exits.mjs';
import { Lab } from './machines.mjs';
import { benchNetInLab } from './net.mjs';
import { benchRestoreInLab } from './restore.mjs';
import { benchWork } from './work.mjs';

const MEMORY_MIB = 512;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, pairs: { type: 'string', default: '5' } },
});
const [kernel = '', ramdisk = '', guest = '', ...names] = positionals;
const pairs = values.quick ? 1 : Number(values.pairs);
if (!guest || !Number.isInteger(pairs) || pairs < 1)
  throw new Error('usage: see the top of bench/lab/main.mjs');
/** @param {string} bench */
const wanted = (bench) => names.length === 0 || names.some((name) => bench.startsWith(name));
const image = { kernel, ramdisk, memoryMiB: MEMORY_MIB };

const load = loadavg()[0]?.toFixed(1);
console.log(
  `${kernel.replace(/.*\//, '')}, ${MEMORY_MIB} MiB, medians of ${pairs}, load ${load}; ratios are ours / the peer's`,
);
const lab = await Lab.serve();
try {
  await benchBoot(lab, image, pairs, wanted);
  await benchWork(lab, image, pairs, wanted);
  await benchBlockInLab(lab, image, pairs, wanted);
  await benchNetInLab(lab, image, pairs, wanted);
  benchExits(lab, image, wanted);
  benchRestoreInLab(lab, guest, pairs, wanted);
} finally {
  await lab.stop();
}
