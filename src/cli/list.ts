/** `xenner list`: the live domains, in xl's columns. */
import { Command } from 'commander';
import { hostMemory } from '../kvm/index.js';
import { ask, usageOf } from '../mgmt/domain/client.js';
import { type FoundDomain, findDomains } from '../mgmt/domain/live/runtime-directory.js';
import { cpuSeconds, isBusy } from '../mgmt/domain/live/usage.js';
import { SHUTDOWN_NAMES } from '../xenner/domain/messages.js';

interface ListOptions {
  long?: true;
  verbose?: true;
  context?: true;
  cpupool?: true;
  numa?: true;
  json?: true;
}

export function listCommand(): Command {
  return new Command('list')
    .description('list live domains: r running, b blocked, p paused, s shut down')
    .argument('[domains...]', 'names or IDs; default: all')
    .option('-l, --long', 'all that is known of them, as JSON')
    .option('-v, --verbose', 'UUIDs too, and why they were shut down')
    .option('-Z, --context', 'security labels too, which no domain has here')
    .option('-c, --cpupool', 'CPU pools too: there is one')
    .option('-n, --numa', 'NUMA nodes too')
    .option('--json', 'the columns as JSON')
    .action(async (which: string[], options: ListOptions) => {
      const domains = await findDomains(which);
      process.stdout.write(await listing(domains, options));
    });
}

async function listing(domains: readonly FoundDomain[], options: ListOptions): Promise<string> {
  if (options.long) {
    const { toLibxl } = await import('../mgmt/domain/config/json.js');
    const all = domains.map(async (domain) => {
      const { definition, ...info } = await ask(domain, 'info', {});
      return { ...info, config: toLibxl(definition) };
    });
    return `${JSON.stringify(await Promise.all(all), null, 2)}\n`;
  }
  const all = await Promise.all(domains.map(columns));
  if (options.json) return `${JSON.stringify(all, null, 2)}\n`;
  return [HEADER + moreTitles(options), ...all.map((each) => row(each) + moreCells(each, options))]
    .map((line) => `${line}\n`)
    .join('');
}

/** Memory and vCPUs are what the guest has in use now, as with xl. */
async function columns(domain: FoundDomain) {
  const { name, domid, uuid, pid, shutdownReason, numaNode } = domain;
  const now = { state: letters(domain), cpuSeconds: cpuSeconds(pid) };
  const usage = await usageOf(domain);
  const memoryMiB = Math.round(usage?.currentMemoryMiB ?? domain.memoryMiB);
  // Of a guest that has ended, all that it had.
  const vcpus = usage?.vcpus.filter(({ state }) => state !== 'offline').length || domain.vcpus;
  return { name, domid, memoryMiB, vcpus, ...now, uuid, shutdownReason, numaNode };
}

type Columns = Awaited<ReturnType<typeof columns>>;

// Names, blanks and tabs are xl's (list_domains() of tools/xl/xl_info.c): scripts read them.
const HEADER = 'Name                                        ID   Mem VCPUs\tState\tTime(s)';

function row({ name, domid, memoryMiB, vcpus, state, cpuSeconds: time }: Columns): string {
  const numbers = [domid, memoryMiB, vcpus].map((number) => String(number).padStart(5));
  return `${name.padEnd(40)} ${numbers.join(' ')}     ${state}  ${time.toFixed(1).padStart(8)}`;
}

function moreTitles({ verbose, context, cpupool, numa }: ListOptions): string {
  const verbosely = '   UUID                            Reason-Code\tSecurity Label';
  const label = verbose ? verbosely : context ? '   Security Label' : '';
  return `${label}${cpupool ? '         Cpupool' : ''}${numa ? ' NODE Affinity' : ''}`;
}

function moreCells(domain: Columns, { verbose, context, cpupool, numa }: ListOptions): string {
  const { uuid, shutdownReason } = domain;
  const code = shutdownReason === undefined ? '-' : SHUTDOWN_NAMES.indexOf(shutdownReason).toString(16);
  return [
    verbose ? ` ${uuid} ${code.padStart(8)}` : '',
    // Flask's, which nothing here has.
    verbose || context ? ` ${'-'.padStart(16)}` : '',
    cpupool ? 'Pool-0'.padStart(16) : '',
    numa ? ` ${affinity(domain)}` : '',
  ].join('');
}

/** As print_bitmap() of tools/xl/xl_utils.c has the nodes that its memory may be of. */
function affinity({ numaNode }: Columns): string {
  return numaNode === undefined || hostMemory().nodes.length === 1 ? 'all' : String(numaNode);
}

/** xl's six places: running, blocked, paused, shut down, for which reason, dying. */
function letters({ state, pid, shutdownReason }: FoundDomain): string {
  if (state === 'paused') return '--p---';
  if (state === 'shutdown') return `---s${'-rscwS'[SHUTDOWN_NAMES.indexOf(shutdownReason!)]}-`;
  return isBusy(pid) ? 'r-----' : '-b----';
}
