/** Options of every command that runs a guest: how this host does it. The guest itself is the command's affair. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseTopics, TOPICS, type Topic } from '../base/log.js';
import { type EngineWish, type GuestMemoryOptions, HUGEPAGES } from '../kvm/index.js';

export interface HostChoice {
  engine: EngineWish;
  hugepages?: (typeof HUGEPAGES)[number];
  ksm?: true;
  numaNode?: number;
  gdb?: number;
  gdbWait?: boolean;
  trace?: readonly Topic[];
}

/** What the library takes. */
interface HostOptions extends GuestMemoryOptions {
  engine: EngineWish;
  gdb?: { port: number; wait: boolean };
  trace?: readonly Topic[];
}

/** An option of xl's that asks for what is so anyway, or cannot be for a PV guest here: scripts may say it. */
export function unused(flags: string): Option {
  return new Option(flags, 'for scripts of xl; it has no effect').hideHelp();
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('not a whole number.');
  return Number(text);
}

function topics(text: string): readonly Topic[] {
  const parsed = parseTopics(text);
  if (parsed === undefined) throw new InvalidArgumentError(`topics are ${TOPICS.join(', ')}.`);
  return parsed;
}

export function addHostOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--engine <name>', 'what runs the guest').choices(['auto', 'soft', 'kvm']).default('auto'),
    )
    .addOption(new Option('--hugepages <size>', 'huge pages for its memory').choices(HUGEPAGES))
    .option('--ksm', 'let the host merge its pages with equal ones of other guests')
    .option('--numa-node <n>', 'take its memory from this NUMA node of the host', wholeNumber)
    .option('--gdb <port>', 'let gdb connect to this port of 127.0.0.1; 0: any that is free', wholeNumber)
    .addOption(
      new Option('--gdb-wait', 'begin when gdb says so; without --gdb at port 1234').implies({ gdb: 1234 }),
    )
    .option('--trace <topics>', `trace to standard error: ${TOPICS.join(',')} or all`, topics);
}

export function hostOptions(choice: HostChoice): HostOptions {
  const { engine, hugepages, ksm, numaNode, gdb, gdbWait, trace } = choice;
  return {
    engine,
    ...(hugepages !== undefined && { hugepages }),
    ...(ksm !== undefined && { mergeable: ksm }),
    ...(numaNode !== undefined && { numaNode }),
    ...(gdb !== undefined && { gdb: { port: gdb, wait: gdbWait ?? false } }),
    ...(trace !== undefined && { trace }),
  };
}
