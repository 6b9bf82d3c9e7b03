/** `xenner hostname`, `nodeinfo`, `nodecpumap`, `nodecpustats`, `capabilities`: text as virsh prints it (virsh-host.c). */
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { capabilitiesXml } from '../../mgmt/host/capabilities.js';
import { type CpuStats, cpuMap, cpuStats } from '../../mgmt/host/cpus.js';
import { formatList } from '../../mgmt/host/host-files.js';
import { nodeInfo } from '../../mgmt/host/node-info.js';
import { wholeNumber } from '../options.js';
import { json } from '../virsh-text.js';

export function hostnameCommand(): Command {
  return new Command('hostname').description("the host's name").action(() => {
    process.stdout.write(`${hostname()}\n\n`);
  });
}

export function nodeinfoCommand(): Command {
  return new Command('nodeinfo')
    .description('the host in a few figures')
    .option('--json', 'as JSON')
    .action((options: { json?: true }) => {
      const info = nodeInfo();
      const fields: [string, string | number][] = [
        ['CPU model', info.model],
        ['CPU(s)', info.cpus],
        ['CPU frequency', `${info.mhz} MHz`],
        ['CPU socket(s)', info.sockets],
        ['Core(s) per socket', info.cores],
        ['Thread(s) per core', info.threads],
        ['NUMA cell(s)', info.nodes],
        ['Memory size', `${info.memoryKiB} KiB`],
      ];
      const lines = fields.map(([name, value]) => `${`${name}:`.padEnd(20)} ${value}\n`);
      process.stdout.write(options.json ? json(info) : `${lines.join('')}\n`);
    });
}

export function nodecpumapCommand(): Command {
  return new Command('nodecpumap')
    .description('which CPUs the host has, and which of them are online')
    .option('--pretty', 'the online ones as ranges')
    .option('--json', 'as JSON')
    .action((options: { pretty?: true; json?: true }) => {
      const { present, online } = cpuMap();
      const map = Array.from({ length: present }, (_, cpu) => (online.includes(cpu) ? 'y' : '-')).join('');
      const fields: [string, string | number][] = [
        ['CPUs present', present],
        ['CPUs online', online.length],
        ['CPU map', options.pretty ? formatList(online) : map],
      ];
      const lines = fields.map(([name, value]) => `${`${name}:`.padEnd(15)} ${value}\n`);
      process.stdout.write(options.json ? json({ present, online }) : `${lines.join('')}\n`);
    });
}

interface StatsOptions {
  cpu?: number;
  percent?: true;
  json?: true;
}

const KINDS = ['user', 'system', 'idle', 'iowait'] as const;
/** What virsh waits for, too. */
const PERCENT_MS = 1000;

export function nodecpustatsCommand(): Command {
  return new Command('nodecpustats')
    .description("what the host's CPUs have done, in nanoseconds")
    .argument('[cpu]', 'its number; default: all together', wholeNumber)
    .option('--cpu <n>', 'the same', wholeNumber)
    .option('--percent', 'shares of the second that begins now')
    .option('--json', 'as JSON')
    .action(async (which: number | undefined, options: StatsOptions) => {
      const cpu = which ?? options.cpu;
      const stats = cpuStats(cpu);
      if (!options.percent) {
        const lines = KINDS.map((kind) => `${`${kind}:`.padEnd(15)} ${String(stats[kind]).padStart(20)}\n`);
        process.stdout.write(options.json ? json(stats) : `${lines.join('')}\n`);
        return;
      }
      await delay(PERCENT_MS);
      const shares = sharesOf(stats, cpuStats(cpu));
      const lines = Object.entries(shares).map(
        ([kind, share]) => `${`${kind}:`.padEnd(15)} ${share.toFixed(1).padStart(5)}%\n`,
      );
      process.stdout.write(options.json ? json(shares) : `${lines.join('')}\n`);
    });
}

/** In percent; of a CPU that did not even idle, 0. */
function sharesOf(before: CpuStats, after: CpuStats): Record<'usage' | (typeof KINDS)[number], number> {
  const passed = (kind: (typeof KINDS)[number]) => Math.max(0, after[kind] - before[kind]);
  const all = KINDS.reduce((sum, kind) => sum + passed(kind), 0) || 1;
  const share = (ns: number) => (100 * ns) / all;
  return {
    usage: share(passed('user') + passed('system')),
    user: share(passed('user')),
    system: share(passed('system')),
    idle: share(passed('idle')),
    iowait: share(passed('iowait')),
  };
}

export function capabilitiesCommand(): Command {
  return new Command('capabilities')
    .description("what the host is and which guests it runs, as libvirt's document")
    .action(() => {
      process.stdout.write(`${capabilitiesXml()}\n`);
    });
}
