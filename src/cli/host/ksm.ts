/** `xenner ksm`: what KSM saves, of whom; on, off, its knobs, its governor. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { liveDomains } from '../../mgmt/domain/live/runtime-directory.js';
import { SMALL_PAGE_KIB } from '../../mgmt/host/cells.js';
import { type KsmFacts, type KsmTuning, ksmFacts, startKsm, stopKsm, tuneKsm } from '../../mgmt/host/ksm.js';
import {
  DEFAULT_LIMITS,
  type GovernorLimits,
  governKsm,
  type KsmDecision,
  type MemoryPressure,
  restoreKsm,
} from '../../mgmt/host/ksm-governor.js';
import { processMemory } from '../../mgmt/host/process-memory.js';
import { wholeNumber } from '../options.js';
import { json, virshFields, virshTable } from '../virsh-text.js';

export function ksmCommand(): Command {
  return new Command('ksm')
    .description('what KSM merges of guests started with --ksm, and having it do so')
    .addCommand(statusCommand(), { isDefault: true })
    .addCommand(new Command('on').description('merge equal pages').action(() => startKsm()))
    .addCommand(offCommand())
    .addCommand(tuneCommand())
    .addCommand(governorCommand());
}

function statusCommand(): Command {
  return new Command('status')
    .description('what is merged, on the host and of each domain')
    .option('--json', 'as JSON')
    .action(async (options: { json?: true }) => {
      const facts = ksmFacts();
      const domains = (await liveDomains()).flatMap(({ name, domid, pid }) => {
        const ksm = processMemory(pid)?.ksm;
        return ksm === undefined ? [] : [{ name, domid, ...ksm }];
      });
      process.stdout.write(options.json ? json({ ...facts, domains }) : statusText(facts, domains));
    });
}

function statusText(
  facts: KsmFacts,
  domains: readonly { name: string; domid: number; mergingPages: number; profitBytes?: number }[],
): string {
  const { state, pagesToScan, sleepMs, mergeAcrossNodes, pagesShared, pagesSharing } = facts;
  const fields: [string, string][] = [
    ['State', state],
    ['Saved', `${(pagesSharing + facts.zeroPages) * SMALL_PAGE_KIB} KiB`],
    [
      'Merged',
      `${pagesShared} pages stand for ${pagesSharing} more, and the empty one for ${facts.zeroPages}`,
    ],
    ['Not merged', `${facts.pagesUnshared} pages are like no other, ${facts.pagesVolatile} change too fast`],
    ['Scans', `${facts.fullScans} of everything; ${pagesToScan} pages, then ${sleepMs} ms of sleep`],
    ['Across nodes', mergeAcrossNodes === undefined ? '-' : mergeAcrossNodes ? 'yes' : 'no'],
  ];
  const rows = domains.map(({ name, domid, mergingPages, profitBytes }) => [
    name,
    String(domid),
    String(mergingPages),
    profitBytes === undefined ? '-' : String(Math.round(profitBytes / 1024)),
  ]);
  const table = rows.length === 0 ? '' : virshTable(['Domain', 'Id', 'Merged pages', 'Saved KiB'], rows);
  return `${virshFields(fields)}${table}`;
}

function offCommand(): Command {
  return new Command('off')
    .description('merge no more; what is merged stays so')
    .option('--unmerge', 'take apart what is merged, if the host has the memory')
    .option('--force', 'even if it has less')
    .action(({ unmerge, force }: { unmerge?: true; force?: true }) =>
      stopKsm({ unmerge: unmerge === true, force: force === true }),
    );
}

const KNOBS = ['pages-to-scan', 'sleep', 'merge-across-nodes'] as const;

function tuneCommand(): Command {
  return new Command('tune')
    .description('set knobs: pages-to-scan=N, sleep=MS, merge-across-nodes=0 or 1 (while nothing is merged)')
    .argument('<knob=value...>')
    .action((words: string[]) => tuneKsm(tuningOf(words)));
}

function tuningOf(words: readonly string[]): KsmTuning {
  const tuning: { -readonly [K in keyof KsmTuning]: KsmTuning[K] } = {};
  for (const word of words) {
    const [, knob = '', digits = ''] = /^([a-z-]+)=(\d{1,10})$/.exec(word) ?? [];
    const value = Number(digits);
    if (digits === '' || value >= 2 ** 32)
      throw new InvalidArgumentError(
        `${JSON.stringify(word)}: a knob is ${KNOBS.join(', ')}, with a number.`,
      );
    if (knob === 'pages-to-scan') tuning.pagesToScan = value;
    else if (knob === 'sleep') tuning.sleepMs = value;
    else if (knob === 'merge-across-nodes' && value <= 1) tuning.mergeAcrossNodes = value === 1;
    else throw new InvalidArgumentError(`${JSON.stringify(word)}: knobs are ${KNOBS.join(', ')} (0 or 1).`);
  }
  return tuning;
}

interface GovernorChoice extends Omit<GovernorLimits, 'thresholdKiB' | 'sleepMs'> {
  interval: number;
  once?: true;
  leave: 'found' | 'off' | 'as-is';
}

function governorCommand(): Command {
  const { boostPages, decayPages, minPages, maxPages, thresholdPercent } = DEFAULT_LIMITS;
  return new Command('governor')
    .description('have KSM work while memory is short, as ksmtuned does, until a signal comes')
    .option('--interval <s>', 'between two decisions', wholeNumber, 60)
    .option('--once', 'decide once, and leave it so')
    .option(
      '--threshold-percent <n>',
      "of the host's memory: less than that free is short",
      wholeNumber,
      thresholdPercent,
    )
    .option('--boost-pages <n>', 'so many more to scan when it is', wholeNumber, boostPages)
    .option('--decay-pages <n>', 'so many fewer when it is not', wholeNumber, decayPages)
    .option('--min-pages <n>', 'to scan at least', wholeNumber, minPages)
    .option('--max-pages <n>', 'to scan at most', wholeNumber, maxPages)
    .addOption(
      new Option('--leave <how>', 'what KSM does afterwards')
        .choices(['found', 'off', 'as-is'])
        .default('found'),
    )
    .action(govern);
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

async function govern({ interval, once, leave, ...chosen }: GovernorChoice): Promise<void> {
  const options = {
    limits: { ...DEFAULT_LIMITS, ...chosen },
    intervalMs: Math.max(1, interval) * 1000,
    report: (pressure: MemoryPressure, decision: KsmDecision) =>
      process.stdout.write(`${decisionText(pressure, decision)}\n`),
  };
  if (once) return governKsm(options);
  const restore = restoreKsm();
  const ending = new AbortController();
  const end = () => ending.abort();
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    await governKsm({ ...options, signal: ending.signal });
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
    if (leave === 'found') restore();
    else if (leave === 'off') stopKsm();
  }
}

function decisionText({ total, available, committed }: MemoryPressure, decision: KsmDecision): string {
  const memory = `${available} of ${total} KiB available, ${committed} KiB committed`;
  if (!decision.run) return `${memory}: off`;
  return `${memory}: on, ${decision.pagesToScan} pages, then ${decision.sleepMs} ms of sleep`;
}
