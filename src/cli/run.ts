/** `xenner run`: boots a guest with its console on the terminal. */
import { constants } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { XennerError } from '../base/errors.js';
import { parseTopics, TOPICS, type Topic } from '../base/log.js';
import type { EngineWish } from '../kvm/index.js';
import { DEFAULT_MEMORY_MIB, type DomainConfig } from '../xenner/domain/config.js';
import { formatCrash } from '../xenner/domain/crash.js';
import { createDomain, type DomainEnd } from '../xenner/domain/domain.js';
import type { DomainStats } from '../xenner/domain/exit-counts.js';
import { LATEST } from '../xenner/profile/profiles.js';
import { EXIT, EXIT_OF_END } from './exit-codes.js';
import { openTerminal } from './terminal.js';

interface RunOptions {
  kernel: string;
  ramdisk?: string;
  cmdline: string;
  memory: number;
  hugepages?: '2M' | '1G' | 'thp';
  ksm?: true;
  numaNode?: number;
  vcpus: number;
  engine: EngineWish;
  profile: string;
  reboot: boolean;
  fastPaths: boolean;
  consoleLog?: string;
  gdb?: number;
  gdbWait?: boolean;
  trace?: readonly Topic[];
  stats?: true;
}

const LAST_LINES = 20;

export function runCommand(): Command {
  return new Command('run')
    .description('boot a PV kernel with its console on this terminal (Ctrl-] leaves and ends the guest)')
    .requiredOption('--kernel <file>', 'kernel: ELF or bzImage')
    .option('--ramdisk <file>', 'initial ramdisk')
    .option('--cmdline <text>', 'kernel command line', '')
    .option('--memory <MiB>', 'guest memory', wholeNumber, DEFAULT_MEMORY_MIB)
    .addOption(new Option('--hugepages <size>', 'huge pages for it').choices(['2M', '1G', 'thp']))
    .option('--ksm', 'let the host merge its pages with equal ones of other guests')
    .option('--numa-node <n>', 'take it from this NUMA node of the host', wholeNumber)
    .option('--vcpus <n>', 'virtual CPUs', wholeNumber, 1)
    .addOption(
      new Option('--engine <name>', 'what runs the guest').choices(['auto', 'soft', 'kvm']).default('auto'),
    )
    .option('--profile <name>', "what the guest sees of the machine; 'xenner host' lists them", LATEST)
    .option('--no-reboot', 'end when the guest reboots, instead of starting it anew')
    .option('--no-fast-paths', 'send every hypercall to TypeScript')
    .option('--console-log <file>', 'append console output to a file')
    .option('--gdb <port>', 'let gdb connect to this port of 127.0.0.1; 0: any that is free', wholeNumber)
    .option('--gdb-wait', 'with --gdb: begin when gdb says so')
    .option('--trace <topics>', `trace to standard error: ${TOPICS.join(',')} or all`, topics)
    .option('--stats', 'tell at the end what the guest needed the hypervisor for, on standard error')
    .action(async (options: RunOptions) => {
      process.exitCode = await run(options);
    });
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('not a whole number.');
  return Number(text);
}

function topics(text: string): readonly Topic[] {
  const parsed = parseTopics(text);
  if (parsed === undefined) throw new InvalidArgumentError(`topics are ${TOPICS.join(', ')}.`);
  return parsed;
}

function domainConfig(options: RunOptions): DomainConfig {
  return {
    kernel: options.kernel,
    cmdline: options.cmdline,
    memoryMiB: options.memory,
    vcpus: options.vcpus,
    engine: options.engine,
    profile: options.profile,
    fastPaths: options.fastPaths,
    onReboot: options.reboot ? 'restart' : 'end',
    ...(options.ramdisk !== undefined && { ramdisk: options.ramdisk }),
    ...(options.hugepages !== undefined && { hugepages: options.hugepages }),
    ...(options.ksm !== undefined && { mergeable: options.ksm }),
    ...(options.numaNode !== undefined && { numaNode: options.numaNode }),
    ...(options.gdb !== undefined && { gdb: { port: options.gdb, wait: options.gdbWait ?? false } }),
    ...(options.trace !== undefined && { trace: options.trace }),
  };
}

async function run(options: RunOptions): Promise<number> {
  // What ends the run from outside; the first one counts.
  let left: { status: number; error?: XennerError } | undefined;
  let stop = () => {};
  const leave = (status: number, error?: XennerError) => {
    left ??= error === undefined ? { status } : { status, error };
    stop();
  };
  const signals = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) => {
    const listener = () => leave(128 + constants.signals[signal]);
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  const terminal = openTerminal({
    ...(options.consoleLog !== undefined && { logFile: options.consoleLog }),
    leave: (error) => leave(error === undefined ? EXIT.ok : EXIT.failure, error),
  });
  try {
    const domain = await createDomain(domainConfig(options));
    if (domain.gdbPort !== undefined) {
      process.stderr.write(`xenner: gdb may connect: target remote 127.0.0.1:${domain.gdbPort}\n`);
    }
    stop = () => void domain.destroy();
    terminal.attach(domain);
    if (left !== undefined) stop();
    const end = await domain.wait();
    await terminal.close();
    if (options.stats) process.stderr.write(formatStats(domain.stats()));
    if (left?.error !== undefined) throw left.error;
    if (left !== undefined) return left.status;
    if (end.reason === 'crash') reportCrash(end, domain.consoleTail);
    return EXIT_OF_END[end.reason];
  } finally {
    await terminal.close();
    for (const off of signals) off();
  }
}

/** Most frequent first. */
function formatStats({ exits, kicks }: DomainStats): string {
  const rows = Object.entries(exits).sort(([, a], [, b]) => b - a);
  const total = rows.reduce((sum, [, count]) => sum + count, 0);
  return [['exits', total] as const, ...rows, ['kicks', kicks] as const]
    .map(([name, count]) => `${name.padEnd(28)}${String(count).padStart(12)}\n`)
    .join('');
}

/** Console lines are on standard output already: repeated here for whoever keeps only the errors. */
function reportCrash(end: DomainEnd, consoleTail: string): void {
  const lines = consoleTail.trimEnd().split(/\r?\n/).slice(-LAST_LINES);
  const report = end.crash === undefined ? '' : `${formatCrash(end.crash)}\n`;
  process.stderr.write(
    `xenner: the guest crashed: ${end.crash?.why ?? 'unknown'}\n${report}last console lines:\n${lines.map((line) => `  ${line}\n`).join('')}`,
  );
}
