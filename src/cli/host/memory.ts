/** `xenner nodememstats`, `freecell`, `freepages`, `allocpages`, `node-memory-tune`: text as virsh prints it (virsh-host.c). */
import { Command, InvalidArgumentError } from 'commander';
import { cell, cells, memoryStats, pagesOfSize } from '../../mgmt/host/cells.js';
import { HostError } from '../../mgmt/host/errors.js';
import { allocatePages, cellNumbers } from '../../mgmt/host/huge-pages.js';
import { sharedMemoryParameters, tuneKsm } from '../../mgmt/host/ksm.js';
import { wholeNumber } from '../options.js';
import { json } from '../virsh-text.js';
import { pageKiB } from './page-size.js';

/** Names in virsh's order; each may come with its name or at its place. */
interface CellChoice {
  cellno?: number;
  all?: true;
  json?: true;
}

export function nodememstatsCommand(): Command {
  return new Command('nodememstats')
    .description("the host's memory, in KiB")
    .argument('[cell]', 'of this NUMA cell', wholeNumber)
    .option('--cell <n>', 'the same', wholeNumber)
    .option('--json', 'as JSON')
    .action((which: number | undefined, options: { cell?: number; json?: true }) => {
      const stats = memoryStats(which ?? options.cell);
      const lines = Object.entries(stats).map(
        ([name, kib]) => `${name.padEnd(7)}: ${String(kib).padStart(20)} KiB\n`,
      );
      process.stdout.write(options.json ? json(stats) : `${lines.join('')}\n`);
    });
}

export function freecellCommand(): Command {
  return new Command('freecell')
    .description('free memory of the host or of a NUMA cell, in KiB')
    .argument('[cellno]', 'of this cell', wholeNumber)
    .option('--cellno <n>', 'the same', wholeNumber)
    .option('--all', 'of each cell')
    .option('--json', 'as JSON')
    .action((which: number | undefined, options: CellChoice) => {
      const only = oneCell(which, options);
      const chosen = only === undefined ? cells() : [cell(only)];
      process.stdout.write(options.json ? json(chosen.map(freeOf)) : freecellText(only, options.all));
    });
}

const freeOf = ({ id, freeKiB }: { id: number; freeKiB: number }) => ({ cell: id, freeKiB });

function freecellText(only?: number, all?: true): string {
  if (only !== undefined) return `${only}: ${cell(only).freeKiB} KiB\n\n`;
  const each = cells();
  const total = each.reduce((sum, { freeKiB }) => sum + freeKiB, 0);
  if (!all) return `Total: ${total} KiB\n\n`;
  const line = (name: string | number, kib: number) =>
    `${String(name).padStart(5)}: ${String(kib).padStart(10)} KiB\n`;
  const lines = each.map(({ id, freeKiB }) => line(id, freeKiB));
  return `${lines.join('')}--------------------\n${line('Total', total)}\n`;
}

/** @throws HostError VIR_ERR_INVALID_ARG */
function oneCell(which: number | undefined, { cellno, all }: CellChoice): number | undefined {
  const only = which ?? cellno;
  if (only !== undefined && all)
    throw new HostError('VIR_ERR_INVALID_ARG', 'Options --all and --cellno are mutually exclusive');
  return only;
}

interface FreepagesOptions extends CellChoice {
  pagesize?: number;
}

