// Two guests whose equal pages KSM merges: node ksm.mjs KERNEL RAMDISK. Needs root, and a host without other such memory.
// Prints JSON: { one, two }, pages saved (pages_sharing) with one guest and with two, when they are gone again. Whoever starts it
// sets the time limit.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { createDomain } from 'xenner';

const KSM = '/sys/kernel/mm/ksm';
const [kernel = '', ramdisk = ''] = process.argv.slice(2);
/** A page is merged when two scans have found it the same. */
const SCANS = 3;

/** @param {string} name */
const read = (name) => Number(readFileSync(`${KSM}/${name}`, 'utf8'));

async function settled() {
  // Not while a guest boots, which has little left of the processors beside it. What is merged stays so.
  writeFileSync(`${KSM}/run`, '1');
  const until = read('full_scans') + SCANS;
  while (read('full_scans') < until) await delay(100);
  writeFileSync(`${KSM}/run`, '0');
  return read('pages_sharing');
}

async function boot() {
  const config = { kernel, ramdisk, memoryMiB: 96, cmdline: 'console=hvc0 quiet', mergeable: true };
  const domain = await createDomain({ ...config, engine: 'kvm' });
  while (!domain.consoleTail.includes('# ')) await delay(50);
  return domain;
}

writeFileSync(`${KSM}/pages_to_scan`, '20000');
writeFileSync(`${KSM}/sleep_millisecs`, '10');
const none = read('pages_sharing');
const first = await boot();
const one = await settled();
const second = await boot();
const two = await settled();
await Promise.all([first.destroy(), second.destroy()]);
writeFileSync(`${KSM}/run`, '1'); // it is what notices
while (read('pages_sharing') > none) await delay(100);
writeFileSync(`${KSM}/run`, '0');
console.log(JSON.stringify({ one, two }));
