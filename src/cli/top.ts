/** `xenner top`: what live domains use, in xentop's columns, again and again. */
import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { usageOf } from '../mgmt/domain/client.js';
import type { UsageInfo } from '../mgmt/domain/live/control.js';
import { type FoundDomain, liveDomains } from '../mgmt/domain/live/runtime-directory.js';
import { cpuSeconds, hostMemoryKiB, isBusy } from '../mgmt/domain/live/usage.js';
import { wholeNumber } from './options.js';
import { printableText } from './printable.js';

interface TopOptions {
  readonly delay: number;
  readonly iterations?: number;
  readonly batch?: true;
  readonly json?: true;
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
    .option('--json', 'the same as JSON, one line for each look')
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
  const isScreen = !options.batch && !options.json && stdout.isTTY === true;
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
      const domains = looks.map((look) => figures(look, before));
      if (options.json) stdout.write(`${JSON.stringify({ atMs: Date.now(), domains })}\n`);
      else stdout.write(`${isScreen ? CLEAR : ''}${table(domains)}`);
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

/** What one domain has used since its guest began. */
function figures({ domain, usage, cpuSeconds, atMs }: Look, before: readonly Look[]) {
  const { name, domid, vcpus } = domain;
  const { nics, sentBytes, receivedBytes, disks, maxMemoryMiB, currentMemoryMiB } = usage;
  const last = before.find((other) => other.domain.domid === domid);
  // Since the look before: with the first there is none.
  const cpuPercent = last && (100_000 * (cpuSeconds - last.cpuSeconds)) / (atMs - last.atMs);
  const memoryKiB = Math.round(currentMemoryMiB * 1024);
  const maxMemoryKiB = maxMemoryMiB * 1024;
  const sum = (of: 'reads' | 'writes' | 'readBytes' | 'writtenBytes') =>
    disks.reduce((all, each) => all + each[of], 0);
  return {
    ...{ name, domid, state: letters(domain), cpuSeconds, cpuPercent, memoryKiB, maxMemoryKiB, vcpus },
    ...{ nics, sentBytes, receivedBytes, disks: disks.length, reads: sum('reads'), writes: sum('writes') },
    ...{ readBytes: sum('readBytes'), writtenBytes: sum('writtenBytes') },
  };
}

type Figures = ReturnType<typeof figures>;

/** xentop's six places: dying, shut down, blocked, crashed, paused, running. */
function letters({ state, pid, shutdownReason }: FoundDomain): string {
  if (state === 'paused') return '----p-';
  if (state === 'shutdown') return shutdownReason === 'crash' ? '---c--' : '-s----';
  return isBusy(pid) ? '-----r' : '--b---';
}

const HEADER = [
  ...['NAME', 'STATE', 'CPU(sec)', 'CPU(%)', 'MEM(k)', 'MEM(%)', 'MAXMEM(k)', 'MAXMEM(%)', 'VCPUS', 'NETS'],
  ...['NETTX(k)', 'NETRX(k)', 'VBDS', 'VBD_OO', 'VBD_RD', 'VBD_WR', 'VBD_RSECT', 'VBD_WSECT', 'SSID'],
];
/** xentop's, of tools/xentop/xentop.c. */
const WIDTHS = [10, 6, 10, 6, 10, 6, 10, 9, 5, 4, 8, 8, 4, 8, 8, 8, 10, 10, 4];

function table(domains: readonly Figures[]): string {
  const rows = [HEADER, ...domains.map(cells)];
  const lines = rows.map((row) => row.map((cell, i) => cell.padStart(WIDTHS[i]!)).join(' '));
  return `${lines.join('\n')}\n`;
}

function cells(domain: Figures): string[] {
  const { cpuSeconds, cpuPercent = 0, memoryKiB, maxMemoryKiB, sentBytes, receivedBytes } = domain;
  const ofHost = (kib: number) => ((100 * kib) / hostMemoryKiB()).toFixed(1);
  const kib = (bytes: number) => String(Math.floor(bytes / 1024));
  const sectors = (bytes: number) => String(Math.floor(bytes / SECTOR_BYTES));
  return [
    ...[printableText(domain.name), domain.state, String(Math.floor(cpuSeconds)), cpuPercent.toFixed(1)],
    ...[
      String(memoryKiB),
      ofHost(memoryKiB),
      String(maxMemoryKiB),
      ofHost(maxMemoryKiB),
      String(domain.vcpus),
    ],
    ...[String(domain.nics), kib(sentBytes), kib(receivedBytes), String(domain.disks), '0'],
    ...[String(domain.reads), String(domain.writes), sectors(domain.readBytes), sectors(domain.writtenBytes)],
    // Flask's label, which nothing here has.
    '0',
  ];
}
