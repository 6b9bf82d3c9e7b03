/** `xenner domid`, `domname`, `dominfo` and `uptime`. */
import { Command } from 'commander';
import { ask } from '../mgmt/domain/client.js';
import { findDomain, findDomains } from '../mgmt/domain/live/runtime-directory.js';
import { cpuSeconds, residentMiB } from '../mgmt/domain/live/usage.js';

export function domidCommand(): Command {
  return new Command('domid')
    .description("print a domain's ID")
    .argument('<domain>', 'its name')
    .action(async (which: string) => void process.stdout.write(`${(await findDomain(which)).domid}\n`));
}

export function domnameCommand(): Command {
  return new Command('domname')
    .description("print a domain's name")
    .argument('<domain>', 'its ID')
    .action(async (which: string) => void process.stdout.write(`${(await findDomain(which)).name}\n`));
}

export function dominfoCommand(): Command {
  return new Command('dominfo')
    .description('tell what is known of a domain')
    .argument('<domain>', 'name or ID')
    .option('--json', 'print JSON')
    .action(async (which: string, { json }: { json?: true }) => {
      const domain = await findDomain(which);
      const { path: xenstore, ...record } = { ...domain, path: `${domain.path}/xenstored` };
      const used = cpuSeconds(domain.pid);
      const { definition: _, ...info } = await ask(domain, 'info', {});
      const all = { ...record, ...info, cpuSeconds: used, hostMemoryMiB: residentMiB(domain.pid), xenstore };
      const started = new Date(domain.startedAt).toISOString();
      const lines = Object.entries({ ...all, startedAt: started }).map(
        ([label, value]) => `${label.padEnd(17)}${value}\n`,
      );
      process.stdout.write(json ? `${JSON.stringify(all, null, 2)}\n` : lines.join(''));
    });
}

export function uptimeCommand(): Command {
  return new Command('uptime')
    .description('tell how long domains have been there')
    .argument('[domains...]', 'names or IDs; default: all')
    .option('-s, --short', 'no seconds')
    .option('--json', 'print JSON')
    .action(async (which: string[], { short, json }: { short?: true; json?: true }) => {
      const domains = await findDomains(which);
      const ages = domains.map(({ name, domid, startedAt }) => ({
        name,
        domid,
        seconds: secondsSince(startedAt),
      }));
      if (json) return void process.stdout.write(`${JSON.stringify(ages, null, 2)}\n`);
      // print_uptime() of tools/xl/xl_info.c
      const now = new Date().toTimeString().slice(0, 'HH:MM:SS'.length);
      const rows = ages.map(({ name, domid, seconds }) => {
        const uptime = uptimeOf(seconds, short === true);
        return short
          ? ` ${now} up ${uptime}, ${name} (${domid})\n`
          : `${name.padEnd(33)} ${String(domid).padStart(4)} ${uptime}\n`;
      });
      const header = short ? '' : `${'Name'.padEnd(33)} ${'ID'.padStart(4)} Uptime\n`;
      process.stdout.write(header + rows.join(''));
    });
}

function secondsSince(startedAt: number): number {
  return Math.max(0, Math.floor((Date.now() - startedAt) / 1000));
}

/** As xl has it: `1 day,  2:03:04`. */
function uptimeOf(seconds: number, short: boolean): string {
  const two = (count: number) => String(count).padStart(2, '0');
  const days = Math.floor(seconds / 86_400);
  const hours = String(Math.floor(seconds / 3600) % 24).padStart(2);
  const rest = `${hours}:${two(Math.floor(seconds / 60) % 60)}${short ? '' : `:${two(seconds % 60)}`}`;
  return days === 0 ? rest : `${days} ${days === 1 ? 'day' : 'days'}, ${rest}`;
}
