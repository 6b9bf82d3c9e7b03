/** `xenner vcpu-list`, in xl's columns. */
import { Command } from 'commander';
import { ask } from '../mgmt/domain/client.js';
import { type FoundDomain, findDomains } from '../mgmt/domain/live/runtime-directory.js';

export function vcpuListCommand(): Command {
  return new Command('vcpu-list')
    .description("list domains' vCPUs: r running, b blocked, p offline")
    .argument('[domains...]', 'names or IDs; default: all')
    .option('--json', 'print JSON')
    .action(async (which: string[], { json }: { json?: true }) => {
      const domains = await findDomains(which);
      const rows = (await Promise.all(domains.map(vcpusOf))).flat();
      process.stdout.write(
        json ? `${JSON.stringify(rows, null, 2)}\n` : [HEADER, ...rows.map(text)].join(''),
      );
    });
}

type Row = Awaited<ReturnType<typeof vcpusOf>>[number];

async function vcpusOf(domain: FoundDomain) {
  const { name, domid } = domain;
  const { vcpus } = await ask(domain, 'usage', {});
  return vcpus.map(({ id, ...usage }) => ({ name, domid, vcpu: id, ...usage }));
}

const columns = (name: string, ...numbers: readonly string[]) =>
  [name.padEnd(32), ...numbers.map((each) => each.padStart(5))].join(' ');
const HEADER = `${columns('Name', 'ID', 'VCPU', 'CPU', 'State')} ${'Time(s)'.padStart(9)} Affinity (Hard / Soft)\n`;

/** The host's scheduler moves them as it likes, and tells nobody: there is no CPU to name. */
function text({ name, domid, vcpu, state, cpuSeconds }: Row): string {
  const letters = { running: 'r--', runnable: 'r--', blocked: '-b-', offline: '--p' }[state];
  const time = cpuSeconds.toFixed(1).padStart(9);
  return `${columns(name, String(domid), String(vcpu), '-', letters)} ${time} all / all\n`;
}
