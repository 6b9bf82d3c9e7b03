// Boots a guest and counts its exits: node counted-guest.mjs KERNEL RAMDISK MEMORY_MIB. Started in the lab by exits.mjs.
// Prints JSON: { boot, bootMs, idle, idleSeconds }: DomainStats up to /init's first line and the time since the guest's first
// instruction; DomainStats of some seconds at an idle shell.
import { setTimeout as delay } from 'node:timers/promises';
import { createDomain } from 'xenner';

const TIMEOUT_MS = 120_000;
/** The shell has come up, and the kernel has done what it put off. */
const SETTLE_MS = 15_000;
const IDLE_MS = 10_000;

const [kernel = '', ramdisk = '', memoryMiB] = process.argv.slice(2);
const domain = await createDomain({
  kernel,
  ramdisk,
  memoryMiB: Number(memoryMiB),
  engine: 'kvm',
  cmdline: 'console=hvc0 quiet',
});

const startedMs = performance.now();
let text = '';
/** @param {string} what */
const printed = (what) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no '${what}': ${text}`)), TIMEOUT_MS);
    const look = (/** @type {Buffer} */ chunk) => {
      text += chunk.toString('latin1');
      if (!text.includes(what)) return;
      clearTimeout(timer);
      domain.off('console', look);
      resolve(domain.stats());
    };
    domain.on('console', look);
  });

/** @type {import('xenner').DomainStats} */
const boot = await printed('init: running');
const bootMs = Math.round(performance.now() - startedMs);
await printed('# ');
await delay(SETTLE_MS);
const before = domain.stats();
const start = performance.now();
await delay(IDLE_MS);
const after = domain.stats();
const idleSeconds = Math.round(performance.now() - start) / 1000;
const exits = Object.fromEntries(
  Object.entries(after.exits).map(([name, count]) => [name, count - (before.exits[name] ?? 0)]),
);
console.log(
  JSON.stringify({ boot, bootMs, idle: { exits, kicks: after.kicks - before.kicks }, idleSeconds }),
);
await domain.destroy();
