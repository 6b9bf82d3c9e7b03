/** A guest on the terminal, from its start to its end: what `run` and `restore` share. */
import { constants } from 'node:os';
import type { Command } from 'commander';
import type { XennerError } from '../base/errors.js';
import { formatCrash } from '../xenner/domain/crash.js';
import type { Domain, DomainEnd } from '../xenner/domain/domain.js';
import type { DomainStats } from '../xenner/domain/exit-counts.js';
import { EXIT, EXIT_OF_END } from './exit-codes.js';
import { openTerminal } from './terminal.js';

export interface SessionOptions {
  readonly consoleLog?: string;
  /** Where the guest goes when it is left: by a signal, by Ctrl-], or because the terminal is gone. */
  readonly saveOnExit?: string;
  readonly stats?: true;
}

export function addSessionOptions(command: Command): Command {
  return command
    .option('--save-on-exit <file>', 'save the guest when you leave it, instead of ending it')
    .option('--console-log <file>', 'append console output to a file')
    .option('--stats', 'tell at the end what the guest needed the hypervisor for, on standard error');
}

/** What ends the session from outside. */
interface Leaving {
  readonly status: number;
  readonly error?: XennerError;
}

const LAST_LINES = 20;

/** @returns the exit status */
export async function runSession(start: () => Promise<Domain>, options: SessionOptions): Promise<number> {
  // The first one counts.
  let left: Leaving | undefined;
  let stop = (_: Leaving) => {};
  const leave = (leaving: Leaving) => {
    if (left !== undefined) return;
    left = leaving;
    stop(left);
  };
  const signals = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) => {
    const listener = () => leave({ status: 128 + constants.signals[signal] });
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  const terminal = openTerminal({
    ...(options.consoleLog !== undefined && { logFile: options.consoleLog }),
    leave: (error) => leave(error === undefined ? { status: EXIT.ok } : { status: EXIT.failure, error }),
  });
  try {
    const domain = await start();
    if (domain.gdbPort !== undefined) {
      process.stderr.write(`xenner: gdb may connect: target remote 127.0.0.1:${domain.gdbPort}\n`);
    }
    stop = async (leaving) => {
      if (options.saveOnExit === undefined || (await saved(domain, options.saveOnExit, leaving))) {
        await domain.destroy();
      } else {
        left = undefined;
      }
    };
    terminal.attach(domain);
    if (left !== undefined) stop(left);
    const end = await domain.wait();
    await terminal.close();
    if (options.stats) process.stderr.write(formatStats(domain.stats()));
    return exitStatus(left, end, domain);
  } finally {
    await terminal.close();
    for (const off of signals) off();
  }
}

/** False: the guest goes on, since it could not be saved and there is somebody to try again. */
async function saved(domain: Domain, file: string, { error }: Leaving): Promise<boolean> {
  try {
    await domain.save(file);
    return true;
  } catch (failure) {
    const { code, message } = failure as XennerError;
    if (code === 'EENDED' || code === 'ENOTRUNNING') return true;
    process.stderr.write(`xenner: ${message}${error === undefined ? '; the guest goes on' : ''}\n`);
    return error !== undefined;
  }
}

function exitStatus(left: Leaving | undefined, end: DomainEnd, domain: Domain): number {
  if (left?.error !== undefined) throw left.error;
  if (end.reason === 'saved') return EXIT.ok;
  if (left !== undefined) return left.status;
  if (end.reason === 'crash') reportCrash(end, domain.consoleTail);
  return EXIT_OF_END[end.reason];
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
