/** `xenner list`: the live domains, in xl's columns. */
import { Command } from 'commander';
import { ask, usageOf } from '../mgmt/domain/client.js';
import { type FoundDomain, findDomains } from '../mgmt/domain/live/runtime-directory.js';
import { cpuSeconds, isBusy } from '../mgmt/domain/live/usage.js';

interface ListOptions {
  long?: true;
  json?: true;
}

export function listCommand(): Command {
  return new Command('list')
    .description('list live domains: r running, b blocked, p paused, s shut down, c crashed')
    .argument('[domains...]', 'names or IDs; default: all')
    .option('-l, --long', 'all that is known of them, as JSON')
    .option('--json', 'the columns as JSON')
    .action(async (which: string[], options: ListOptions) => {
      const domains = await findDomains(which);
      process.stdout.write(await listing(domains, options));
    });
}

async function listing(domains: readonly FoundDomain[], { long, json }: ListOptions): Promise<string> {
  if (long) {
    const { toLibxl } = await import('../mgmt/domain/config/json.js');
    const all = domains.map(async (domain) => {
      const { definition, ...info } = await ask(domain, 'info', {});
      return { ...info, config: toLibxl(definition) };
    });
    return `${JSON.stringify(await Promise.all(all), null, 2)}\n`;
  }
  const all = await Promise.all(domains.map(columns));
  if (json) return `${JSON.stringify(all, null, 2)}\n`;
  const rows = all.map(({ name, domid, memoryMiB, vcpus, state, cpuSeconds: time }) => {
    const numbers = [String(domid).padStart(5), String(memoryMiB).padStart(5), String(vcpus).padStart(5)];
    return `${name.padEnd(40)} ${numbers.join(' ')}     ${state}  ${time.toFixed(1).padStart(8)}\n`;
  });
  // Names, blanks and tabs are xl's: scripts read them.
  return `Name                                        ID   Mem VCPUs\tState\tTime(s)\n${rows.join('')}`;
}

/** Memory is what the guest has now, as with xl. */
async function columns(domain: FoundDomain) {
  const { name, domid, vcpus, pid } = domain;
  const now = { state: letters(domain), cpuSeconds: cpuSeconds(pid) };
  const currentMemoryMiB = (await usageOf(domain))?.currentMemoryMiB ?? domain.memoryMiB;
  return { name, domid, memoryMiB: Math.round(currentMemoryMiB), vcpus, ...now };
}

/** xl's six places: running, blocked, paused, shut down, crashed, dying. */
export function letters({ state, pid }: FoundDomain): string {
  if (state === 'paused') return '--p---';
  if (state === 'shutdown') return '---s--';
  if (state === 'crashed') return '----c-';
  return isBusy(pid) ? 'r-----' : '-b----';
}
