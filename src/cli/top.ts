/** `xenner top`: what live domains use, in xentop's columns, again and again. */
import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { usageOf } from '../mgmt/domain/client.js';
import type { UsageInfo } from '../mgmt/domain/live/control.js';
import { type FoundDomain, liveDomains } from '../mgmt/domain/live/runtime-directory.js';
import { cpuSeconds, hostMemoryKiB } from '../mgmt/domain/live/usage.js';
import { letters } from './list.js';
import { wholeNumber } from './options.js';
import { printableText } from './printable.js';

interface TopOptions {
  readonly delay: number;
  readonly iterations?: number;
  readonly batch?: true;
}

const SECTOR_BYTES = 512;
/** q, Q, and Ctrl-C, which is a key like others here. */
const LEAVE: readonly number[] = [0x71, 0x51, 0x03];
const CLEAR = '\x1b[H\x1b[2J';

export function topCommand(): Command {
  return new Command('top')
    .description('show what live domains use (q or Ctrl-C leaves)')
    .option('-d, --delay <seconds>', 'between two looks', wholeNumber, 3)
    .option('-i, --iterations <n>', 'so many looks', wholeNumber)
    .option('-b, --batch', 'one table after the other, for programs')
    .action(top);
}

/** One domain at one time. */
interface Look {
  readonly domain: FoundDomain;
  readonly usage: UsageInfo;
  readonly cpuSeconds: number;
  readonly atMs: number;
}

async function top(options: TopOptions): Promise<void> {
  const { stdin, stdout } = process;
  const leave = new AbortController();
  const isScreen = options.batch !== true && stdout.isTTY === true;
  const raw = isScreen && stdin.isTTY === true;
  const key = (typed: Buffer) => {
    if (typed.some((byte) => LEAVE.includes(byte))) leave.abort();
  };
  stdout.on('error', () => leave.abort());
  if (raw) stdin.setRawMode(true).on('data', key);
  try {
    let before: readonly Look[] = [];
    for (let round = 1; !leave.signal.aborted; round++) {
      const looks = await lookAt(await liveDomains());
      stdout.write(`${isScreen ? CLEAR : ''}${table(looks, before)}`);
      before = looks;
      if (round >= (options.iterations ?? Infinity)) break;
      await delay(options.delay * 1000, undefined, { signal: leave.signal }).catch(() => {});
    }
  } finally {
    if (raw) stdin.setRawMode(false).off('data', key);
    if (raw) stdin.pause();
  }
}

/** Domains that end meanwhile are left out, and those that do not answer. */
async function lookAt(domains: readonly FoundDomain[]): Promise<Look[]> {
  const looks = await Promise.all(
    domains.map(async (domain) => {
      const usage = await usageOf(domain);
      if (usage === undefined) return [];
      return [{ domain, usage, cpuSeconds: cpuSeconds(domain.pid), atMs: performance.now() }];
    }),
  );
  return looks.flat();
}

const HEADER = [
  ...['NAME', 'STATE', 'CPU(sec)', 'CPU(%)', 'MEM(k)', 'MEM(%)', 'MAXMEM(k)', 'MAXMEM(%)', 'VCPUS', 'NETS'],
  ...['NETTX(k)', 'NETRX(k)', 'VBDS', 'VBD_OO', 'VBD_RD', 'VBD_WR', 'VBD_RSECT', 'VBD_WSECT', 'SSID'],
];
/** xentop's, of tools/xentop/xentop.c. */
const WIDTHS = [10, 6, 10, 6, 10, 6, 10, 9, 5, 4, 8, 8, 4, 8, 8, 8, 10, 10, 4];

function table(looks: readonly Look[], before: readonly Look[]): string {
  const rows = [HEADER, ...looks.map((look) => cells(look, before))];
  const lines = rows.map((row) => row.map((cell, i) => cell.padStart(WIDTHS[i]!)).join(' '));
  return `${lines.join('\n')}\n`;
}

function cells(look: Look, before: readonly Look[]): string[] {
  const { domain, usage, cpuSeconds, atMs } = look;
  const last = before.find((other) => other.domain.domid === domain.domid);
  const share = last === undefined ? 0 : (100_000 * (cpuSeconds - last.cpuSeconds)) / (atMs - last.atMs);
  const memoryKiB = Math.round(usage.currentMemoryMiB * 1024);
  const maxKiB = usage.maxMemoryMiB * 1024;
  const ofHost = (kib: number) => ((100 * kib) / hostMemoryKiB()).toFixed(1);
  const kib = (bytes: number) => String(Math.floor(bytes / 1024));
  const { nics, sentBytes, receivedBytes, disks } = usage;
  const sum = (of: 'reads' | 'writes' | 'readBytes' | 'writtenBytes') =>
    disks.reduce((all, each) => all + each[of], 0);
  const sectors = (bytes: number) => String(Math.floor(bytes / SECTOR_BYTES));
  return [
    ...[printableText(domain.name), letters(domain), String(Math.floor(cpuSeconds)), share.toFixed(1)],
    ...[String(memoryKiB), ofHost(memoryKiB), String(maxKiB), ofHost(maxKiB), String(domain.vcpus)],
    ...[String(nics), kib(sentBytes), kib(receivedBytes), String(disks.length), '0'],
    ...[String(sum('reads')), String(sum('writes')), sectors(sum('readBytes')), sectors(sum('writtenBytes'))],
    // Flask's label, which nothing here has.
    '0',
  ];
}
