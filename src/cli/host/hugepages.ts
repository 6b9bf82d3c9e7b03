/** `xenner hugepages`: what is set aside, who has it; setting aside and giving back. */
import { Command } from 'commander';
import { hostMemory } from '../../kvm/index.js';
import { liveDomains } from '../../mgmt/domain/live/runtime-directory.js';
import {
  hugepageCounts,
  hugetlbMounts,
  releaseHugepages,
  reserveHugepages,
} from '../../mgmt/host/huge-pages.js';
import { processMemory } from '../../mgmt/host/process-memory.js';
import { wholeNumber } from '../options.js';
import { printableText } from '../printable.js';
import { json, virshTable } from '../virsh-text.js';
import { pageKiB } from './page-size.js';

export function hugepagesCommand(): Command {
  return new Command('hugepages')
    .description('show huge pages: what is set aside, by size and NUMA node, and which domains have it')
    .option('--json', 'as JSON')
    .action(async (options: { json?: true }) => {
      const all = await everything();
      process.stdout.write(options.json ? json(all) : listing(all));
    })
    .addCommand(change('reserve', 'set so many more pages aside, or none', reserveHugepages))
    .addCommand(change('release', 'give back so many pages that are free, or none', releaseHugepages));
}

function change(name: string, description: string, act: typeof reserveHugepages): Command {
  return new Command(name)
    .description(description)
    .argument('<size>', 'of a page: 2M, 1G; KiB where no unit is said', pageKiB)
    .argument('<count>', 'how many', wholeNumber)
    .option('--node <n>', 'of this NUMA node', wholeNumber)
    .action(async (sizeKiB: number, count: number, { node }: { node?: number }) => {
      const total = await act(sizeKiB, count, node);
      const where = node === undefined ? '' : ` on node ${node}`;
      process.stdout.write(`There are ${total} pages of ${sizeName(sizeKiB)}${where}\n\n`);
    });
}

async function everything() {
  const domains = (await liveDomains()).flatMap(({ name, domid, pid }) => {
    const memory = processMemory(pid);
    if (memory === undefined) return [];
    return [{ name, domid, hugepages: memory.hugepages, transparentKiB: memory.transparentKiB }];
  });
  return {
    pools: hugepageCounts(),
    mounts: hugetlbMounts(),
    transparentHugepages: hostMemory().transparentHugepages,
    domains,
  };
}

function listing({ pools, mounts, transparentHugepages, domains }: Awaited<ReturnType<typeof everything>>) {
  const rows = pools.map(({ sizeKiB, node, total, free, reserved, surplus }) => [
    sizeName(sizeKiB),
    node === undefined ? 'all' : String(node),
    ...[total, free, reserved, surplus].map((count) => (count === undefined ? '-' : String(count))),
  ]);
  const held = domains.flatMap(({ name, domid, hugepages, transparentKiB }) => [
    ...hugepages.map(({ sizeKiB, node, pages }) => [
      name,
      String(domid),
      sizeName(sizeKiB),
      String(node),
      String(pages),
    ]),
    ...(transparentKiB > 0 ? [[name, String(domid), 'THP', '-', String(transparentKiB / 2048)]] : []),
  ]);
  const facts = [
    `Transparent huge pages: ${transparentHugepages ?? 'none in this kernel'}\n`,
    ...mounts.map(
      ({ path, sizeKiB }) =>
        `Mounted: ${printableText(path)}${sizeKiB === undefined ? '' : ` (${sizeName(sizeKiB)})`}\n`,
    ),
  ];
  const domainTable = held.length > 0 ? virshTable(['Domain', 'Id', 'Size', 'Node', 'Pages'], held) : '';
  const header = ['Size', 'Node', 'Total', 'Free', 'Reserved', 'Surplus'];
  return `${virshTable(header, rows)}${domainTable}${facts.join('')}\n`;
}

export function sizeName(sizeKiB: number): string {
  if (sizeKiB % 2 ** 20 === 0) return `${sizeKiB / 2 ** 20}G`;
  return sizeKiB % 1024 === 0 ? `${sizeKiB / 1024}M` : `${sizeKiB}K`;
}
