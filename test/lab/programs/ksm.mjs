// Two guests whose equal pages KSM merges: node ksm.mjs KERNEL RAMDISK. Needs root, and a host without other such memory.
// Prints JSON: { none, one, two, gone }, pages saved (pages_sharing) without a guest, with one, with two, and afterwards.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { createDomain } from 'xenner';

const KSM = '/sys/kernel/mm/ksm';
const [kernel = '', ramdisk = ''] = process.argv.slice(2);
const TIMEOUT_MS = 120_000;
/** A page is merged when two scans have found it the same. */
const SCANS = 3;

/** @param {string} name */
const read = (name) => Number(readFileSync(`${KSM}/${name}`, 'utf8'));

async function settled() {
  const until = read('full_scans') + SCANS;
  const deadline = Date.now() + TIMEOUT_MS;
  while (read('full_scans') < until) {
    if (Date.now() > deadline) throw new Error('KSM does not get round');
    await delay(100);
  }
  return read('pages_sharing');
}

async function boot() {
  const config = { kernel, ramdisk, memoryMiB: 96, cmdline: 'console=hvc0 quiet', mergeable: true };
  const domain = await createDomain({ ...config, engine: 'kvm' });
  const deadline = Date.now() + TIMEOUT_MS;
  while (!domain.consoleTail.includes('# ')) {
    if (Date.now() > deadline) throw new Error(`no prompt: ${domain.consoleTail}`);
    await delay(50);
  }
  return domain;
}

writeFileSync(`${KSM}/pages_to_scan`, '20000');
writeFileSync(`${KSM}/sleep_millisecs`, '10');
writeFileSync(`${KSM}/run`, '1');
const none = read('pages_sharing');
const first = await boot();
const one = await settled();
const second = await boot();
const two = await settled();
await Promise.all([first.destroy(), second.destroy()]);
const deadline = Date.now() + TIMEOUT_MS;
while (read('pages_sharing') > none && Date.now() < deadline) await delay(100);
writeFileSync(`${KSM}/run`, '0');
console.log(JSON.stringify({ none, one, two, gone: read('pages_sharing') }));
