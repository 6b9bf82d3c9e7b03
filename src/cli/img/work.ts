/** Long work of a command: how far it is, and an end by signals that leaves images in order. */
import { constants } from 'node:os';
import type { Command } from 'commander';
import type { WorkOptions } from '../../mgmt/storage/tools/work.js';

export interface WorkChoice {
  progress?: true;
  quiet?: true;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** qemu-img tells again after so many percent. */
const STEP_PERCENT = 1;

export function addWorkChoice(command: Command): Command {
  return command
    .option('-p, --progress', 'show how far it is')
    .option('-q, --quiet', 'print nothing but errors');
}

/** Runs `work`, which a signal ends: the process's exit status tells of it then, and nothing is answered. */
export async function runWork<T>(
  choice: WorkChoice,
  work: (options: WorkOptions) => Promise<T>,
): Promise<T | undefined> {
  const aborting = new AbortController();
  let ended: (typeof SIGNALS)[number] | undefined;
  const end = (signal: (typeof SIGNALS)[number]) => {
    ended ??= signal;
    aborting.abort();
  };
  for (const signal of SIGNALS) process.on(signal, end);
  const shows = choice.progress === true && choice.quiet !== true;
  try {
    return await work({ signal: aborting.signal, ...(shows && { progress: progressPrinter() }) });
  } catch (error) {
    if (ended === undefined || error !== aborting.signal.reason) throw error;
    process.exitCode = 128 + constants.signals[ended];
    return undefined;
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
    if (shows) process.stdout.write('\n');
  }
}

/** As qemu-img's (util/qemu-progress.c), on a line that is written over and over. */
function progressPrinter(): (done: number, total: number) => void {
  let shown = Number.NEGATIVE_INFINITY;
  return (done, total) => {
    const percent = total === 0 ? 100 : (100 * done) / total;
    if (percent < shown + STEP_PERCENT && (percent < 100 || shown >= 100)) return;
    shown = percent;
    process.stdout.write(`    (${percent.toFixed(2)}/100%)\r`);
  };
}