export function freepagesCommand(): Command {
  return new Command('freepages')
    .description('free pages of a NUMA cell')
    .argument('[cellno]', 'its number', wholeNumber)
    .argument('[pagesize]', 'of this size; KiB, or with a unit: 2M', pageKiB)
    .option('--cellno <n>', 'the same', wholeNumber)
    .option('--pagesize <size>', 'the same', pageKiB)
    .option('--all', 'of each cell, and of each size unless one is told')
    .option('--json', 'as JSON')
    .action((which: number | undefined, size: number | undefined, options: FreepagesOptions) => {
      const only = oneCell(which, options);
      const sizeKiB = size ?? options.pagesize;
      if (!options.all && only === undefined)
        throw new HostError('VIR_ERR_INVALID_ARG', 'missing cellno argument');
      if (!options.all && sizeKiB === undefined)
        throw new HostError('VIR_ERR_INVALID_ARG', 'missing pagesize argument');
      const chosen = (only === undefined ? cells() : [cell(only)]).map((each) => ({
        cell: each.id,
        pages: sizeKiB === undefined ? each.pages : [pagesOfSize(each, sizeKiB)],
      }));
      const rows = chosen.map(({ cell: id, pages }) => {
        const lines = pages.map(({ sizeKiB: kib, free }) => `${kib}KiB: ${free}\n`).join('');
        return options.all ? `Node ${id}:\n${lines}\n` : lines;
      });
      process.stdout.write(options.json ? json(chosen) : `${rows.join('')}\n`);
    });
}

export function allocpagesCommand(): Command {
  return new Command('allocpages')
    .description('set how many huge pages there are')
    .argument('<pagesize>', 'KiB, or with a unit: 2M', pageKiB)
    .argument('<pagecount>', 'how many', wholeNumber)
    .option('--cellno <n>', 'on this NUMA cell', wholeNumber)
    .option('--add', 'so many more than there are')
    .option('--all', 'on each cell')
    .action((sizeKiB: number, count: number, options: CellChoice & { add?: true }) => {
      const only = oneCell(undefined, options);
      const add = options.add === true;
      if (options.all) for (const node of cellNumbers()) allocatePages(sizeKiB, count, { add, node });
      else allocatePages(sizeKiB, count, { add, ...(only !== undefined && { node: only }) });
      process.stdout.write('\n');
    });
}

interface TuneOptions {
  shmPagesToScan?: number;
  shmSleepMillisecs?: number;
  shmMergeAcrossNodes?: number;
}

/** The kernel's unsigned int. */
function uint(text: string): number {
  const value = Number(/^\d{1,10}$/.exec(text)?.[0]);
  if (!(value < 2 ** 32)) throw new InvalidArgumentError('malformed or out of range.');
  return value;
}

export function nodeMemoryTuneCommand(): Command {
  return new Command('node-memory-tune')
    .description("show KSM's parameters, or set some")
    .argument('[shm-pages-to-scan]', 'pages to look at before it sleeps', uint)
    .argument('[shm-sleep-millisecs]', 'how long it sleeps, in ms', uint)
    .argument('[shm-merge-across-nodes]', 'whether pages of different NUMA nodes become one: 0, 1', uint)
    .option('--shm-pages-to-scan <n>', 'the same', uint)
    .option('--shm-sleep-millisecs <ms>', 'the same', uint)
    .option('--shm-merge-across-nodes <n>', 'the same', uint)
    .action((pages?: number, sleep?: number, across?: number, options: TuneOptions = {}) => {
      const pagesToScan = pages ?? options.shmPagesToScan;
      const sleepMs = sleep ?? options.shmSleepMillisecs;
      const merge = across ?? options.shmMergeAcrossNodes;
      if (pagesToScan === undefined && sleepMs === undefined && merge === undefined) {
        const lines = sharedMemoryParameters().map(
          ([name, value]) => `\t${`shm_${name}`.padEnd(15)} ${value}\n`,
        );
        process.stdout.write(`Shared memory:\n${lines.join('')}\n`);
        return;
      }
      if (merge !== undefined && merge > 1)
        throw new HostError('VIR_ERR_INVALID_ARG', 'shm_merge_across_nodes is 0 or 1');
      tuneKsm({
        ...(pagesToScan !== undefined && { pagesToScan }),
        ...(sleepMs !== undefined && { sleepMs }),
        ...(merge !== undefined && { mergeAcrossNodes: merge === 1 }),
      });
      process.stdout.write('\n');
    });
}
